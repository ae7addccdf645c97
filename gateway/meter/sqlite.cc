#include "gateway/meter/sqlite.hh"

#include <sqlite3.h>

namespace qanat::meter {
namespace {

[[noreturn]] void fail(sqlite3* database, std::string_view what) {
  const char* file = database ? sqlite3_db_filename(database, "main") : nullptr;
  throw SqliteError(std::string(what) + ": " + (database ? sqlite3_errmsg(database) : "out of memory") +
                    (file && *file ? std::string(" (") + file + ")" : std::string()));
}

// SQLite counts what it allocates behind a lock, and nobody asks. Before its first use, or without effect.
void count_no_memory() {
  static const int once = sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
  static_cast<void>(once);
}

}  // namespace

Statement::Statement(sqlite3* database, std::string_view sql) : database_(database) {
  if (sqlite3_prepare_v3(database, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT,
                         &statement_, nullptr) != SQLITE_OK)
    fail(database, sql);
}

Statement::~Statement() { sqlite3_finalize(statement_); }

Statement& Statement::bind(std::int64_t value) {
  if (sqlite3_bind_int64(statement_, next_++, value) != SQLITE_OK) fail(database_, sqlite3_sql(statement_));
  return *this;
}

Statement& Statement::bind(std::string_view text) {
  if (sqlite3_bind_text(statement_, next_++, text.data() ? text.data() : "", static_cast<int>(text.size()),
                        SQLITE_TRANSIENT) != SQLITE_OK)
    fail(database_, sqlite3_sql(statement_));
  return *this;
}

bool Statement::step() {
  const int status = sqlite3_step(statement_);
  if (status == SQLITE_ROW) return true;
  const std::string sql = status == SQLITE_DONE ? std::string() : std::string(sqlite3_sql(statement_));
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
  next_ = 1;
  if (status != SQLITE_DONE) fail(database_, sql);
  return false;
}

void Statement::run() {
  while (step()) {
  }
}

std::int64_t Statement::integer(int column) const { return sqlite3_column_int64(statement_, column); }

std::string Statement::text(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  return text ? std::string(text, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column)))
              : std::string();
}

Database::Database(const std::string& path) {
  count_no_memory();
  if (sqlite3_open_v2(path.c_str(), &handle_,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                      nullptr) != SQLITE_OK) {
    const std::string message =
        "open database " + path + ": " + (handle_ ? sqlite3_errmsg(handle_) : "out of memory");
    sqlite3_close(handle_);
    throw SqliteError(message);
  }
  sqlite3_busy_timeout(handle_, 5000);
  try {
    execute("PRAGMA journal_mode=WAL");
    execute("PRAGMA synchronous=FULL");
    execute("PRAGMA foreign_keys=ON");
    // A busy gateway's batches touch more pages than SQLite keeps by default, and more often than each needs to go home.
    execute("PRAGMA cache_size=-16384");        // KiB
    execute("PRAGMA wal_autocheckpoint=4000");  // pages, 16 MiB
  } catch (...) {
    sqlite3_close(handle_);
    throw;
  }
}

Database::~Database() { sqlite3_close(handle_); }

void Database::execute(const char* sql) {
  if (sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) fail(handle_, sql);
}

int Database::changes() const { return sqlite3_changes(handle_); }

Transaction::Transaction(Database& database) : database_(database) { database_.execute("BEGIN IMMEDIATE"); }

Transaction::~Transaction() {
  if (!done_) sqlite3_exec(database_.handle(), "ROLLBACK", nullptr, nullptr, nullptr);
}

void Transaction::commit() {
  database_.execute("COMMIT");
  done_ = true;
}

}  // namespace qanat::meter
