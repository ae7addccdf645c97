// Spread: how the flows of one pair and tier are split over its lists, and how much of them was allocated. Pairs without one
// go by preference alone.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "controller/paths/segment_route.hh"
#include "identifiers/ids/tier.hh"
#include "identifiers/proto/southbound.pb.h"

namespace qanat::domain {

struct Spread {
  static constexpr std::uint32_t kWhole = 1000;
  struct Part {
    paths::Route route;
    std::uint32_t permille = 0;
    bool operator==(const Part&) const = default;
  };
  std::vector<Part> parts;  // in the order of the pair's choices; kWhole together
  double allocated_bps = 0;

  std::uint32_t of(const paths::Route& route) const;
  // Of each list, in the policy's order; empty: the policy has other lists than this was made for.
  std::vector<std::uint32_t> weights_for(const proto::v1::SrPolicy& policy) const;
};

// Nothing: no list of a domain's.
std::optional<paths::Route> route_of(const proto::v1::CandidatePath& path, std::uint32_t endpoint);

using SpreadKey = std::pair<std::pair<std::uint32_t, std::uint32_t>, ids::Tier>;  // (headend, endpoint), tier
using Spreads = std::map<SpreadKey, Spread>;

// Splits in force become those of a plan, each that differs only if it may; what is allocated is the plan's anyway.
void follow(Spreads& held, const Spreads& plan, const std::function<bool(const SpreadKey&)>& may_change);

// What a node's held configuration says, nothing allocated: for a start from what was pushed before.
void adopt(const proto::v1::NodeConfig& config, Spreads& spreads);

}  // namespace qanat::domain
