#include "bench/te/lp.hh"

#include <algorithm>
#include <coin/ClpSimplex.hpp>
#include <coin/CoinPackedMatrix.hpp>
#include <ctime>

namespace qanat::bench {
namespace {

// Rows: one a resource (≤ its capacity), then one a demand. Columns: one a path, then the common share where wanted.
LpResult solve(std::span<const double> capacities, std::span<const te::Demand> demands,
               std::span<const double> floors, bool concurrent, double limit_s) {
  const int resources = static_cast<int>(capacities.size()),
            rows = resources + static_cast<int>(demands.size());
  std::vector<int> starts{0}, index;
  std::vector<double> element, lower, upper, cost;
  for (std::size_t d = 0; d < demands.size(); ++d) {
    for (const auto& path : demands[d].paths) {
      for (const te::Resource r : path) {
        index.push_back(static_cast<int>(r));
        element.push_back(1);
      }
      index.push_back(resources + static_cast<int>(d));
      element.push_back(1);
      starts.push_back(static_cast<int>(index.size()));
      lower.push_back(0);
      upper.push_back(COIN_DBL_MAX);
      cost.push_back(concurrent ? 0 : -1);
    }
  }
  if (concurrent) {
    for (std::size_t d = 0; d < demands.size(); ++d) {
      index.push_back(resources + static_cast<int>(d));
      element.push_back(-demands[d].rate);
    }
    starts.push_back(static_cast<int>(index.size()));
    lower.push_back(0);
    upper.push_back(1);
    cost.push_back(-1);
  }
  std::vector<double> row_lower(static_cast<std::size_t>(rows), -COIN_DBL_MAX),
      row_upper(capacities.begin(), capacities.end());
  for (std::size_t d = 0; d < demands.size(); ++d) {
    row_lower[static_cast<std::size_t>(resources) + d] = concurrent ? 0 : floors[d] * (1 - 1e-9);
    row_upper.push_back(concurrent ? COIN_DBL_MAX : demands[d].rate);
  }
  ClpSimplex model;
  model.setLogLevel(0);
  model.loadProblem(static_cast<int>(starts.size()) - 1, rows, starts.data(), index.data(), element.data(),
                    lower.data(), upper.data(), cost.data(), row_lower.data(), row_upper.data());
  model.setMaximumSeconds(limit_s);
  const double begin = thread_seconds();
  model.dual();
  if (model.problemStatus() == 1) model.primal();  // said infeasible: by rounding of the floors
  LpResult out;
  out.seconds = thread_seconds() - begin;
  out.value = -model.objectiveValue();
  out.optimal = model.isProvenOptimal();
  return out;
}

}  // namespace

double thread_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

LpResult most_total(std::span<const double> capacities, std::span<const te::Demand> demands,
                    std::span<const double> floors, double limit_s) {
  return solve(capacities, demands, floors, false, limit_s);
}

LpResult most_concurrent(std::span<const double> capacities, std::span<const te::Demand> demands,
                         double limit_s) {
  return solve(capacities, demands, {}, true, limit_s);
}

}  // namespace qanat::bench
