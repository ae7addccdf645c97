// Lp: the two linear programs that allocations are held against, solved by COIN-OR CLP.
#pragma once

#include <span>
#include <vector>

#include "controller/te/allocation.hh"

namespace qanat::bench {

// CPU time of this thread: ours and the LP's alike, so that others' work tells on neither.
double thread_seconds();

struct LpResult {
  double value = 0;
  double seconds = 0;  // of the solver alone, one thread; building the model is not counted
  bool optimal = false;
};

// The most that can be carried in all, every demand getting at least `floors` of it.
LpResult most_total(std::span<const double> capacities, std::span<const te::Demand> demands,
                    std::span<const double> floors, double limit_s);
// Maximum concurrent flow: the largest share that all demands can have together, at most 1.
LpResult most_concurrent(std::span<const double> capacities, std::span<const te::Demand> demands,
                         double limit_s);

}  // namespace qanat::bench
