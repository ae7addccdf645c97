#include "dataplane/fib/snapshot.hh"

#include <algorithm>

namespace qanat::fib {

const Line* Peer::line(ids::PlaneId plane) const noexcept {
  for (const auto& l : lines)
    if (l.plane == plane) return &l;
  return nullptr;
}

namespace {

// The element of an ascending range whose `key` equals `wanted`, or null.
template <class Range, class Wanted, class Key>
auto find_sorted(const Range& range, const Wanted& wanted, Key key) noexcept -> decltype(&*range.begin()) {
  const auto it = std::lower_bound(range.begin(), range.end(), wanted,
                                   [&key](const auto& element, const Wanted& w) { return key(element) < w; });
  return it != range.end() && key(*it) == wanted ? &*it : nullptr;
}

}  // namespace

const TenantMember* Tenant::member(ids::NodeId node) const noexcept {
  return find_sorted(members, node, [](const TenantMember& m) { return m.node; });
}

std::optional<ids::NodeId> Tenant::owner(const packet::IpAddress& address) const noexcept {
  const ids::NodeId* node = owners_.lookup(address);
  return node ? std::optional(*node) : std::nullopt;
}

const Peer* Snapshot::peer(ids::NodeId id) const noexcept {
  return find_sorted(peers_, id, [](const Peer& p) { return p.id; });
}

const Peer* Snapshot::peer_by_key(const crypto::PublicKey& key) const noexcept {
  const auto* entry =
      find_sorted(by_key_, key, [](const auto& e) -> const crypto::PublicKey& { return e.first; });
  return entry ? &peers_[entry->second] : nullptr;
}

const Peer* Snapshot::peer_by_name(std::string_view name) const noexcept {
  const auto it =
      std::find_if(peers_.begin(), peers_.end(), [name](const Peer& p) { return p.name == name; });
  return it != peers_.end() ? &*it : nullptr;
}

const SrPolicy* Snapshot::policy(ids::NodeId endpoint, ids::Tier tier) const noexcept {
  return find_sorted(policies_, std::pair(endpoint, tier),
                     [](const SrPolicy& p) { return std::pair(p.endpoint, p.tier); });
}

const CandidatePath* Snapshot::path(ids::PathId id) const noexcept {
  const PathRef* ref = find_sorted(by_path_, id, [](const PathRef& r) { return r.id; });
  return ref ? &policies_[ref->policy].paths[ref->path] : nullptr;
}

const Tenant* Snapshot::tenant(ids::Vni vni) const noexcept {
  return find_sorted(tenants_, vni, [](const Tenant& t) { return t.vni; });
}

const RelayKey* Snapshot::relay_key(std::uint8_t epoch, std::uint64_t now_unix_s) const noexcept {
  for (const auto& key : relay_keys_)
    if (key.epoch == epoch && now_unix_s <= key.not_after_unix_s + packet::kExpirySlackSeconds) return &key;
  return nullptr;
}

bool Snapshot::denied(ids::NodeId headend) const noexcept {
  return std::binary_search(denied_.begin(), denied_.end(), headend);
}

}  // namespace qanat::fib
