// Precedence: when a worker goes before everybody else on its CPU. The fair scheduler makes a thread that has used up its
// share wait for the next tick (4 ms at 250 Hz); `critical` must not wait that long behind the bulk it passes.
#pragma once

#include <algorithm>

#include "base/time.hh"

namespace qanat::io {

// Ahead only while `critical` passes a worker that others take the CPU from, and never with all of the CPU: about a sixth
// of it is given away whatever waits, so that what else lives on the machine goes on. What is given before it is taken
// never makes a worker of the fair class wait for a tick either. Time comes in; one thread.
class Precedence {
 public:
  static constexpr base::Duration kSample = std::chrono::milliseconds{10};
  static constexpr base::Duration kHold =
      std::chrono::seconds{5};  // after the last packet, and the last preemption
  // Short windows: the applications that `critical` belongs to are among those who wait behind such a worker. Twice as
  // long, with 50 µs left of each, its p99 under bulk on two cores is a fifth higher (five pairs of runs).
  static constexpr base::Duration kWindow = std::chrono::microseconds{250};
  static constexpr base::Duration kLeft = std::chrono::microseconds{40};  // of each, for everybody else

  void on_urgent(base::Time now) { urgent_until_ = now + kHold; }
  bool sample_due(base::Time now) const { return now >= next_sample_; }
  // `preemptions`: the thread's involuntary context switches so far. Then ahead() says how it should run.
  void sample(base::Time now, std::uint64_t preemptions) {
    next_sample_ = now + kSample;
    if (preemptions != preemptions_) contended_until_ = now + kHold;
    preemptions_ = preemptions;
    ahead_ = permitted_ && now < urgent_until_ && now < contended_until_;
  }
  bool ahead() const { return ahead_; }
  // The kernel refused: it is not asked again.
  void refused() { permitted_ = ahead_ = false; }

  // The worker slept that long.
  void slept(base::Duration time) { given_ += time; }
  // How long to do nothing but what is urgent, now.
  base::Duration rest(base::Time now) {
    if (!ahead_ || now - window_ < kWindow) return {};
    const base::Duration missing = std::max(base::Duration{}, kLeft - given_);
    window_ = now + missing;
    given_ = {};
    return missing;
  }

 private:
  base::Time urgent_until_{};
  base::Time contended_until_{};
  base::Time next_sample_{};
  base::Time window_{};
  base::Duration given_{};
  std::uint64_t preemptions_ = 0;
  bool permitted_ = true;
  bool ahead_ = false;
};

}  // namespace qanat::io
