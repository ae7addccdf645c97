// Demand: how many streams tenants want at once, hour by hour, and what capacity serves all of them together. Peaks that
// fall on different hours, and chance that evens out, are why the sum needs less than the sum of the peaks.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>

namespace qanat::pool {

// Mean streams in each hour of a day. Streams come and go independently, so that the number at one instant is Poisson
// (the M/G/∞ queue: whatever the distribution of their lengths).
struct Demand {
  std::string tenant;
  std::array<double, 24> mean{};
};

// A day that swells from peak / ratio to `peak` around `hour` and ebbs again, as a raised cosine.
Demand tide(std::string tenant, double peak, double hour, double ratio = 10);

// The least n with P(Poisson(mean) ≤ n) ≥ quantile.
std::uint32_t poisson_quantile(double mean, double quantile);

struct Capacity {
  std::uint32_t together = 0;    // serves the sum, in its worst hour, with probability `quantile`
  std::uint32_t each_alone = 0;  // the sum of what each would need by itself
  int worst_hour = 0;
};
Capacity capacity_for(std::span<const Demand> tenants, double quantile = 0.99);

}  // namespace qanat::pool
