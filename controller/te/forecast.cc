#include "controller/te/forecast.hh"

#include <algorithm>
#include <cmath>

namespace qanat::te {

void Forecast::observe(double demand) {
  Slot& slot = slots_[observed_ % slots_.size()];
  // The last hour, exponentially: a twelfth of the day's slots per two hours.
  const double keep = 1 - 1 / std::max(2.0, static_cast<double>(slots_.size()) / 24);
  if (slot.known && slot.mean > 0) {
    const double seen = demand / slot.mean;
    error_ = keep * error_ + (1 - keep) * std::abs(seen - ratio_);
    ratio_ = keep * ratio_ + (1 - keep) * seen;
  }
  slot.mean = slot.known ? (1 - kNewDay) * slot.mean + kNewDay * demand : demand;
  slot.known = true;
  last_ = demand;
  ++observed_;
}

Forecast::Expected Forecast::expect(std::size_t ahead) const {
  if (observed_ == 0) return {};
  const Slot& slot = slots_[(observed_ + ahead - 1) % slots_.size()];
  if (!slot.known) return {last_, last_ / 4};  // the first day: as it is now
  const double mean = slot.mean * ratio_;
  return {mean, mean * std::max(error_, 0.01)};
}

}  // namespace qanat::te
