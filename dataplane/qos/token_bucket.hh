// TokenBucket: one rate, held together by all workers of a box. A generic cell rate algorithm (ITU-T I.371): its whole
// state is the instant at which everything admitted so far would have left, so that one atomic word is enough.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/time.hh"

namespace qanat::qos {

// Thread-safe, lock-free. A bucket may stand at any rate from 1 bit/s; rate 0 means without limit.
class TokenBucket {
 public:
  static constexpr base::Duration kBurst = std::chrono::milliseconds{10};

  TokenBucket() = default;
  // `burst`: how far ahead of its rate it lets anybody run. What it holds at first is a full burst.
  explicit TokenBucket(std::uint64_t bits_per_second, base::Duration burst = kBurst);

  std::uint64_t rate_bps() const { return rate_bps_.load(std::memory_order_relaxed); }
  bool limited() const { return rate_bps() != 0; }
  // From now on, for whoever asks next. What was admitted before stays admitted.
  void set_rate(std::uint64_t bits_per_second) {
    rate_bps_.store(bits_per_second, std::memory_order_relaxed);
  }

  // A policer's question: takes `bytes` if the burst holds them; false, and nothing is taken, if not.
  bool admit(std::size_t bytes, base::Time now);
  // A shaper's: may something leave now? Then charge() what left: a shaper may run into debt by one packet.
  bool ready(base::Time now) const { return ready_at() <= now; }
  base::Time ready_at() const;
  void charge(std::size_t bytes, base::Time now);

 private:
  base::Duration cost(std::size_t bytes) const;

  std::atomic<std::uint64_t> rate_bps_{0};
  base::Duration burst_ = kBurst;
  std::atomic<std::int64_t> due_{0};  // ns: when all that was admitted would have left at this rate
};

}  // namespace qanat::qos
