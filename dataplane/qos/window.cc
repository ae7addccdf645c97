#include "dataplane/qos/window.hh"

namespace qanat::qos {

bool Window::holds(const WeekTime& at) const {
  const auto on = [this](unsigned day) { return (days >> day % 7 & 1) != 0; };
  if (first < last) return on(at.day) && first <= at.minute && at.minute < last;
  return (on(at.day) && at.minute >= first) || (on(at.day + 6) && at.minute < last);
}

TenantRates TenantPlan::at(const WeekTime& time) const {
  TenantRates now = rates;
  for (const Window& w : windows) {
    if (!w.holds(time)) continue;
    now.bulk_bps = w.bulk_bps;
    now.bulk_closed = false;
    break;
  }
  return now;
}

}  // namespace qanat::qos
