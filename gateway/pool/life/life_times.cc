#include "gateway/pool/life/life_times.hh"

#include <algorithm>
#include <cmath>
#include <vector>

#include "gateway/pool/engine/card.hh"

namespace qanat::pool {

LifeTimes life_times(const Card& card, std::uint32_t cards, const Model& model, const SitePlan& site,
                     std::span<const WeightCopy> copies, double time_scale) {
  const double bytes = model.weight_bytes();
  const double disk = site.disk_gb_per_s * 1e9;
  const double host = card.host_gb_per_s * 1e9 * cards;  // every card takes its own part over its own lanes
  const auto scaled = [&](double seconds) {
    return base::Duration(std::max<std::int64_t>(1, std::llround(seconds / time_scale * 1e9)));
  };
  std::vector<WeightCopy> nearest(copies.begin(), copies.end());
  std::stable_sort(nearest.begin(), nearest.end(),
                   [](const WeightCopy& a, const WeightCopy& b) { return a.rtt_ms < b.rtt_ms; });
  double rate = 0, rtt = 0;
  for (const WeightCopy& copy : nearest) {
    if (rate >= disk) break;
    rate += copy.gb_per_s * 1e9;
    rtt = std::max(rtt, copy.rtt_ms * 1e-3);
  }
  LifeTimes times;
  if (rate > 0) times.stage = scaled(bytes / std::min(rate, disk) + 2 * rtt);
  const double from_disk = std::max(bytes / disk, bytes / host);
  times.load = scaled(site.start_s + from_disk);
  times.reload = scaled(site.start_s + bytes / host);
  times.warm = scaled(site.warm_s_per_layer * model.layers);
  // The image of a warmed process: its weights, and what the graphs hold.
  times.restore = scaled(from_disk * 1.05 + 0.5);
  return times;
}

}  // namespace qanat::pool
