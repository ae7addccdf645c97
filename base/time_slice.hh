// TimeSlice: how long a thread keeps the CPU before another one of the same machine gets its turn.
// A loop that answers within a millisecond must not wait for the slice of a thread that writes to a disk: who asks for
// short slices is let in at once when it wakes, and in turn gives way more often.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>

namespace qanat::base {

inline constexpr std::chrono::nanoseconds kShortSlice =
    std::chrono::microseconds{100};  // the least that Linux grants

// For the calling thread, and those that it makes from then on. False where the kernel knows no such wish (before Linux
// 6.12); nothing has changed then.
bool ask_for_slice(std::chrono::nanoseconds slice);

// A thread that may wait: it rests where it takes only what nobody else wants of the CPU (SCHED_IDLE), and hurries, a
// little behind the others (nice +3), when somebody has waited long enough. Where the system would not let it come back
// from resting (no CAP_SYS_NICE, RLIMIT_NICE too low), it always hurries.
class Background {
 public:
  // By the thread itself, once. Before it, the other two do nothing.
  void enter();
  // Both from any thread; a hurry() that meets a rest() may be lost, so who waits says it again.
  void rest();
  void hurry();

 private:
  std::atomic<pid_t> thread_{0};
  std::atomic<bool> resting_{false};
  bool may_rest_ = false;
};

}  // namespace qanat::base
