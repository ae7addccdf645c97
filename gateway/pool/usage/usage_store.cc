#include "gateway/pool/usage/usage_store.hh"

#include <sqlite3.h>

#include "gateway/meter/sqlite.hh"

namespace qanat::pool {

using meter::Statement;

struct UsageStore::State {
  State(const std::string& path, UsageKey k) : database(path), key(std::move(k)) {}
  meter::Database database;
  UsageKey key;
};

UsageStore::UsageStore(const std::string& path, UsageKey key)
    : state_(std::make_unique<State>(path, std::move(key))) {
  // AUTOINCREMENT: a sequence is never used again after its record was acknowledged.
  state_->database.execute(R"(CREATE TABLE IF NOT EXISTS usage (
      sequence INTEGER PRIMARY KEY AUTOINCREMENT, once INTEGER NOT NULL UNIQUE,
      pool TEXT NOT NULL, call TEXT NOT NULL, model TEXT NOT NULL,
      prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
      started_unix_ms INTEGER NOT NULL, ended_unix_ms INTEGER NOT NULL,
      finish TEXT NOT NULL, signature TEXT NOT NULL) STRICT)");
  state_->database.execute(
      "CREATE TABLE IF NOT EXISTS consumer (name TEXT PRIMARY KEY, through INTEGER NOT NULL) STRICT");
}

UsageStore::~UsageStore() = default;

void UsageStore::append(std::span<const Entry> entries) {
  meter::Transaction transaction(state_->database);
  sqlite3* const handle = state_->database.handle();
  Statement insert(handle,
                   R"(INSERT INTO usage (once, pool, call, model, prompt_tokens, completion_tokens,
      started_unix_ms, ended_unix_ms, finish, signature) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ''))");
  Statement sign(handle, "UPDATE usage SET signature = ? WHERE sequence = ?");
  // Asked first: an insert that a constraint refuses would still use up a sequence.
  Statement known(handle, "SELECT 1 FROM usage WHERE once = ?");
  for (const auto& [once, given] : entries) {
    if (known.bind(static_cast<std::int64_t>(once)).step()) {
      known.step();
      continue;
    }
    UsageRecord record = given;
    insert.bind(static_cast<std::int64_t>(once))
        .bind(record.pool)
        .bind(record.call)
        .bind(record.model)
        .bind(static_cast<std::int64_t>(record.prompt_tokens))
        .bind(static_cast<std::int64_t>(record.completion_tokens))
        .bind(static_cast<std::int64_t>(record.started_unix_ms))
        .bind(static_cast<std::int64_t>(record.ended_unix_ms))
        .bind(record.finish)
        .run();
    record.sequence = static_cast<std::uint64_t>(sqlite3_last_insert_rowid(handle));
    sign.bind(state_->key.sign(signed_text(record))).bind(static_cast<std::int64_t>(record.sequence)).run();
  }
  transaction.commit();
}

std::vector<UsageRecord> UsageStore::after(std::uint64_t sequence, std::size_t limit) const {
  Statement select(state_->database.handle(),
                   R"(SELECT sequence, pool, call, model, prompt_tokens, completion_tokens,
      started_unix_ms, ended_unix_ms, finish, signature FROM usage WHERE sequence > ? ORDER BY sequence LIMIT ?)");
  select.bind(static_cast<std::int64_t>(sequence)).bind(static_cast<std::int64_t>(limit));
  std::vector<UsageRecord> records;
  while (select.step()) {
    const auto number = [&](int column) { return static_cast<std::uint64_t>(select.integer(column)); };
    records.push_back({number(0), select.text(1), select.text(2), select.text(3), number(4), number(5),
                       number(6), number(7), select.text(8), select.text(9)});
  }
  return records;
}

std::uint64_t UsageStore::acknowledge(const std::string& consumer, std::uint64_t through) {
  meter::Transaction transaction(state_->database);
  Statement note(state_->database.handle(),
                 R"(INSERT INTO consumer (name, through) VALUES (?, ?)
      ON CONFLICT (name) DO UPDATE SET through = max(through, excluded.through))");
  note.bind(consumer).bind(static_cast<std::int64_t>(through)).run();
  const std::uint64_t forgotten = forget();
  transaction.commit();
  return forgotten;
}

std::uint64_t UsageStore::dismiss(const std::string& consumer) {
  meter::Transaction transaction(state_->database);
  Statement remove(state_->database.handle(), "DELETE FROM consumer WHERE name = ?");
  remove.bind(consumer).run();
  const std::uint64_t forgotten = forget();
  transaction.commit();
  return forgotten;
}

std::uint64_t UsageStore::forget() {
  Statement remove(state_->database.handle(),
                   "DELETE FROM usage WHERE sequence <= (SELECT min(through) FROM consumer)");
  remove.run();
  return static_cast<std::uint64_t>(state_->database.changes());
}

std::uint64_t UsageStore::kept() const {
  Statement count(state_->database.handle(), "SELECT count(*) FROM usage");
  count.step();
  return static_cast<std::uint64_t>(count.integer(0));
}

std::string UsageStore::public_key() const { return state_->key.public_key(); }

}  // namespace qanat::pool
