// NodeClock: what a node's clock shows: off by an offset, running fast or slow, jumping when somebody sets it.
// For simulations, where a node's every timestamp passes here. Real processes share the kernel's oscillator:
// there only the offset of CLOCK_MONOTONIC and CLOCK_BOOTTIME can differ (`linkem --clock-offset`).
#pragma once

#include <cmath>

#include "base/time.hh"

namespace qanat::linkem {

class NodeClock {
 public:
  NodeClock() = default;
  // At true time `start` it shows start + offset, and gains `drift_ppm` µs a second from then on.
  NodeClock(base::Time start, base::Duration offset, double drift_ppm)
      : since_(start), shows_(start + offset), drift_ppm_(drift_ppm) {}

  // What it shows at the true time `now`.
  base::Time at(base::Time now) const {
    const auto passed = now - since_;
    return shows_ + passed +
           base::Duration(std::llround(static_cast<double>(passed.count()) * drift_ppm_ * 1e-6));
  }
  // The true time at which it shows `shown`: when a timer that the node sets by its clock goes off.
  base::Time when(base::Time shown) const {
    const auto passed = static_cast<double>((shown - shows_).count()) / (1 + drift_ppm_ * 1e-6);
    return since_ + base::Duration(std::llround(passed));
  }
  // From the true time `now` on it is `by` ahead of what it showed.
  void jump(base::Time now, base::Duration by) { shows_ = at(now) + by, since_ = now; }
  void set_drift(base::Time now, double drift_ppm) { shows_ = at(now), since_ = now, drift_ppm_ = drift_ppm; }

 private:
  base::Time since_{}, shows_{};
  double drift_ppm_ = 0;  // above −1,000,000
};

}  // namespace qanat::linkem
