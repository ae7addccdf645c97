// WhatIf: answers by the code that decides (paths::Engine, Steering, te::Allocation), on a copy of what a level knows. Pure, so
// that it may run on another thread while the controller goes on.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "controller/domain/config_compiler.hh"
#include "controller/domain/steering.hh"
#include "controller/session/what_if.hh"

namespace qanat::domain {

// What a level knows at one moment.
struct Frozen {
  std::vector<topology::Node> nodes;  // relays as enrolled: drains are in `rules`
  std::vector<telemetry::Link> links;
  std::set<Pair> pairs;
  Selections selections;
  LimitedWays limited;
  TierWays tier_ways;
  Drained drained;                               // by another level
  std::map<std::string, std::uint32_t> numbers;  // of all nodes
  std::map<std::string, std::vector<std::uint32_t>> tenants;
  std::map<std::uint32_t, std::string> locations;
  policy::Rules rules;
  base::UnixSeconds now = 0;
};

session::WhatIfAnswer answer(const Frozen& frozen, const session::WhatIf& question);

}  // namespace qanat::domain
