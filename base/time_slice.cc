#include "base/time_slice.hh"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

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

}  // namespace

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
