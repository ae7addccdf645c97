#include "gateway/meter/store.hh"

#include <optional>

#include "gateway/meter/postgres.hh"
#include "gateway/meter/sqlite.hh"

namespace qanat::meter {
namespace {

class SqliteStore final : public Store {
 public:
  explicit SqliteStore(const std::string& path) : database_(path) {}

  std::unique_ptr<Prepared> prepare(std::string_view sql) override {
    return std::make_unique<One>(database_.handle(), sql);
  }
  void execute(const char* sql) override { database_.execute(sql); }
  int changes() const override { return database_.changes(); }
  void begin() override { transaction_.emplace(database_); }
  void commit() override {
    transaction_->commit();
    transaction_.reset();
  }
  void rollback() noexcept override { transaction_.reset(); }
  bool shared() const override { return false; }
  std::string stored(std::string_view text) const override { return std::string(text); }

 private:
  class One final : public Prepared {
   public:
    One(sqlite3* database, std::string_view sql) : statement_(database, sql) {}
    void bind(std::int64_t value) override { statement_.bind(value); }
    void bind(std::string_view text) override { statement_.bind(text); }
    bool step() override { return statement_.step(); }
    std::int64_t integer(int column) const override { return statement_.integer(column); }
    std::string text(int column) const override { return statement_.text(column); }

   private:
    Statement statement_;
  };

  Database database_;
  std::optional<Transaction> transaction_;
};

}  // namespace

std::unique_ptr<Store> open_store(const std::string& where) {
  if (where.starts_with(kPostgres)) return std::make_unique<PostgresStore>(where.substr(kPostgres.size()));
  return std::make_unique<SqliteStore>(where.starts_with(kSqlite) ? where.substr(kSqlite.size()) : where);
}

}  // namespace qanat::meter
