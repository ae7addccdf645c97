#include "bench/grid/scenarios.hh"

#include <fmt/format.h>

#include <algorithm>

namespace qanat::grid {

LinkSpec link(double mbps, double rtt_ms, double loss, double jitter_ms, double queue_bdp) {
  const double bdp = mbps * 1e6 / 8 * rtt_ms / 1e3 * queue_bdp;
  const auto packets = static_cast<unsigned>(std::max(20.0, bdp / 1500));
  std::string jitter = jitter_ms > 0 ? fmt::format("~uniform({}ms)", jitter_ms) : "";
  std::string forward = fmt::format("{}mbit,delay={}ms{},limit={}p", mbps, rtt_ms / 2, jitter, packets);
  if (loss > 0) forward += fmt::format(",loss={}%", loss * 100);
  return {forward, fmt::format("{}mbit,delay={}ms{},limit=1000p", mbps, rtt_ms / 2, jitter)};
}

Scenario over(const std::vector<LinkSpec>& links, std::uint64_t seed) {
  Scenario s;
  s.links = links;
  for (std::size_t i = 0; i < links.size(); ++i) s.pipes.push_back(i);
  s.flows.push_back({});
  s.seed = seed;
  return s;
}

std::vector<Pair> thirty() {
  std::vector<Pair> pairs;
  constexpr double kMbps = 40, kRtt = 20;
  const auto add = [&](double ratio, double spread, double loss, double jitter) {
    pairs.push_back(
        {ratio, spread, loss, jitter, link(kMbps, kRtt), link(kMbps / ratio, kRtt + spread, loss, jitter)});
  };
  // Rate ratio × spread, on clean links; then what loss and jitter add to the corners.
  for (const double ratio : {1.0, 2.0, 5.0, 10.0})
    for (const double spread : {0.0, 20.0, 50.0, 100.0}) add(ratio, spread, 0, 0);
  for (const double loss : {0.01, 0.05})
    for (const double ratio : {1.0, 4.0})
      for (const double spread : {0.0, 50.0}) add(ratio, spread, loss, 0);
  for (const double ratio : {1.0, 4.0}) {
    add(ratio, 20, 0, 5);
    add(ratio, 100, 0.02, 5);
    add(ratio, 0, 0.05, 2);
  }
  return pairs;
}

PairResult measure(const Pair& pair, std::uint64_t seed, base::Duration length) {
  const auto goodput = [&](const std::vector<LinkSpec>& links) {
    Scenario s = over(links, seed);
    s.length = length;
    s.warm_up = length / 4;
    return run(s).flows[0].goodput_bps;
  };
  return {goodput({pair.first, pair.second}), goodput({pair.first}), goodput({pair.second})};
}

}  // namespace qanat::grid
