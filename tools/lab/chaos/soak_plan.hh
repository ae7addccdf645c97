// The soak's plan: which scenario starts when, drawn by the seed, so that no two kill the same daemon at once.
// Values only; the same seed gives the same plan.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/lab/chaos/scenario.hh"

namespace qanat::chaos {

struct PlannedAction {
  base::Duration at{};    // since the soak's start
  std::uint64_t run = 0;  // which run of a scenario, 1 …
  std::string scenario;
  Action action;
};

struct SoakPlanOptions {
  base::Duration length{};
  base::Duration every{};             // between two scenarios' starts, on average
  base::Duration rest{};              // what a thing is left alone for after a scenario has let go of it
  std::size_t most_daemons_down = 1;  // killed or paused at the same time
};

// Actions by time. Nothing starts that could not end before `length`.
std::vector<PlannedAction> plan_soak(const std::vector<Scenario>& scenarios, const lab::Topology& topology,
                                     std::uint64_t seed, const SoakPlanOptions& options);

}  // namespace qanat::chaos
