// Jitter: how unevenly a path's one-way delays come (RFC 3550 §6.4.1), from raw values that hold two clocks' offset.
#pragma once

#include <cstdint>
#include <cstdlib>

#include "base/time.hh"

namespace qanat::path {

class Jitter {
 public:
  void add(std::int64_t raw_us) {
    if (begun_) {
      // Modulo 2^64: both hold clocks that may say anything. A jump of one is no jitter.
      const auto step_us =
          static_cast<std::int64_t>(static_cast<std::uint64_t>(raw_us) - static_cast<std::uint64_t>(raw_us_));
      if (step_us > -kAbsurdStepUs && step_us < kAbsurdStepUs)
        value_ += (base::Duration{std::chrono::microseconds{std::abs(step_us)}} - value_) / 16;
    }
    raw_us_ = raw_us;
    begun_ = true;
  }
  base::Duration value() const { return value_; }
  std::int64_t newest_raw_us() const { return raw_us_; }

 private:
  static constexpr std::int64_t kAbsurdStepUs = 10'000'000;
  base::Duration value_{};
  std::int64_t raw_us_ = 0;
  bool begun_ = false;
};

}  // namespace qanat::path
