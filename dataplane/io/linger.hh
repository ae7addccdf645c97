// Linger: whether a worker that has run out of work keeps looking for more before it sleeps. A wake-up costs some thirty
// microseconds at each box on the way; looking costs the CPU that it takes, so it is done only where it pays.
#pragma once

#include <algorithm>

#include "base/time.hh"

namespace qanat::io {

struct LingerOptions {
  // Looked this long at most, and only while about every fourth time something came within it: nothing while nothing
  // comes, and at most a quarter of a CPU. 0: never.
  base::Duration adaptive = std::chrono::microseconds{100};
  base::Duration always{};  // busy polling: looked this long after every piece of work, whatever it costs
};

// Time comes in; a worker asks before it waits.
class Linger {
 public:
  static constexpr base::Duration kBudget = std::chrono::milliseconds{5};  // saved up at most, and at first

  explicit Linger(const LingerOptions& options) : options_(options) {}

  // Work has been found: after how long a pause? Call it before the work is done.
  void on_work(base::Time now) {
    const base::Duration pause = now - idle_since_;
    // A sleeper sees what came during its wake-up later than a looker does.
    const bool paid = pause < options_.adaptive + (looking_ ? base::Duration{} : kWakeUp);
    hits_ += ((paid ? kOne : 0) - hits_) / 8;
    spend(now);
    worked_ = true;
  }
  // Nothing more to do now: true to look once more instead of sleeping.
  bool looks(base::Time now) {
    spend(now);
    if (worked_) idle_since_ = now;
    worked_ = false;
    const base::Duration pause = now - idle_since_;
    looking_ = pause < options_.always ||
               (pause < options_.adaptive && hits_ >= kOne / 4 && budget_ > base::Duration{});
    return looking_;
  }

 private:
  static constexpr int kOne = 1024;
  static constexpr base::Duration kWakeUp = std::chrono::microseconds{50};

  void spend(base::Time now) {
    const base::Duration passed = now - last_;
    last_ = now;
    budget_ = std::min(kBudget, budget_ + passed / 4 - (looking_ ? passed : base::Duration{}));
  }

  LingerOptions options_;
  base::Time idle_since_{};
  base::Time last_{};
  base::Duration budget_ = kBudget;
  int hits_ = 0;  // how often it would have paid, of kOne
  bool worked_ = false;
  bool looking_ = false;
};

}  // namespace qanat::io
