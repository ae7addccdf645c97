// Backoff: how long to wait before the controllers' addresses are tried again.
// Doubles with every fruitless round and is jittered, so that a thousand boxes do not return in one instant;
// bounded so that a restarted controller, or the one that takes its place, is found again within 5 s.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/time.hh"

namespace qanat::agent {

class Backoff {
 public:
  static constexpr base::Duration kFirst = std::chrono::milliseconds(200);
  static constexpr base::Duration kMost = std::chrono::seconds(2);

  // `seed` must differ between boxes; the sequence is a pure function of it.
  explicit Backoff(std::uint64_t seed) : random_(seed | 1) {}

  // The wait before the next round: between half and all of 0.2, 0.4 … 2 s.
  base::Duration next() {
    const base::Duration whole = std::min<base::Duration>(kFirst * (1u << std::min(round_, 6u)), kMost);
    ++round_;
    return whole / 2 + whole / 2 * static_cast<std::int64_t>(draw() % 1024) / 1023;
  }
  void reset() { round_ = 0; }

 private:
  // xorshift64*: spread is all that is asked of it.
  std::uint64_t draw() {
    random_ ^= random_ >> 12;
    random_ ^= random_ << 25;
    random_ ^= random_ >> 27;
    return (random_ * 0x2545f4914f6cdd1dULL) >> 32;
  }

  std::uint64_t random_;
  unsigned round_ = 0;
};

}  // namespace qanat::agent
