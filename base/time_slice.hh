// TimeSlice: how long a thread keeps the CPU before another one of the same machine gets its turn.
// A loop that answers within a millisecond must not wait for the slice of a thread that writes to a disk: who asks for
// short slices is let in at once when it wakes, and in turn gives way more often.
#pragma once

#include <chrono>

namespace qanat::base {

inline constexpr std::chrono::nanoseconds kShortSlice =
    std::chrono::microseconds{100};  // the least that Linux grants

// For the calling thread, and those that it makes from then on. False where the kernel knows no such wish (before Linux
// 6.12); nothing has changed then.
bool ask_for_slice(std::chrono::nanoseconds slice);

}  // namespace qanat::base
