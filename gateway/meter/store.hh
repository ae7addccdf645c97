// Store and Query: the database behind a ledger, SQLite or PostgreSQL, with exceptions and lifetimes.
// A gateway of its own keeps its books in a file; several share theirs in PostgreSQL. What is written against this is
// the SQL that both understand: parameters are `?`, numbers BIGINT, patterns LIKE, conflicts ON CONFLICT.
// Not thread-safe: a Store belongs to one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

namespace qanat::meter {

// Names the statement and the database. Tried again later, it may work.
struct StoreError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Store {
 public:
  class Prepared {
   public:
    virtual ~Prepared() = default;
    virtual void bind(std::int64_t value) = 0;
    virtual void bind(std::string_view text) = 0;
    virtual bool step() = 0;
    virtual std::int64_t integer(int column) const = 0;
    virtual std::string text(int column) const = 0;
  };
  virtual ~Store() = default;
  virtual std::unique_ptr<Prepared> prepare(std::string_view sql) = 0;
  // One or several statements without parameters.
  virtual void execute(const char* sql) = 0;
  // Rows changed by the last statement.
  virtual int changes() const = 0;
  // One writer at a time, whichever process it is in.
  virtual void begin() = 0;
  virtual void commit() = 0;
  virtual void rollback() noexcept = 0;
  // Other gateways write it too.
  virtual bool shared() const = 0;
  // A text as it will be read back.
  virtual std::string stored(std::string_view text) const = 0;
};

inline constexpr std::string_view kPostgres = "postgres:";
inline constexpr std::string_view kSqlite = "sqlite:";
// "postgres:" and a libpq connection string ("postgres:host=10.0.0.5 dbname=qanat"), else a file of SQLite's, or
// ":memory:". A committed transaction survives power loss. Throws StoreError.
std::unique_ptr<Store> open_store(const std::string& where);

class Query {
 public:
  Query(Store& store, std::string_view sql) : prepared_(store.prepare(sql)) {}
  // Parameters in the order of the calls; text is copied.
  Query& bind(std::int64_t value) { return prepared_->bind(value), *this; }
  Query& bind(std::string_view text) { return prepared_->bind(text), *this; }
  // True while there is a row. After the last one the query is reset and its parameters cleared.
  bool step() { return prepared_->step(); }
  // Runs to the end.
  void run() {
    while (step()) {
    }
  }
  std::int64_t integer(int column) const { return prepared_->integer(column); }
  std::string text(int column) const { return prepared_->text(column); }

 private:
  std::unique_ptr<Store::Prepared> prepared_;
};

// A transaction: rolled back unless committed.
class Batch {
 public:
  explicit Batch(Store& store) : store_(store) { store_.begin(); }
  ~Batch() {
    if (!done_) store_.rollback();
  }
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;
  void commit() {
    store_.commit();
    done_ = true;
  }

 private:
  Store& store_;
  bool done_ = false;
};

}  // namespace qanat::meter
