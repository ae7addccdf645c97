// RateLimiter: 20 handshakes a second per source, bursts of 5 (WireGuard's figures), in bounded memory.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "base/time.hh"
#include "dataplane/packet/ip_address.hh"

namespace qanat::crypto {

class RateLimiter {
 public:
  static constexpr std::uint32_t kPerSecond = 20;
  static constexpr std::uint32_t kBurst = 5;
  static constexpr std::size_t kMaxSources = 8192;

  // True when a handshake from this address may be processed now. IPv6 counts by /64. With the table full of
  // recent sources, new ones are refused.
  bool allow(const packet::IpAddress& source, base::Time now);
  std::size_t sources() const noexcept { return buckets_.size(); }

 private:
  struct Bucket {
    base::Time updated;
    base::Duration credit;
  };
  void forget_idle(base::Time now);
  std::unordered_map<packet::IpAddress, Bucket> buckets_;
  base::Time swept_{};
};

}  // namespace qanat::crypto
