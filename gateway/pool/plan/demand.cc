#include "gateway/pool/plan/demand.hh"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace qanat::pool {

Demand tide(std::string tenant, double peak, double hour, double ratio) {
  Demand demand{std::move(tenant), {}};
  const double low = peak / ratio;
  for (int h = 0; h < 24; ++h) {
    const double phase = 2 * std::numbers::pi * (h - hour) / 24;
    demand.mean[static_cast<std::size_t>(h)] = low + (peak - low) * (1 + std::cos(phase)) / 2;
  }
  return demand;
}

std::uint32_t poisson_quantile(double mean, double quantile) {
  if (!(mean > 0)) return 0;
  // From far below, in logarithms: e^-mean alone is zero for large means.
  const double from = std::floor(std::max(0.0, mean - 12 * std::sqrt(mean) - 12));
  double log_p = from * std::log(mean) - mean - std::lgamma(from + 1);
  double sum = 0;
  for (double n = from;; ++n) {
    sum += std::exp(log_p);
    if (sum >= quantile || n > mean + 40 * std::sqrt(mean) + 40) return static_cast<std::uint32_t>(n);
    log_p += std::log(mean) - std::log(n + 1);
  }
}

Capacity capacity_for(std::span<const Demand> tenants, double quantile) {
  Capacity capacity;
  for (int h = 0; h < 24; ++h) {
    double sum = 0;
    for (const Demand& tenant : tenants) sum += tenant.mean[static_cast<std::size_t>(h)];
    const std::uint32_t needed = poisson_quantile(sum, quantile);
    if (needed <= capacity.together) continue;
    capacity.together = needed;
    capacity.worst_hour = h;
  }
  for (const Demand& tenant : tenants)
    capacity.each_alone +=
        poisson_quantile(*std::max_element(tenant.mean.begin(), tenant.mean.end()), quantile);
  return capacity;
}

}  // namespace qanat::pool
