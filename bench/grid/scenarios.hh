// The scenarios that DESIGN §12 names, in virtual time, and the grid of thirty path pairs.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "bench/grid/world.hh"

namespace qanat::grid {

// A link of `mbps` with `rtt_ms` there and back, and a queue of one bandwidth-delay product, at least 20 packets.
LinkSpec link(double mbps, double rtt_ms, double loss = 0, double jitter_ms = 0, double queue_bdp = 1);

// One flow through the tunnel over these links.
Scenario over(const std::vector<LinkSpec>& links, std::uint64_t seed);

// One of the thirty: a reference path, and one that is worse in rate, delay, loss or steadiness.
struct Pair {
  double rate_ratio;  // the first one's rate over the second's
  double spread_ms;   // the second one's round trip beyond the first's
  double loss;        // of the second
  double jitter_ms;   // of the second
  LinkSpec first, second;
};
std::vector<Pair> thirty();

struct PairResult {
  double both = 0, first = 0, second = 0;  // bit/s
  double ratio() const { return both / std::max(first, second); }
};
PairResult measure(const Pair& pair, std::uint64_t seed, base::Duration length);

}  // namespace qanat::grid
