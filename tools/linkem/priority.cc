#include "tools/linkem/priority.hh"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

#ifndef SCHED_FLAG_RESET_ON_FORK
#define SCHED_FLAG_RESET_ON_FORK 0x01
#endif

namespace qanat::linkem {
namespace {

// struct sched_attr of sched_setattr(2): its header and glibc's cannot be included together.
struct Attributes {
  std::uint32_t size = sizeof(Attributes);
  std::uint32_t sched_policy = 0;
  std::uint64_t sched_flags = 0;
  std::int32_t sched_nice = 0;
  std::uint32_t sched_priority = 0;
  std::uint64_t sched_runtime = 0, sched_deadline = 0, sched_period = 0;
};

}  // namespace

void run_ahead() {
  Attributes attributes;
  attributes.sched_policy = SCHED_OTHER;
  attributes.sched_flags = SCHED_FLAG_RESET_ON_FORK;
  attributes.sched_nice = -10;
  attributes.sched_runtime = 100'000;  // ns; older kernels ignore it
  syscall(SYS_sched_setattr, 0, &attributes, 0);
}

}  // namespace qanat::linkem
