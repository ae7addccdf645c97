#include "tools/linkem/priority.hh"

#include <sched.h>
#include <sys/resource.h>
#include <time.h>

namespace qanat::linkem {
namespace {

base::Duration thread_time() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return std::chrono::seconds{t.tv_sec} + std::chrono::nanoseconds{t.tv_nsec};
}

bool go_ahead() {
  const sched_param priority{.sched_priority = 1};
  return sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &priority) == 0;
}

void go_ordinary() {
  const sched_param none{};
  sched_setscheduler(0, SCHED_OTHER | SCHED_RESET_ON_FORK, &none);
  setpriority(PRIO_PROCESS, 0, -10);  // 0 is the calling thread
}

}  // namespace

void Priority::judge(base::Time now) {
  next_ = now + kWindow;
  if (state_ == State::Refused) return;
  const base::Duration used = thread_time();
  const bool within =
      static_cast<double>((used - used_).count()) <= kBudget * static_cast<double>((now - since_).count());
  if (state_ == State::Unknown || (within && state_ == State::Ordinary)) {
    state_ = go_ahead() ? State::Ahead : State::Refused;
  } else if (!within && state_ == State::Ahead) {
    go_ordinary();
    state_ = State::Ordinary;
  }
  used_ = used;
  since_ = now;
}

}  // namespace qanat::linkem
