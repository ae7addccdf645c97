#include "base/clock.hh"

#include <ctime>

namespace qanat::base {
namespace {

std::chrono::nanoseconds read_clock(clockid_t id) noexcept {
  timespec ts{};
  clock_gettime(id, &ts);
  return std::chrono::seconds{ts.tv_sec} + std::chrono::nanoseconds{ts.tv_nsec};
}

}  // namespace

Time monotonic_now() noexcept { return Time{read_clock(CLOCK_MONOTONIC)}; }

UnixSeconds unix_now() noexcept {
  return static_cast<UnixSeconds>(
      std::chrono::duration_cast<std::chrono::seconds>(read_clock(CLOCK_REALTIME)).count());
}

std::uint64_t unix_now_ms() noexcept {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(read_clock(CLOCK_REALTIME)).count());
}

}  // namespace qanat::base
