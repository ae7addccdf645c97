// Database: SQLite with WAL and synchronous=FULL: what a statement's commit acknowledged survives kill -9 and power loss.
// A commit waits for the disk once; moving what was written from the log into the file is the Checkpointer's.
// A thin owner of handles; errors are StoreError, naming the attempt and the statement.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "controller/store/checkpointer.hh"
#include "controller/store/store.hh"

struct sqlite3;
struct sqlite3_stmt;

namespace qanat::store {

// One prepared statement. Bind in order, then step; columns count from 0. Views are valid until the next step.
class Statement {
 public:
  Statement(sqlite3* db, std::string_view sql);
  ~Statement();
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  Statement& bind(std::int64_t value);
  Statement& bind_text(std::string_view value);
  Statement& bind_blob(std::string_view value);
  // True while there is a row.
  bool step();
  // For statements that return nothing.
  void run() { step(); }
  std::int64_t integer(int column) const;
  std::string bytes(int column) const;

 private:
  void check(int code, int expected, const char* doing) const;
  sqlite3* db_;
  sqlite3_stmt* statement_ = nullptr;
  int next_ = 1;
};

class Database {
 public:
  // Opens or makes the file (mode 0600). ":memory:" for tests.
  explicit Database(const std::string& file);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  void execute(std::string_view sql);
  Statement prepare(std::string_view sql) { return Statement(db_, sql); }
  std::int64_t user_version();
  bool in_transaction() const;
  std::int64_t changes() const;  // rows, since opening
  // Of this handle since opening: each was one wait for the disk.
  std::uint64_t commits() const { return commits_; }
  // Pages in the log after the last commit; bounded by Checkpointer::kMost and what one transaction writes.
  int log_pages() const { return log_pages_; }

 private:
  static int on_logged(void* self, sqlite3* db, const char* name, int pages);

  sqlite3* db_ = nullptr;
  std::uint64_t commits_ = 0;
  int log_pages_ = 0;
  std::optional<Checkpointer> checkpointer_;  // of a file
};

// Rolled back unless committed. Inside another one it is a part of that: all of it or none, durable with the outer one.
class Transaction {
 public:
  explicit Transaction(Database& db) : db_(&db), inner_(db.in_transaction()) {
    db.execute(inner_ ? "SAVEPOINT part" : "BEGIN IMMEDIATE");
  }
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  void commit();

 private:
  Database* db_;
  bool inner_;
};

}  // namespace qanat::store
