#include "gateway/admit/key_store.hh"

#include <algorithm>
#include <tuple>

#include "base/hex.hh"

namespace qanat::admit {
namespace {

// A list is one text, a line each: neither names nor C-URLs have line ends.
std::string lines(const std::vector<std::string>& list) {
  std::string text;
  for (const std::string& each : list) text += each + '\n';
  return text;
}

std::vector<std::string> from_lines(const std::string& text) {
  std::vector<std::string> list;
  for (std::size_t at = 0, end; (end = text.find('\n', at)) != std::string::npos; at = end + 1)
    list.push_back(text.substr(at, end - at));
  return list;
}

}  // namespace

KeyStore::KeyStore(meter::Store& store) : store_(store) {}

void KeyStore::create(meter::Store& store) {
  meter::Batch alone(store);
  store.execute(R"sql(
CREATE TABLE IF NOT EXISTS keys(
  hash TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, tenant TEXT NOT NULL, project TEXT NOT NULL, name TEXT NOT NULL,
  created_ms BIGINT NOT NULL, max_calls BIGINT NOT NULL, revoked BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS key_terms(id TEXT PRIMARY KEY, expires_ms BIGINT NOT NULL, models TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS key_scopes(id TEXT PRIMARY KEY, endpoints TEXT NOT NULL, c_urls TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS key_rates(id TEXT PRIMARY KEY, calls BIGINT NOT NULL, tokens BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS budgets(account TEXT PRIMARY KEY, limit_nano BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS slices(
  account TEXT NOT NULL, gateway TEXT NOT NULL, granted_nano BIGINT NOT NULL, PRIMARY KEY(account, gateway));
CREATE TABLE IF NOT EXISTS revision(one BIGINT PRIMARY KEY, value BIGINT NOT NULL);
INSERT INTO revision VALUES(1, 1) ON CONFLICT(one) DO NOTHING;
)sql");
  alone.commit();
}

void KeyStore::changed() { store_.execute("UPDATE revision SET value = value + 1"); }

void KeyStore::put_terms(const std::string& id, std::int64_t expires_unix_ms, const Scope& scope) {
  meter::Query q(store_,
                 "INSERT INTO key_terms VALUES(?,?,?) ON CONFLICT(id) DO UPDATE SET expires_ms = "
                 "excluded.expires_ms, models = excluded.models");
  q.bind(id).bind(expires_unix_ms).bind(lines(scope.models)).run();
  if (scope.endpoints.empty() && scope.c_urls.empty()) return;
  meter::Query more(store_, "INSERT INTO key_scopes VALUES(?,?,?) ON CONFLICT(id) DO NOTHING");
  more.bind(id).bind(lines(scope.endpoints)).bind(lines(scope.c_urls)).run();
}

void KeyStore::put(const KeyHash& hash, const KeyInfo& info) {
  meter::Batch batch(store_);
  insert(hash, info);
  changed();
  batch.commit();
}

void KeyStore::rotate(const KeyHash& hash, const KeyInfo& next, const std::string& old_id,
                      std::int64_t old_expires_unix_ms) {
  meter::Batch batch(store_);
  insert(hash, next);
  put_terms(old_id, old_expires_unix_ms, next.scope);
  changed();
  batch.commit();
}

void KeyStore::insert(const KeyHash& hash, const KeyInfo& info) {
  meter::Query q(store_, "INSERT INTO keys VALUES(?,?,?,?,?,?,?,?)");
  q.bind(base::to_hex(hash)).bind(info.id).bind(info.tenant).bind(info.project).bind(info.name);
  q.bind(info.created_unix_ms).bind(std::int64_t{info.max_calls}).bind(std::int64_t{info.revoked}).run();
  if (info.expires_unix_ms != 0 || !info.scope.empty()) put_terms(info.id, info.expires_unix_ms, info.scope);
  if (info.max_calls_per_minute == 0 && info.max_tokens_per_minute == 0) return;
  meter::Query rates(store_, "INSERT INTO key_rates VALUES(?,?,?)");
  rates.bind(info.id).bind(std::int64_t{info.max_calls_per_minute});
  rates.bind(static_cast<std::int64_t>(info.max_tokens_per_minute)).run();
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
  std::map<std::string, std::pair<std::int64_t, Scope>> terms;
  meter::Query terms_of(store_, "SELECT id, expires_ms, models FROM key_terms");
  while (terms_of.step()) {
    auto& [expires, scope] = terms[terms_of.text(0)];
    expires = terms_of.integer(1);
    scope.models = from_lines(terms_of.text(2));
  }
  meter::Query scopes_of(store_, "SELECT id, endpoints, c_urls FROM key_scopes");
  while (scopes_of.step()) {
    Scope& scope = terms[scopes_of.text(0)].second;
    scope.endpoints = from_lines(scopes_of.text(1));
    scope.c_urls = from_lines(scopes_of.text(2));
  }
  std::map<std::string, std::pair<std::int64_t, std::int64_t>> rates;
  meter::Query rates_of(store_, "SELECT id, calls, tokens FROM key_rates");
  while (rates_of.step()) rates[rates_of.text(0)] = {rates_of.integer(1), rates_of.integer(2)};
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
    KeyInfo& info = kept.keys.back().second;
    if (const auto it = terms.find(info.id); it != terms.end())
      std::tie(info.expires_unix_ms, info.scope) = it->second;
    if (const auto it = rates.find(info.id); it != rates.end()) {
      info.max_calls_per_minute = static_cast<std::uint32_t>(it->second.first);
      info.max_tokens_per_minute = static_cast<std::uint64_t>(it->second.second);
    }
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
