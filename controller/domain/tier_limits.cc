#include "controller/domain/tier_limits.hh"

#include <algorithm>

#include "controller/domain/spread.hh"

namespace qanat::domain {
namespace {

std::uint16_t mask_of(const std::vector<std::uint8_t>& planes) {
  std::uint16_t mask = 1;
  for (const std::uint8_t plane : planes) mask |= static_cast<std::uint16_t>(1u << plane);
  return planes.empty() ? paths::Allowed{}.planes : mask;
}

bool is_in(const std::string& place, const std::string& zone) {
  return place == zone || (place.size() > zone.size() && place.ends_with(zone) &&
                           place[place.size() - zone.size() - 1] == '.');
}

// The places that limits name, numbered from 1 on. One that a node is in is the longest of all that it is in.
class Zones {
 public:
  explicit Zones(const policy::Rules& rules) {
    std::set<std::string> names;
    for (const policy::Limit& limit : rules.limits) names.insert(limit.within.begin(), limit.within.end());
    names_.assign(names.begin(), names.end());
    if (names_.size() > policy::kMostZones) names_.resize(policy::kMostZones);
  }
  std::uint8_t of(const std::string& place) const {
    std::size_t best = 0;
    for (std::size_t i = 1; i <= names_.size(); ++i)
      if (is_in(place, names_[i - 1]) && (best == 0 || names_[i - 1].size() > names_[best - 1].size()))
        best = i;
    return static_cast<std::uint8_t>(best);
  }
  std::uint64_t mask_of(const std::vector<std::string>& within) const {
    if (within.empty()) return paths::Allowed{}.zones;
    std::uint64_t mask = 0;
    for (std::size_t i = 1; i <= names_.size(); ++i)
      for (const std::string& zone : within)
        if (is_in(names_[i - 1], zone)) mask |= std::uint64_t{1} << i;
    return mask;
  }

 private:
  std::vector<std::string> names_;
};

}  // namespace

TierLimits::TierLimits(const policy::Rules& rules,
                       const std::map<std::string, std::vector<std::uint32_t>>& members,
                       const std::map<std::uint32_t, std::string>& locations) {
  if (rules.limits.empty()) return;
  const Zones zones(rules);
  for (const auto& [node, place] : locations)
    if (const std::uint8_t zone = zones.of(place); zone != 0) zones_[node] = zone;
  for (const auto& [name, ids] : members) {
    Tenant limited;
    for (const policy::Limit& limit : rules.limits) {
      if (limit.tenant != name) continue;
      for (const ids::Tier tier : ids::kTiers)
        if (limit.tier.value_or(tier) == tier) {
          limited.tiers[static_cast<std::size_t>(tier)].planes &= mask_of(limit.planes);
          limited.tiers[static_cast<std::size_t>(tier)].zones &= zones.mask_of(limit.within);
        }
    }
    if (limited == Tenant{}) continue;
    limited.members = ids;
    for (const std::uint32_t node : ids) tenants_of_[node].push_back(tenants_.size());
    tenants_.push_back(std::move(limited));
  }
}

paths::Allowed TierLimits::of(const Pair& pair, ids::Tier tier) const {
  paths::Allowed allowed;
  const auto from = tenants_of_.find(pair.first), to = tenants_of_.find(pair.second);
  if (from == tenants_of_.end() || to == tenants_of_.end()) return allowed;
  for (const std::size_t tenant : from->second) {
    if (!std::binary_search(to->second.begin(), to->second.end(), tenant)) continue;
    const paths::Allowed& one = tenants_[tenant].tiers[static_cast<std::size_t>(tier)];
    allowed.planes &= one.planes;
    allowed.zones &= one.zones;
  }
  return allowed;
}

bool TierLimits::allows(const Pair& pair, ids::Tier tier, const paths::Route& route) const {
  const paths::Allowed allowed = of(pair, tier);
  for (std::size_t hop = 0; hop < route.hops(); ++hop)
    if ((allowed.planes >> route.planes[hop].value & 1) == 0) return false;
  const auto relays = route.relay_list();
  return std::all_of(relays.begin(), relays.end(),
                     [&](ids::NodeId relay) { return (allowed.zones >> zone_of(relay.value) & 1) != 0; });
}

std::uint8_t TierLimits::zone_of(std::uint32_t node) const {
  const auto at = zones_.find(node);
  return at == zones_.end() ? 0 : at->second;
}

paths::Choices TierLimits::allowed(const Pair& pair, ids::Tier tier, paths::Choices lists) const {
  std::erase_if(lists, [&](const paths::Choice& choice) { return !allows(pair, tier, choice.route); });
  return lists;
}

void TierLimits::bind(std::uint32_t headend, proto::v1::SrPolicy& policy) const {
  const Pair pair{headend, policy.endpoint()};
  const auto tier = static_cast<ids::Tier>(policy.tier());
  const paths::Allowed allowed = of(pair, tier);
  if (allowed.everything()) return;
  auto& paths = *policy.mutable_paths();
  const int before = paths.size();
  paths.erase(std::remove_if(paths.begin(), paths.end(),
                             [&](const auto& path) {
                               const auto route = route_of(path, policy.endpoint());
                               return !route || !allows(pair, tier, *route);
                             }),
              paths.end());
  if (paths.size() != before)  // a split that lost a list is none any more
    for (auto& path : paths) path.set_weight(1);
  policy.set_planes(policy.planes() == 0 ? allowed.planes : policy.planes() & allowed.planes);
}

std::set<std::uint32_t> TierLimits::peers_of(std::uint32_t node) const {
  std::set<std::uint32_t> peers;
  const auto own = tenants_of_.find(node);
  if (own == tenants_of_.end()) return peers;
  for (const std::size_t tenant : own->second)
    peers.insert(tenants_[tenant].members.begin(), tenants_[tenant].members.end());
  peers.erase(node);
  return peers;
}

}  // namespace qanat::domain
