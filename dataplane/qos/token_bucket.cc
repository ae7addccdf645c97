#include "dataplane/qos/token_bucket.hh"

#include <algorithm>

namespace qanat::qos {

TokenBucket::TokenBucket(std::uint64_t bits_per_second, base::Duration burst)
    : rate_bps_(bits_per_second), burst_(burst) {}

base::Duration TokenBucket::cost(std::size_t bytes) const {
  const std::uint64_t rate = rate_bps();
  if (rate == 0) return {};
  return base::Duration{static_cast<std::int64_t>(std::uint64_t{bytes} * 8 * 1'000'000'000 / rate)};
}

bool TokenBucket::admit(std::size_t bytes, base::Time now) {
  const std::int64_t at = now.time_since_epoch().count();
  const std::int64_t price = cost(bytes).count();
  std::int64_t due = due_.load(std::memory_order_relaxed);
  for (;;) {
    const std::int64_t then = std::max(due, at) + price;
    // What alone exceeds the burst passes a full bucket: else it never would.
    if (then - at > burst_.count() && due > at) return false;
    if (due_.compare_exchange_weak(due, then, std::memory_order_relaxed)) return true;
  }
}

base::Time TokenBucket::ready_at() const {
  if (!limited()) return base::Time{};
  return base::Time{base::Duration{due_.load(std::memory_order_relaxed)}} - burst_;
}

void TokenBucket::charge(std::size_t bytes, base::Time now) {
  const std::int64_t at = now.time_since_epoch().count();
  const std::int64_t price = cost(bytes).count();
  std::int64_t due = due_.load(std::memory_order_relaxed);
  while (!due_.compare_exchange_weak(due, std::max(due, at) + price, std::memory_order_relaxed)) {
  }
}

}  // namespace qanat::qos
