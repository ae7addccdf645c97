// Replays of traces in virtual time: how fast one engine is simulated, and what placement makes of several.
#pragma once

#include <string>
#include <vector>

#include "bench/pool/traces.hh"
#include "gateway/pool/engine/engine.hh"

namespace qanat::bench {

struct Speed {
  double calls_per_minute = 0;  // simulated calls per minute of wall time
  std::string text;             // what was simulated: mean TTFT and TPOT, hit rate, steps
};
// The whole trace through one engine, from its first arrival until it is idle.
Speed simulate(const std::vector<TraceCall>& trace, const pool::Roofline& roofline,
               const pool::EngineLimits& limits);

enum class Placement { LeastLoaded, PrefixAware };
struct Placed {
  double hit_blocks = 0;              // prompt blocks found in the engines' caches
  double blocks = 0;                  // of all prompt blocks
  double load_max_over_mean = 0;      // of the prompt tokens that the engines were given
  double computed_max_over_mean = 0;  // of those they had to compute
  double ttft_mean_s = 0;
};
Placed place(const std::vector<TraceCall>& trace, const pool::Roofline& roofline,
             const pool::EngineLimits& limits, std::size_t pools, Placement placement);

}  // namespace qanat::bench
