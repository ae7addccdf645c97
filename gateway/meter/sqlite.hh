// Database and Statement: SQLite with exceptions and lifetimes. Every failure names the statement and the
// file. Not thread-safe: a Database belongs to one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "gateway/meter/store.hh"

struct sqlite3;
struct sqlite3_stmt;

namespace qanat::meter {

struct SqliteError : StoreError {
  using StoreError::StoreError;
};

class Statement {
 public:
  Statement(sqlite3* database, std::string_view sql);
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  ~Statement();

  // Parameters are numbered from 1 in the order of the calls; text is copied.
  Statement& bind(std::int64_t value);
  Statement& bind(std::string_view text);
  // True while there is a row. After the last one the statement is reset and its parameters cleared.
  bool step();
  // Runs to the end.
  void run();
  std::int64_t integer(int column) const;
  std::string text(int column) const;

 private:
  sqlite3* database_;
  sqlite3_stmt* statement_ = nullptr;
  int next_ = 1;
};

class Database {
 public:
  // Opens or creates, in WAL mode with synchronous=FULL: a committed transaction survives power loss.
  explicit Database(const std::string& path);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  void execute(const char* sql);
  sqlite3* handle() { return handle_; }
  // Rows changed by the last statement.
  int changes() const;

 private:
  sqlite3* handle_ = nullptr;
};

// Begins immediately; rolls back unless committed.
class Transaction {
 public:
  explicit Transaction(Database& database);
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  void commit();

 private:
  Database& database_;
  bool done_ = false;
};

}  // namespace qanat::meter
