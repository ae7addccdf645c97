#include "gateway/admit/key_store.hh"

#include <algorithm>

#include "base/hex.hh"

namespace qanat::admit {

KeyStore::KeyStore(meter::Store& store) : store_(store) {}

void KeyStore::create(meter::Store& store) {
  meter::Batch alone(store);
  store.execute(R"sql(
CREATE TABLE IF NOT EXISTS keys(
  hash TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, tenant TEXT NOT NULL, project TEXT NOT NULL, name TEXT NOT NULL,
  created_ms BIGINT NOT NULL, max_calls BIGINT NOT NULL, revoked BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS budgets(account TEXT PRIMARY KEY, limit_nano BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS slices(
  account TEXT NOT NULL, gateway TEXT NOT NULL, granted_nano BIGINT NOT NULL, PRIMARY KEY(account, gateway));
CREATE TABLE IF NOT EXISTS revision(one BIGINT PRIMARY KEY, value BIGINT NOT NULL);
INSERT INTO revision VALUES(1, 1) ON CONFLICT(one) DO NOTHING;
)sql");
  alone.commit();
}

void KeyStore::changed() { store_.execute("UPDATE revision SET value = value + 1"); }

void KeyStore::put(const KeyHash& hash, const KeyInfo& info) {
  meter::Batch batch(store_);
  meter::Query q(store_, "INSERT INTO keys VALUES(?,?,?,?,?,?,?,?)");
  q.bind(base::to_hex(hash)).bind(info.id).bind(info.tenant).bind(info.project).bind(info.name);
  q.bind(info.created_unix_ms).bind(std::int64_t{info.max_calls}).bind(std::int64_t{info.revoked}).run();
  changed();
  batch.commit();
}

void KeyStore::revoke(const std::string& id) {
  meter::Batch batch(store_);
  meter::Query q(store_, "UPDATE keys SET revoked = 1 WHERE id = ?");
  q.bind(id).run();
  changed();
  batch.commit();
}

void KeyStore::put_budget(const std::string& account, std::int64_t limit_nano) {
  meter::Batch batch(store_);
  meter::Query q(
      store_,
      "INSERT INTO budgets VALUES(?,?) ON CONFLICT(account) DO UPDATE SET limit_nano = excluded.limit_nano");
  q.bind(account).bind(limit_nano).run();
  changed();
  batch.commit();
}

KeyStore::Kept KeyStore::load() {
  Kept kept;
  meter::Query keys(store_,
                    "SELECT hash, id, tenant, project, name, created_ms, max_calls, revoked FROM keys");
  while (keys.step()) {
    const auto bytes = base::from_hex(keys.text(0));
    KeyHash hash{};
    if (!bytes || bytes->size() != hash.size())
      throw meter::StoreError("key " + keys.text(1) + " in the ledger has a malformed hash");
    std::copy(bytes->begin(), bytes->end(), hash.begin());
    kept.keys.emplace_back(hash,
                           KeyInfo{keys.text(1), keys.text(2), keys.text(3), keys.text(4), keys.integer(5),
                                   static_cast<std::uint32_t>(keys.integer(6)), keys.integer(7) != 0});
  }
  meter::Query budgets(store_, "SELECT account, limit_nano FROM budgets");
  while (budgets.step()) kept.budgets.emplace(budgets.text(0), budgets.integer(1));
  return kept;
}

std::int64_t KeyStore::revision() {
  meter::Query q(store_, "SELECT value FROM revision");
  return q.step() ? q.integer(0) : 0;
}

meter::Nano KeyStore::grant(const std::string& account, const std::string& gateway, meter::Nano least,
                            meter::Nano most) {
  meter::Batch batch(store_);
  meter::Nano limit = 0, everywhere = 0, here = 0;
  meter::Query budget(store_, "SELECT limit_nano FROM budgets WHERE account = ?");
  budget.bind(account);
  while (budget.step()) limit = std::max<meter::Nano>(budget.integer(0), 0);
  meter::Query granted(store_, "SELECT gateway, granted_nano FROM slices WHERE account = ?");
  granted.bind(account);
  while (granted.step()) {
    everywhere += granted.integer(1);
    if (granted.text(0) == gateway) here = granted.integer(1);
  }
  const meter::Nano free = limit - everywhere;
  if (free < least || free <= 0) return here;
  here += std::min(free, std::max(least, most));
  meter::Query keep(
      store_,
      "INSERT INTO slices VALUES(?,?,?) ON CONFLICT(account, gateway) DO UPDATE SET granted_nano = "
      "excluded.granted_nano");
  keep.bind(account).bind(gateway).bind(static_cast<std::int64_t>(here)).run();
  batch.commit();
  return here;
}

void KeyStore::give_back(const std::string& account, const std::string& gateway, meter::Nano spent) {
  meter::Batch batch(store_);
  meter::Query q(store_, "UPDATE slices SET granted_nano = ? WHERE account = ? AND gateway = ?");
  q.bind(static_cast<std::int64_t>(spent)).bind(account).bind(gateway).run();
  batch.commit();
}

std::map<std::string, meter::Nano> KeyStore::slices(const std::string& gateway) {
  std::map<std::string, meter::Nano> slices;
  meter::Query q(store_, "SELECT account, granted_nano FROM slices WHERE gateway = ?");
  q.bind(gateway);
  while (q.step()) slices.emplace(q.text(0), q.integer(1));
  return slices;
}

}  // namespace qanat::admit
