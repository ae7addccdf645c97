#include "controller/te/steps.hh"

#include <algorithm>
#include <limits>
#include <numeric>

namespace qanat::te {

Steps plan_steps(std::span<const double> capacities, std::span<const Demand> demands, const Flows& from,
                 const Flows& to, std::size_t most) {
  constexpr double kNothing = 1e-6;
  Steps out;
  Flows now = from;
  for (std::size_t step = 0; step < most; ++step) {
    // Room at the step's start, less what has been added in it; what moves away frees its room at the end only.
    std::vector<double> room(capacities.begin(), capacities.end());
    for (std::size_t d = 0; d < demands.size(); ++d)
      for (std::size_t p = 0; p < now[d].size(); ++p)
        for (const Resource r : demands[d].paths[p]) room[r] -= now[d][p];
    double moved = 0, left = 0;
    Flows next = now;
    for (std::size_t d = 0; d < demands.size(); ++d) {
      const double has = std::accumulate(now[d].begin(), now[d].end(), 0.0);
      const double wants = std::accumulate(to[d].begin(), to[d].end(), 0.0);
      double spare = std::max(wants - has, 0.0);  // new traffic, from no path
      double give = 0;
      for (std::size_t p = 0; p < now[d].size(); ++p) give += std::max(now[d][p] - to[d][p], 0.0);
      for (std::size_t q = 0; q < now[d].size(); ++q) {
        double amount = std::min(to[d][q] - now[d][q], give + spare);
        for (const Resource r : demands[d].paths[q]) amount = std::min(amount, room[r]);
        if (amount <= 0) continue;
        for (const Resource r : demands[d].paths[q]) room[r] -= amount;
        next[d][q] += amount;
        moved += amount;
        const double fresh = std::min(spare, amount);
        spare -= fresh;
        amount -= fresh;
        give -= amount;
        for (std::size_t p = 0; p < now[d].size() && amount > 0; ++p) {
          const double off = std::min(amount, std::max(next[d][p] - to[d][p], 0.0));
          next[d][p] -= off;
          amount -= off;
        }
      }
      // A demand that shrinks lets go of what it does not want any more.
      double less = std::max(has - wants, 0.0);
      for (std::size_t p = 0; p < now[d].size() && less > 0; ++p) {
        const double off = std::min(less, std::max(next[d][p] - to[d][p], 0.0));
        next[d][p] -= off;
        less -= off;
        moved += off;
      }
      for (std::size_t p = 0; p < now[d].size(); ++p) left += std::max(to[d][p] - next[d][p], 0.0);
    }
    if (moved <= kNothing) break;
    now = next;
    out.steps.push_back(now);
    if (left <= kNothing) break;
  }
  double left = 0;
  for (std::size_t d = 0; d < demands.size(); ++d)
    for (std::size_t p = 0; p < now[d].size(); ++p)
      left += std::max(to[d][p] - now[d][p], now[d][p] - to[d][p]);
  out.complete = left <= kNothing * static_cast<double>(demands.size() + 1);
  return out;
}

}  // namespace qanat::te
