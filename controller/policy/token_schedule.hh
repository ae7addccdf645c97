// When relay keys and list tokens begin and end: everything follows from Unix time, so that domains agree on it unasked.
// Epochs are weeks; a list's tokens all name one epoch (wire.md §5) and live through the week after it at most.
#pragma once

#include <array>
#include <cstdint>

#include "base/time.hh"

namespace qanat::policy {

inline constexpr base::UnixSeconds kDay = 86'400;
inline constexpr base::UnixSeconds kEpochSeconds = 7 * kDay;
inline constexpr base::UnixSeconds kTokenLife = 7 * kDay;

// The week that `now` falls into; its low 8 bits are the wire's token epoch.
constexpr std::uint64_t week_of(base::UnixSeconds now) { return now / kEpochSeconds; }
constexpr std::uint8_t token_epoch_of(std::uint64_t week) { return static_cast<std::uint8_t>(week & 0xff); }

// When K(relay, week) stops being valid: at the end of the following week, so two epochs are valid at any time.
constexpr base::UnixSeconds key_not_after(std::uint64_t week) { return (week + 2) * kEpochSeconds; }

// When a list made now expires: seven days from the last midnight, so that a list changes once a day and not at every tick.
constexpr base::UnixSeconds list_expiry(base::UnixSeconds now) { return now / kDay * kDay + kTokenLife; }

// The weeks whose keys a relay holds now: last week's, this week's, and from a day before its start next week's, so
// that no headend gets a list which its relays cannot check yet. 0 stands for "none".
constexpr std::array<std::uint64_t, 3> held_weeks(base::UnixSeconds now) {
  const std::uint64_t week = week_of(now);
  const bool soon = (week + 1) * kEpochSeconds - now <= kDay;
  return {week - 1, week, soon ? week + 1 : 0};
}

}  // namespace qanat::policy
