#include "controller/store/etcd_store.hh"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/clock.hh"
#include "base/hex.hh"
#include "base/log.hh"
#include "controller/store/etcd_rows.hh"

namespace qanat::store {

using nlohmann::json;

namespace {

// Between two attempts to reach etcd while the lease still stands.
constexpr auto kPause = std::chrono::milliseconds(50);
base::LogGate gate{std::chrono::seconds(1)};

// Keys in the order of their numbers.
std::string padded(std::uint64_t number) { return fmt::format("{:010}", number); }

std::string hex_of(std::string_view bytes) {
  return base::to_hex({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
}

std::array<std::uint8_t, 32> sha256(std::string_view bytes) {
  std::array<std::uint8_t, 32> out{};
  unsigned length = 0;
  EVP_Digest(bytes.data(), bytes.size(), out.data(), &length, EVP_sha256(), nullptr);
  return out;
}

}  // namespace

EtcdStore::EtcdStore(EtcdConfig config, Role role) : client_(std::move(config)), role_(std::move(role)) {}
EtcdStore::~EtcdStore() = default;

// ---- following ----

std::int64_t EtcdStore::load() {
  EtcdRange range = client_.range(role_.prefix);
  rows_.clear();
  for (EtcdRow& row : range.rows) rows_[row.key.substr(role_.prefix.size())] = std::move(row.value);
  return range.revision;
}

void EtcdStore::apply(const EtcdNews& news) {
  for (const EtcdChange& change : news.changes) {
    if (!change.key.starts_with(role_.prefix)) continue;
    const std::string key = change.key.substr(role_.prefix.size());
    if (change.value) {
      rows_[key] = *change.value;
    } else {
      rows_.erase(key);
    }
  }
}

std::string EtcdStore::leader() const {
  const std::string* row = find("leader");
  return row == nullptr ? std::string() : *row;
}

// ---- leading ----

void EtcdStore::lead(EtcdGuard guard, std::function<bool()> holds,
                     std::function<void(const std::string&)> deposed) {
  guard_ = std::move(guard);
  holds_ = std::move(holds);
  deposed_ = std::move(deposed);
  load();
  // Nodes take nothing of an epoch below the one they hold: what an earlier leader still sends is old from here on.
  if (const auto epoch = value("epoch")) set_value("epoch", std::to_string(std::stoull(*epoch) + 1));
}

void EtcdStore::commit(std::vector<EtcdChange> changes) {
  if (!guard_) throw StoreError("etcd: this controller does not lead, and only the leader writes");
  for (EtcdChange& change : changes) change.key = role_.prefix + change.key;
  if (batch_) {
    batch_->add(changes);
  } else {
    write(changes);
  }
  apply({std::move(changes), 0, false});
}

void EtcdStore::begin_batch() { batch_.emplace(); }

void EtcdStore::end_batch() {
  const auto transactions = std::exchange(batch_, std::nullopt)->take();
  for (const auto& changes : transactions) write(changes);
}

void EtcdStore::write(const std::vector<EtcdChange>& changes) {
  const auto give_up = [this](const std::string& why) {
    deposed_(why);
    throw StoreError("etcd: " + why);
  };
  std::optional<EtcdOutcome> outcome;
  while (!outcome) {
    if (!holds_()) give_up("the lease has run out");
    try {
      outcome = client_.commit(*guard_, changes);
    } catch (const EtcdRefused&) {
      throw;
    } catch (const StoreError& error) {
      // Whether it was done is not known: the same once more is harmless, since nobody else writes.
      base::log_gated(gate, base::monotonic_now(), base::LogLevel::Warn, "{}", error.what());
      std::this_thread::sleep_for(kPause);
    }
  }
  if (!outcome->done) give_up("another controller leads");
}

void EtcdStore::put(std::string key, std::string value) {
  commit({EtcdChange{std::move(key), std::move(value)}});
}

const std::string* EtcdStore::find(std::string_view key) const {
  const auto at = rows_.find(key);
  return at == rows_.end() ? nullptr : &at->second;
}

std::vector<std::pair<std::string, const std::string*>> EtcdStore::under(std::string_view folder) const {
  std::vector<std::pair<std::string, const std::string*>> out;
  for (auto at = rows_.lower_bound(folder); at != rows_.end() && at->first.starts_with(folder); ++at)
    out.emplace_back(at->first.substr(folder.size()), &at->second);
  return out;
}

// ---- values ----

std::optional<std::string> EtcdStore::value(std::string_view name) {
  const std::string* row = find("value/" + std::string(name));
  return row == nullptr ? std::nullopt : std::optional(*row);
}

void EtcdStore::set_value(std::string_view name, std::string_view value) {
  put("value/" + std::string(name), std::string(value));
}

void EtcdStore::set_values(const std::vector<std::pair<std::string, std::string>>& values) {
  std::vector<EtcdChange> changes;
  for (const auto& [name, value] : values)
    changes.push_back({"value/" + name, value.empty() ? std::nullopt : std::optional(value)});
  commit(std::move(changes));
}

std::vector<std::pair<std::string, std::string>> EtcdStore::values_of(std::string_view prefix,
                                                                      std::string_view after,
                                                                      std::size_t limit) {
  const std::string folder = "value/", first = folder + std::string(prefix),
                    past = folder + std::string(after);
  std::vector<std::pair<std::string, std::string>> out;
  auto at = past < first ? rows_.lower_bound(first) : rows_.upper_bound(past);
  for (; at != rows_.end() && at->first.starts_with(first) && out.size() < limit; ++at)
    out.emplace_back(at->first.substr(folder.size()), at->second);
  return out;
}

// ---- members ----

void EtcdStore::add_join_token(std::string_view hash, const JoinToken& token) {
  put("token/" + hex_of(hash), row_of(token, false));
}

TokenVerdict EtcdStore::check_join_token(std::string_view hash, std::string_view name, base::UnixSeconds now,
                                         bool& relay) {
  const std::string* row = find("token/" + hex_of(hash));
  if (row == nullptr) return TokenVerdict::Unknown;
  bool used = false;
  const JoinToken token = token_of(*row, used);
  relay = token.relay;
  if (used) return TokenVerdict::Used;
  if (token.expires <= now) return TokenVerdict::Expired;
  return token.name == name ? TokenVerdict::Good : TokenVerdict::OtherName;
}

std::optional<Member> EtcdStore::enrol(std::string_view token_hash, base::UnixSeconds now, Member added,
                                       std::uint32_t lowest, std::uint32_t highest,
                                       const std::function<void(Member&)>& finish) {
  bool relay = false;
  if (check_join_token(token_hash, added.record.name(), now, relay) != TokenVerdict::Good)
    return std::nullopt;
  std::vector<EtcdChange> changes;
  bool used = false;
  const std::string key = "token/" + hex_of(token_hash);
  changes.push_back({key, row_of(token_of(*find(key), used), true)});
  std::uint32_t most = 0;
  const std::string named = json(added.record.name()).dump();
  for (const auto& [id, row] : under("member/")) {
    most = std::max(most, static_cast<std::uint32_t>(std::stoul(id)));
    if (row->find(named) == std::string::npos) continue;  // a thousand rows need not be read for one name
    Member member = member_of(static_cast<std::uint32_t>(std::stoul(id)), *row);
    if (member.revoked || member.record.name() != added.record.name()) continue;
    member.revoked = true;
    changes.push_back({"member/" + padded(member.id), row_of(member)});
  }
  added.id = lowest == highest ? lowest : std::max(lowest, most + 1);
  if (added.id > highest) return std::nullopt;
  finish(added);
  const std::string place = "member/" + padded(added.id);
  std::erase_if(changes, [&](const EtcdChange& change) { return change.key == place; });
  changes.push_back({place, row_of(added)});
  commit(std::move(changes));
  return added;
}

std::vector<Member> EtcdStore::members() {
  std::vector<Member> out;
  for (const auto& [id, row] : under("member/"))
    out.push_back(member_of(static_cast<std::uint32_t>(std::stoul(id)), *row));
  return out;
}

std::optional<Member> EtcdStore::member(std::uint32_t id) const {
  const std::string* row = find("member/" + padded(id));
  return row == nullptr ? std::nullopt : std::optional(member_of(id, *row));
}

void EtcdStore::update_record(std::uint32_t id, const proto::v1::NodeRecord& record) {
  auto changed = member(id);
  if (!changed) return;
  changed->record = record;
  put("member/" + padded(id), row_of(*changed));
}

void EtcdStore::revoke(std::uint32_t id) {
  auto changed = member(id);
  if (!changed) return;
  changed->revoked = true;
  put("member/" + padded(id), row_of(*changed));
}

void EtcdStore::update_keys(const Member& given) {
  auto changed = member(given.id);
  if (!changed) return;
  const bool revoked = changed->revoked;
  changed = given;
  changed->revoked = revoked;
  put("member/" + padded(given.id), row_of(*changed));
}

// ---- tenants ----

std::vector<proto::v1::Tenant> EtcdStore::tenants() {
  std::vector<proto::v1::Tenant> out;
  for (const auto& [name, row] : under("tenant/")) {
    if (!out.emplace_back().ParseFromString(*row)) throw StoreError("etcd: broken tenant " + name);
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.vni() < b.vni(); });
  return out;
}

void EtcdStore::put_tenant(const proto::v1::Tenant& tenant) {
  put("tenant/" + tenant.name(), tenant.SerializeAsString());
}

void EtcdStore::remove_tenant(std::string_view name) {
  commit({EtcdChange{"tenant/" + std::string(name), std::nullopt}});
}

// ---- relay keys ----

std::vector<RelayKeyRow> EtcdStore::relay_keys() {
  std::vector<RelayKeyRow> out;
  for (const auto& [key, row] : under("relay_key/")) {
    RelayKeyRow found{
        static_cast<std::uint32_t>(std::stoul(key)), std::stoull(key.substr(key.find('/') + 1)), {}};
    if (row->size() != found.key.size()) throw StoreError("etcd: broken relay key " + key);
    std::copy(row->begin(), row->end(), found.key.begin());
    out.push_back(found);
  }
  return out;
}

void EtcdStore::add_relay_key(const RelayKeyRow& row) {
  put("relay_key/" + padded(row.relay) + "/" + padded(row.week), std::string(row.key.begin(), row.key.end()));
}

void EtcdStore::remove_relay_keys_before(std::uint64_t week) {
  std::vector<EtcdChange> changes;
  for (const auto& [key, row] : under("relay_key/")) {
    if (std::stoull(key.substr(key.find('/') + 1)) >= week) continue;
    changes.push_back({"relay_key/" + key, std::nullopt});
    if (changes.size() == EtcdClient::kMostChanges) commit(std::exchange(changes, {}));
  }
  if (!changes.empty()) commit(std::move(changes));
}

// ---- what was decided ----

std::vector<Pushed> EtcdStore::pushed() {
  std::vector<Pushed> out;
  for (const auto& [id, row] : under("pushed/"))
    out.push_back(pushed_of(static_cast<std::uint32_t>(std::stoul(id)), *row));
  return out;
}

// One record says that all of these were decided, and by whom: nobody is told of one that etcd did not take.
void EtcdStore::set_pushed(const std::vector<Pushed>& rows) {
  if (rows.empty()) return;
  std::string all;
  std::vector<EtcdChange> changes;
  for (const Pushed& row : rows) {
    const auto digest = sha256(row.content);
    all += padded(row.id) + padded(row.version);
    all.append(digest.begin(), digest.end());
    if (role_.keeps_contents) changes.push_back({"pushed/" + padded(row.id), row_of(row)});
  }
  const json record = {{"epoch", value("epoch").value_or("")},
                       {"sequence", ++decisions_},
                       {"members", rows.size()},
                       {"digest", base::to_hex(sha256(all))}};
  changes.push_back({"decision", record.dump()});
  while (changes.size() > EtcdClient::kMostChanges) {
    const auto rest = changes.end() - static_cast<std::ptrdiff_t>(EtcdClient::kMostChanges);
    commit({rest, changes.end()});
    changes.erase(rest, changes.end());
  }
  commit(std::move(changes));
}

void EtcdStore::set_acknowledged(const std::vector<std::pair<std::uint32_t, std::uint64_t>>& versions) {
  for (const auto& [id, version] : versions) {
    const std::string* row = find("pushed/" + padded(id));
    if (row == nullptr) continue;
    Pushed changed = pushed_of(id, *row);
    if (changed.version != version || changed.acknowledged) continue;
    changed.acknowledged = true;
    put("pushed/" + padded(id), row_of(changed));
  }
}

void EtcdStore::set_reported(std::uint32_t domain, std::string_view report) {
  put("reported/" + padded(domain), std::string(report));
}

std::vector<std::pair<std::uint32_t, std::string>> EtcdStore::reported() {
  std::vector<std::pair<std::uint32_t, std::string>> out;
  for (const auto& [domain, row] : under("reported/"))
    out.emplace_back(static_cast<std::uint32_t>(std::stoul(domain)), *row);
  return out;
}

}  // namespace qanat::store
