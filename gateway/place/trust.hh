// Trust: what a pool says of itself held against what its calls saw. Within a factor of three a prediction is off by
// weather; beyond it the pool's figures are wrong (a fault, or a lie), and predictions are corrected by what was measured.
#pragma once

#include <algorithm>
#include <cmath>

#include "base/time.hh"

namespace qanat::place {

class Trust {
 public:
  static constexpr double kGross = 3;  // corrected from here on
  static constexpr double kMost = 50;
  static constexpr double kGain = 0.25;

  // `believed`: the correction that was in force when the call was placed, already inside `predicted`.
  void learn(base::Duration predicted, double believed, base::Duration seen) {
    if (predicted.count() <= 0 || seen.count() <= 0) return;
    const double ratio = std::log(double(seen.count()) / double(predicted.count())) + std::log(believed);
    log_ratio_ += kGain * (std::clamp(ratio, -std::log(kMost), std::log(kMost)) - log_ratio_);
  }
  // To be multiplied with predictions; 1 while the pool is believed.
  double correction() const {
    const double factor = std::exp(log_ratio_);
    return factor < kGross ? 1 : factor;
  }

 private:
  double log_ratio_ = 0;
};

}  // namespace qanat::place
