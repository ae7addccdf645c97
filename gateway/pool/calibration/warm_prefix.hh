// WarmPrefix: what a prefix cache is worth as load grows: the same burst of calls on a cold server and on one that has
// just served the same prompts. White paper §3.4: warm, TTFT falls sharply and TPOT hardly changes; past capacity TTFT
// explodes and warm converges to cold, because it is the queue that calls wait for.
#pragma once

#include <vector>

#include "gateway/pool/calibration/load_test.hh"

namespace qanat::pool {

struct WarmPoint {
  std::uint32_t clients = 0;
  LoadResult cold, warm;
};

// One point for each number of clients, who all call at once.
std::vector<WarmPoint> warm_against_cold(const Roofline& roofline, const LoadTest& test,
                                         const std::vector<std::uint32_t>& clients);

}  // namespace qanat::pool
