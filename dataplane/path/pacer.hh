// Pacer: spaces what leaves on one pipe at a rate, in bursts of a millisecond or of one GSO run, whichever is more:
// queues fill with bursts long before they fill with averages.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/time.hh"

namespace qanat::path {

class Pacer {
 public:
  static constexpr base::Duration kBurst = std::chrono::milliseconds{1};
  static constexpr std::uint64_t kLeastBurst = 2 * 1500;  // bytes

  // Bytes a second, above 0. What was sent already keeps its price.
  void set_rate(std::uint64_t bytes_per_second) {
    rate_ = std::max<std::uint64_t>(bytes_per_second, 1000);
    burst_ = std::max(kBurst, cost(kLeastBurst));
  }
  std::uint64_t rate() const { return rate_; }
  // A datagram may leave at or after this instant.
  base::Time next() const { return next_ - burst_; }
  bool ready(base::Time now) const { return next() <= now; }
  void on_sent(std::size_t bytes, base::Time now) { next_ = std::max(next_, now) + cost(bytes); }

 private:
  base::Duration cost(std::uint64_t bytes) const {
    return base::Duration{static_cast<std::int64_t>(bytes * 1'000'000'000ULL / rate_)};
  }
  std::uint64_t rate_ = 1'250'000;
  base::Duration burst_ = std::chrono::milliseconds{1};
  base::Time next_{};  // when the line at this rate would have finished with all that was sent
};

}  // namespace qanat::path
