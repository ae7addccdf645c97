// CapacityTrace: a link whose rate varies, as recorded: the instants at which it could carry one more 1,500 bytes.
// mahimahi's format (Netravali et al., 2015), so that its traces and everybody's recordings of them work here.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/time.hh"

namespace qanat::linkem {

// One line an opportunity: whole milliseconds since the trace's start, never falling; lines may repeat. The
// trace is repeated for ever; its last line is its length. An opportunity that finds no packet is lost.
class CapacityTrace {
 public:
  static constexpr std::uint32_t kBytes = 1500;  // of IP packets, per opportunity

  // Throws std::invalid_argument with the line and what was expected.
  static CapacityTrace parse(std::string_view text);

  // The index of the first opportunity after `elapsed` since the start.
  std::uint64_t first_after(base::Duration elapsed) const;
  // When opportunity `index` is, since the start.
  base::Duration time_of(std::uint64_t index) const;
  double mean_bps() const;

 private:
  std::vector<std::uint32_t> at_ms_;
};

}  // namespace qanat::linkem
