// LookOn: for how long a loop that has nothing to do looks on before it sleeps. A core that halts takes tens of microseconds
// to wake; looking on costs the CPU time of the look. So it lasts long only where the last sleeps would have been short:
// the window doubles after a sleep that a longer look would have spared, and is gone after a longer one (as KVM's
// halt-polling does, Documentation/virt/kvm/halt-polling.rst of Linux). Sans-I/O.
#pragma once

#include <algorithm>
#include <chrono>

#include "base/time.hh"

namespace qanat::base {

class LookOn {
 public:
  // 0: never.
  explicit LookOn(Duration at_most) : at_most_(at_most) {}

  Duration window() const { return window_; }
  // A sleep after a look in vain, and how long it lasted.
  void on_slept(Duration slept) {
    if (window_ + slept > at_most_)
      window_ = {};
    else
      window_ = std::min(at_most_, std::max(kFirst, 2 * (window_ + slept)));
  }

 private:
  static constexpr Duration kFirst = std::chrono::microseconds{10};
  Duration at_most_, window_{};
};

}  // namespace qanat::base
