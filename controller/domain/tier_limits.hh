// TierLimits: what the tenants of a pair leave to each of its tiers to travel over, by the rules at one moment. Lists belong to
// a pair and a tier: where two boxes share several tenants, every one's limits hold. A value.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "controller/paths/engine.hh"
#include "controller/policy/rules.hh"
#include "identifiers/proto/southbound.pb.h"

namespace qanat::domain {

class TierLimits {
 public:
  using Pair = paths::Engine::Pair;

  TierLimits() = default;
  // Members by their tenant's name, and where nodes stand. Tenants that do not exist limit nobody.
  TierLimits(const policy::Rules& rules, const std::map<std::string, std::vector<std::uint32_t>>& members,
             const std::map<std::uint32_t, std::string>& locations);

  bool none() const { return tenants_.empty(); }
  // Plane 0, which is none, is always allowed.
  paths::Allowed of(const Pair& pair, ids::Tier tier) const;
  bool allows(const Pair& pair, ids::Tier tier, const paths::Route& route) const;
  // Of these lists, those that may be used.
  paths::Choices allowed(const Pair& pair, ids::Tier tier, paths::Choices lists) const;
  // Takes a headend's lists out that may not be used, and says what may.
  void bind(std::uint32_t headend, proto::v1::SrPolicy& policy) const;
  // A number for the place among those that limits name: the closest one that it is in; 0: in none.
  std::uint8_t zone_of(std::uint32_t node) const;
  // With whom it shares a tenant that is limited.
  std::set<std::uint32_t> peers_of(std::uint32_t node) const;

  bool operator==(const TierLimits&) const = default;

 private:
  struct Tenant {
    std::array<paths::Allowed, ids::kTierCount> tiers{};
    std::vector<std::uint32_t> members;
    bool operator==(const Tenant&) const = default;
  };
  std::vector<Tenant> tenants_;
  std::map<std::uint32_t, std::vector<std::size_t>> tenants_of_;  // of each node, ascending
  std::map<std::uint32_t, std::uint8_t> zones_;                   // of each node that is in one
};

}  // namespace qanat::domain
