// Tenants' rates in a plan of traffic: of what a pair asks for, what its tenant was promised (committed), and up to where
// there is room for it (burst). Boxes report by pair: a pair is of the tenant that both its ends are members of; of several,
// the one with the largest committed rate. A pair of none has nothing committed and no end.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "controller/domain/traffic_question.hh"

namespace qanat::domain {

struct RatedTenant {
  std::string name;
  double committed_bps = 0;
  double burst_bps = 0;                // at least committed
  std::vector<std::uint32_t> members;  // ascending
};

// Sets the asks' tenant, committed_bps and most_bps: higher tiers have their tenants' rates first, pairs of one tier get the
// same share of what they ask for.
void divide(std::vector<TrafficAsk>& asks, const std::vector<RatedTenant>& tenants);

}  // namespace qanat::domain
