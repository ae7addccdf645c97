#include "gateway/place/demand_history.hh"

#include <algorithm>
#include <cassert>
#include <cmath>

namespace qanat::place {

DemandHistory::DemandHistory(const HistoryShape& shape, base::Time origin) : shape_(shape), origin_(origin) {
  assert(shape.slot.count() > 0 && shape.period >= shape.slot);
  const auto count = static_cast<std::size_t>(shape.period / shape.slot);
  usual_.assign(count, -1);
  predicted_.assign(count, -1);
  before_.assign(count, -1);
}

std::int64_t DemandHistory::number(base::Time at) const {
  const base::Duration since = at - origin_;
  return since.count() >= 0 ? since / shape_.slot : -1 - (-since - base::Duration{1}) / shape_.slot;
}

std::size_t DemandHistory::slot(std::int64_t number) const {
  const auto count = static_cast<std::int64_t>(slots());
  return static_cast<std::size_t>(((number % count) + count) % count);
}

double DemandHistory::level() const {
  return hour_usual_ > 0 ? std::clamp(hour_seen_ / hour_usual_, 0.5, 2.0) : 1.0;
}

double DemandHistory::expected(std::int64_t number) const {
  const double usual = usual_[slot(number)];
  return usual < 0 ? latest_ : usual * level();
}

void DemandHistory::end_slot() {
  const std::size_t at = slot(current_);
  const double mean = sum_ / notes_;
  const double seen = most_ > mean + kStandsOut * std::sqrt(std::max(mean, 1.0)) ? most_ : mean;
  if (predicted_[at] >= 0) {
    missed_ += std::abs(seen - predicted_[at]);
    persistence_missed_ += std::abs(seen - before_[at]);
    wanted_ += seen;
    predicted_[at] = before_[at] = -1;
  }
  const auto count = [&](const Ended& one, double sign) {
    if (one.usual < 0) return;
    hour_seen_ += sign * one.seen;
    hour_usual_ += sign * one.usual;
  };
  hour_.push_back({current_, seen, usual_[at]});
  count(hour_.back(), 1);
  const auto hour = std::max<std::int64_t>(1, std::chrono::hours(1) / shape_.slot);
  while (hour_.front().number <= current_ - hour) {
    count(hour_.front(), -1);
    hour_.pop_front();
  }
  usual_[at] = usual_[at] < 0 ? seen : usual_[at] + shape_.gain * (seen - usual_[at]);
  last_ = seen;
}

void DemandHistory::note(double streams, base::Time now) {
  const std::int64_t here = number(now);
  if (here < current_) return;  // a clock that was set back: what is noted again is no second day
  latest_ = streams;
  if (here == current_) {
    most_ = std::max(most_, streams);
    sum_ += streams;
    ++notes_;
    return;
  }
  if (current_ != INT64_MIN) {
    end_slot();
    // What would have been said now of the slot a lead from now, where it has been seen before.
    const std::int64_t ahead = here + shape_.lead / shape_.slot;
    if (usual_[slot(ahead)] >= 0) {
      predicted_[slot(ahead)] = expected(ahead);
      before_[slot(ahead)] = last_;
    }
  }
  current_ = here;
  most_ = sum_ = streams;
  notes_ = 1;
}

double DemandHistory::peak(base::Time now, base::Duration ahead) const {
  const std::int64_t first = number(now);
  const std::int64_t last = std::min(number(now + ahead), first + static_cast<std::int64_t>(slots()) - 1);
  double most = latest_;
  for (std::int64_t n = first + 1; n <= last; ++n) most = std::max(most, expected(n));
  return most;
}

void DemandHistory::restore(std::vector<double> usual) {
  if (usual.size() == usual_.size()) usual_ = std::move(usual);
}

}  // namespace qanat::place
