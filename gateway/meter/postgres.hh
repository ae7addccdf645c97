// PostgresStore: a ledger in PostgreSQL, shared by several gateways.
// Transactions take one advisory lock, so that there is one writer at a time as in SQLite: books are squared against
// what others have committed, budgets are granted one after the other. A connection that is lost is made again by the
// next statement outside a transaction; statements inside one fail, and with them all of it.
#pragma once

#include "gateway/meter/store.hh"

struct pg_conn;
struct pg_result;

namespace qanat::meter {

class PostgresStore final : public Store {
 public:
  // `conninfo`: libpq's. Throws StoreError.
  explicit PostgresStore(std::string conninfo);
  ~PostgresStore() override;
  PostgresStore(const PostgresStore&) = delete;
  PostgresStore& operator=(const PostgresStore&) = delete;

  std::unique_ptr<Prepared> prepare(std::string_view sql) override;
  void execute(const char* sql) override;
  int changes() const override { return changes_; }
  void begin() override;
  void commit() override;
  void rollback() noexcept override;
  bool shared() const override { return true; }
  // The server keeps nothing that is no UTF-8.
  std::string stored(std::string_view text) const override;

 private:
  class One;
  using Result = std::unique_ptr<pg_result, void (*)(pg_result*)>;
  void connect();
  // The result if it is one, else a StoreError that names the statement.
  Result checked(pg_result* result, std::string_view statement);

  std::string conninfo_;
  pg_conn* connection_ = nullptr;
  std::uint64_t generation_ = 0;  // of the connection: prepared statements live as long as it
  std::uint64_t names_ = 0;
  bool in_transaction_ = false;
  int changes_ = 0;
};

}  // namespace qanat::meter
