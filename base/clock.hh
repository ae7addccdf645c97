// The two clocks. Only shells (io/, app/, tools) include this; cores are given the time as an argument.
#pragma once

#include "base/time.hh"

namespace qanat::base {

// CLOCK_MONOTONIC.
Time monotonic_now() noexcept;
// CLOCK_REALTIME in whole seconds.
UnixSeconds unix_now() noexcept;
// CLOCK_REALTIME in milliseconds since the epoch, for records that people and other machines read.
std::uint64_t unix_now_ms() noexcept;

}  // namespace qanat::base
