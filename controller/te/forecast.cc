#include "controller/te/forecast.hh"

#include <algorithm>
#include <cmath>

namespace qanat::te {

Forecast::Forecast(std::size_t slots_a_day, const State& state) : slots_(slots_a_day) {
  const auto sound = [](double value) { return std::isfinite(value) && value >= 0; };
  if (state.means.size() != slots_a_day || !sound(state.last) || !sound(state.ratio) || !sound(state.error) ||
      !std::all_of(state.means.begin(), state.means.end(), [](double mean) { return std::isfinite(mean); }))
    return;
  for (std::size_t s = 0; s < slots_a_day; ++s)
    slots_[s] = {std::max(0.0, state.means[s]), state.means[s] >= 0};
  observed_ = state.observed;
  last_ = state.last;
  ratio_ = state.ratio;
  error_ = state.error;
}

Forecast::State Forecast::state() const {
  State out{.means = {}, .observed = observed_, .last = last_, .ratio = ratio_, .error = error_};
  for (const Slot& slot : slots_) out.means.push_back(slot.known ? slot.mean : -1);
  return out;
}

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
