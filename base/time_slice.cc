#include "base/time_slice.hh"

#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <thread>

namespace qanat::base {
namespace {

// As sched_setattr(2) has it; glibc has no wrapper yet.
struct Attributes {
  std::uint32_t size = sizeof(Attributes);
  std::uint32_t policy = SCHED_OTHER;
  std::uint64_t flags = 0;
  std::int32_t nice = 0;
  std::uint32_t priority = 0;
  std::uint64_t runtime = 0;  // ns: of this policy, the slice
  std::uint64_t deadline = 0, period = 0;
};

constexpr int kNicer = 3;

bool set_policy(pid_t thread, int policy) {
  const sched_param none{};
  return ::sched_setscheduler(thread, policy, &none) == 0;
}

// Whether a thread of this process that rests is let back: tried by one that is made for it.
bool comes_back() {
  bool back = false;
  std::thread([&back] { back = set_policy(0, SCHED_IDLE) && set_policy(0, SCHED_OTHER); }).join();
  return back;
}

}  // namespace

void Background::enter() {
  const auto thread = static_cast<pid_t>(::gettid());
  may_rest_ = comes_back();
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(thread), ::getpriority(PRIO_PROCESS, 0) + kNicer);
  ask_for_slice(kShortSlice);
  thread_ = thread;
}

void Background::rest() {
  const pid_t thread = thread_;
  if (thread == 0 || !may_rest_ || resting_.exchange(true)) return;
  set_policy(thread, SCHED_IDLE);
  if (!resting_) set_policy(thread, SCHED_OTHER);  // somebody hurried it in between
}

void Background::hurry() {
  const pid_t thread = thread_;
  if (thread != 0 && may_rest_ && resting_.exchange(false)) set_policy(thread, SCHED_OTHER);
}

bool ask_for_slice(std::chrono::nanoseconds slice) {
  const auto thread = static_cast<pid_t>(::gettid());
  Attributes now;
  if (::syscall(SYS_sched_getattr, thread, &now, sizeof now, 0) != 0 || now.policy != SCHED_OTHER)
    return false;
  now.flags = 0;
  now.runtime = static_cast<std::uint64_t>(slice.count());
  if (::syscall(SYS_sched_setattr, thread, &now, 0) != 0) return false;
  Attributes then;
  return ::syscall(SYS_sched_getattr, thread, &then, sizeof then, 0) == 0 && then.runtime == now.runtime;
}

}  // namespace qanat::base
