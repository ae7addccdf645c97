#include "dataplane/crypto/rate_limiter.hh"

#include <algorithm>

namespace qanat::crypto {
namespace {
constexpr base::Duration kCost = std::chrono::nanoseconds(std::chrono::seconds(1)) / RateLimiter::kPerSecond;
constexpr base::Duration kFull = kCost * RateLimiter::kBurst;
}  // namespace

bool RateLimiter::allow(const packet::IpAddress& source, base::Time now) {
  packet::IpAddress key = source;
  if (key.family == packet::IpFamily::V6) key.low = 0;
  auto it = buckets_.find(key);
  if (it == buckets_.end()) {
    if (buckets_.size() >= kMaxSources) forget_idle(now);
    if (buckets_.size() >= kMaxSources) return false;
    it = buckets_.emplace(key, Bucket{now, kFull}).first;
  }
  Bucket& bucket = it->second;
  bucket.credit = std::min(kFull, bucket.credit + (now - bucket.updated));
  bucket.updated = now;
  if (bucket.credit < kCost) return false;
  bucket.credit -= kCost;
  return true;
}

void RateLimiter::forget_idle(base::Time now) {
  // A full bucket is the same as none. At most one sweep a second, so that a flood of addresses can't buy sweeps.
  if (!buckets_.empty() && now - swept_ < std::chrono::seconds(1)) return;
  swept_ = now;
  std::erase_if(buckets_, [now](const auto& entry) {
    return entry.second.credit + (now - entry.second.updated) >= kFull;
  });
}

}  // namespace qanat::crypto
