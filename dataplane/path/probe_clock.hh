// Microseconds as probes carry them, and back.
// Whatever a peer says stays below 2^52, 142 years: so that sums of a few stay sums.
#pragma once

#include <chrono>
#include <cstdint>

#include "base/time.hh"
#include "dataplane/packet/probe.hh"

namespace qanat::path {

inline std::uint64_t to_us(base::Time t) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(t.time_since_epoch()).count());
}
// Whatever a peer says: 142 years at most, so that sums stay sums.
inline base::Time from_us(std::uint64_t us) {
  return base::Time{std::chrono::microseconds{static_cast<std::int64_t>(us & 0xfffffffffffffULL)}};
}
// When a report's newest probe was heard, by the clock of who heard it.
inline std::int64_t arrival_us(const packet::ProbeReport& report) {
  const std::uint64_t sum = report.last_transmit_us + static_cast<std::uint64_t>(report.one_way_raw_us);
  return static_cast<std::int64_t>(sum & 0xfffffffffffffULL);
}

}  // namespace qanat::path
