// Steps: from one allocation to the next without ever overloading a resource on the way. Headends switch at their own time,
// so within a step each demand counts both where it was and where it goes.
#pragma once

#include "controller/te/allocation.hh"

namespace qanat::te {

using Flows = std::vector<std::vector<double>>;  // [demand][path]

struct Steps {
  std::vector<Flows> steps;  // the last one is as near to the target as could be come
  bool complete = false;  // it is the target; otherwise there was nowhere to turn around: lower a rate first
};
// Both meet the capacities.
Steps plan_steps(std::span<const double> capacities, std::span<const Demand> demands, const Flows& from,
                 const Flows& to, std::size_t most = 32);

}  // namespace qanat::te
