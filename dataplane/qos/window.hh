// Window: when in the week another rate holds for a tenant's bulk and scavenger: nights, weekends.
#pragma once

#include <cstdint>
#include <vector>

#include "dataplane/qos/policy.hh"

namespace qanat::qos {

// A moment of the week, on the operator's clock.
struct WeekTime {
  unsigned day = 0;     // 0 Monday … 6 Sunday
  unsigned minute = 0;  // of the day
};

// From `first` until before `last`; over midnight when last ≤ first, and then it belongs to the day on which it began.
struct Window {
  std::uint8_t days = 0x7f;  // by bit, Monday first
  unsigned first = 0;        // minute of the day
  unsigned last = 24 * 60;
  std::uint64_t bulk_bps = 0;  // meanwhile; 0: without limit

  bool holds(const WeekTime& at) const;
};

// What holds at other times, and the windows; the first one that holds decides.
struct TenantPlan {
  TenantRates rates;
  std::vector<Window> windows;

  TenantRates at(const WeekTime& time) const;
};

}  // namespace qanat::qos
