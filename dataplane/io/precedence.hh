// Precedence: when a worker runs in the kernel's real-time class. The fair scheduler makes a preempted thread wait for the
// next tick (4 ms at 250 Hz), whatever its nice value; `critical` must not wait that long behind the bulk it passes.
#pragma once

#include <algorithm>

#include "base/time.hh"

namespace qanat::io {

// Real-time only while `critical` passes a worker that others take the CPU from, and never with all of the CPU: about a
// tenth of it is given away whatever waits, so that what else lives on the machine goes on. Time comes in; one thread.
class Precedence {
 public:
  static constexpr base::Duration kSample = std::chrono::milliseconds{10};
  static constexpr base::Duration kHold =
      std::chrono::seconds{5};  // after the last packet, and the last preemption
  // Short windows: the applications that `critical` belongs to are among those who wait behind a real-time worker.
  static constexpr base::Duration kWindow = std::chrono::microseconds{500};
  static constexpr base::Duration kLeft = std::chrono::microseconds{50};  // of each, for everybody else

  void on_urgent(base::Time now) { urgent_until_ = now + kHold; }
  bool sample_due(base::Time now) const { return now >= next_sample_; }
  // `preemptions`: the thread's involuntary context switches so far. Then real_time() says what the class should be.
  void sample(base::Time now, std::uint64_t preemptions) {
    next_sample_ = now + kSample;
    if (preemptions != preemptions_) contended_until_ = now + kHold;
    preemptions_ = preemptions;
    real_time_ = permitted_ && now < urgent_until_ && now < contended_until_;
  }
  bool real_time() const { return real_time_; }
  // The kernel refused: it is not asked again.
  void refused() { permitted_ = real_time_ = false; }

  // The worker slept that long.
  void slept(base::Duration time) { given_ += time; }
  // How long to do nothing but what is urgent, now.
  base::Duration rest(base::Time now) {
    if (!real_time_ || now - window_ < kWindow) return {};
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
  bool real_time_ = false;
};

}  // namespace qanat::io
