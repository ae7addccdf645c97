// Time: the monotonic instant that every sans-I/O core is given; virtual in simulations, CLOCK_MONOTONIC in
// daemons. It has no now(): a core that reads a clock does not compile. Shells read it through base/clock.hh.
#pragma once

#include <chrono>
#include <cstdint>

namespace qanat::base {

struct Monotonic {
  using rep = std::int64_t;
  using period = std::nano;
  using duration = std::chrono::nanoseconds;
  using time_point = std::chrono::time_point<Monotonic>;
  static constexpr bool is_steady = true;
};

using Time = Monotonic::time_point;
using Duration = Monotonic::duration;

// Seconds since the Unix epoch, UTC: for expiries that two boxes must agree on (±5 min of clock, DESIGN §3).
using UnixSeconds = std::uint64_t;

}  // namespace qanat::base
