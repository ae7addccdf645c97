#include "controller/store/database.hh"

#include <sqlite3.h>
#include <sys/stat.h>

namespace qanat::store {

Statement::Statement(sqlite3* db, std::string_view sql) : db_(db) {
  check(sqlite3_prepare_v2(db, sql.data(), static_cast<int>(sql.size()), &statement_, nullptr), SQLITE_OK,
        "prepare");
}

Statement::~Statement() { sqlite3_finalize(statement_); }

void Statement::check(int code, int expected, const char* doing) const {
  if (code == expected) return;
  std::string text = std::string("state database: ") + doing + ": " + sqlite3_errmsg(db_);
  if (statement_ != nullptr) text += std::string(" in: ") + sqlite3_sql(statement_);
  throw StoreError(text);
}

Statement& Statement::bind(std::int64_t value) {
  check(sqlite3_bind_int64(statement_, next_++, value), SQLITE_OK, "bind");
  return *this;
}

Statement& Statement::bind_text(std::string_view value) {
  check(
      sqlite3_bind_text(statement_, next_++, value.data(), static_cast<int>(value.size()), SQLITE_TRANSIENT),
      SQLITE_OK, "bind");
  return *this;
}

Statement& Statement::bind_blob(std::string_view value) {
  // A null pointer would bind NULL; an empty blob is not NULL.
  const char* data = value.empty() ? "" : value.data();
  check(sqlite3_bind_blob(statement_, next_++, data, static_cast<int>(value.size()), SQLITE_TRANSIENT),
        SQLITE_OK, "bind");
  return *this;
}

bool Statement::step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  check(code, SQLITE_DONE, "step");
  return false;
}

std::int64_t Statement::integer(int column) const { return sqlite3_column_int64(statement_, column); }

std::string Statement::bytes(int column) const {
  const void* data = sqlite3_column_blob(statement_, column);
  const int size = sqlite3_column_bytes(statement_, column);
  return data == nullptr ? std::string()
                         : std::string(static_cast<const char*>(data), static_cast<std::size_t>(size));
}

Database::Database(const std::string& file) {
  const mode_t before = umask(0077);  // it holds the CA's private key
  const int code = sqlite3_open_v2(file.c_str(), &db_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
  umask(before);
  if (code != SQLITE_OK) {
    const std::string why = db_ == nullptr ? "out of memory" : sqlite3_errmsg(db_);
    sqlite3_close(db_);
    throw StoreError("state database " + file + ": open: " + why);
  }
  sqlite3_busy_timeout(db_, 2000);
  execute(
      "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA "
      "wal_autocheckpoint=0;");
  if (file != ":memory:") checkpointer_.emplace(file);
  sqlite3_commit_hook(
      db_,
      [](void* self) {
        ++static_cast<Database*>(self)->commits_;
        return 0;
      },
      this);
  sqlite3_wal_hook(db_, &Database::on_logged, this);
}

Database::~Database() {
  checkpointer_.reset();  // the last handle to close takes the log with it
  sqlite3_close(db_);
}

int Database::on_logged(void* self, sqlite3* db, const char*, int pages) {
  auto& database = *static_cast<Database*>(self);
  database.log_pages_ = pages;
  database.checkpointer_->on_commit(pages);
  // It does not come to its turn: now this commit waits for the file.
  if (pages >= Checkpointer::kMost)
    sqlite3_wal_checkpoint_v2(db, nullptr, SQLITE_CHECKPOINT_RESTART, nullptr, nullptr);
  return SQLITE_OK;
}

bool Database::in_transaction() const { return sqlite3_get_autocommit(db_) == 0; }

std::int64_t Database::changes() const { return sqlite3_total_changes64(db_); }

void Database::execute(std::string_view sql) {
  char* message = nullptr;
  if (sqlite3_exec(db_, std::string(sql).c_str(), nullptr, nullptr, &message) == SQLITE_OK) return;
  const std::string text =
      "state database: " + std::string(message == nullptr ? "error" : message) + " in: " + std::string(sql);
  sqlite3_free(message);
  throw StoreError(text);
}

std::int64_t Database::user_version() {
  Statement statement = prepare("PRAGMA user_version");
  statement.step();
  return statement.integer(0);
}

Transaction::~Transaction() {
  if (db_ == nullptr) return;
  try {
    db_->execute(inner_ ? "ROLLBACK TO part; RELEASE part" : "ROLLBACK");
  } catch (const StoreError&) {
    // the transaction is already gone, which is what was wanted
  }
}

void Transaction::commit() {
  db_->execute(inner_ ? "RELEASE part" : "COMMIT");
  db_ = nullptr;
}

}  // namespace qanat::store
