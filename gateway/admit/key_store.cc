#include "gateway/admit/key_store.hh"

#include <algorithm>

#include "base/hex.hh"

namespace qanat::admit {

KeyStore::KeyStore(meter::Database& database) : database_(database) {
  database_.execute(R"sql(
CREATE TABLE IF NOT EXISTS keys(
  hash TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, tenant TEXT NOT NULL, project TEXT NOT NULL, name TEXT NOT NULL,
  created_ms INTEGER NOT NULL, max_calls INTEGER NOT NULL, revoked INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS budgets(account TEXT PRIMARY KEY, limit_nano INTEGER NOT NULL);
)sql");
}

void KeyStore::put(const KeyHash& hash, const KeyInfo& info) {
  meter::Statement q(database_.handle(), "INSERT INTO keys VALUES(?,?,?,?,?,?,?,?)");
  q.bind(base::to_hex(hash)).bind(info.id).bind(info.tenant).bind(info.project).bind(info.name);
  q.bind(info.created_unix_ms).bind(std::int64_t{info.max_calls}).bind(std::int64_t{info.revoked}).run();
}

void KeyStore::revoke(const std::string& id) {
  meter::Statement q(database_.handle(), "UPDATE keys SET revoked = 1 WHERE id = ?");
  q.bind(id).run();
}

void KeyStore::put_budget(const std::string& account, std::int64_t limit_nano) {
  meter::Statement q(
      database_.handle(),
      "INSERT INTO budgets VALUES(?,?) ON CONFLICT(account) DO UPDATE SET limit_nano = excluded.limit_nano");
  q.bind(account).bind(limit_nano).run();
}

void KeyStore::load(Accounts& accounts) {
  meter::Statement keys(database_.handle(),
                        "SELECT hash, id, tenant, project, name, created_ms, max_calls, revoked FROM keys");
  while (keys.step()) {
    const auto bytes = base::from_hex(keys.text(0));
    KeyHash hash{};
    if (!bytes || bytes->size() != hash.size())
      throw meter::SqliteError("key " + keys.text(1) + " in the ledger has a malformed hash");
    std::copy(bytes->begin(), bytes->end(), hash.begin());
    accounts.add(hash, {keys.text(1), keys.text(2), keys.text(3), keys.text(4), keys.integer(5),
                        static_cast<std::uint32_t>(keys.integer(6)), keys.integer(7) != 0});
  }
  meter::Statement budgets(database_.handle(), "SELECT account, limit_nano FROM budgets");
  while (budgets.step()) accounts.set_budget(budgets.text(0), budgets.integer(1));
}

}  // namespace qanat::admit
