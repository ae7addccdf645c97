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
  double seen = 0, usual = 0;
  for (const Ended& one : hour_) {
    if (one.usual < 0) continue;
    seen += one.seen;
    usual += one.usual;
  }
  return usual > 0 ? std::clamp(seen / usual, 0.5, 2.0) : 1.0;
}

double DemandHistory::expected(std::int64_t number) const {
  const double usual = usual_[slot(number)];
  return usual < 0 ? latest_ : usual * level();
}

void DemandHistory::end_slot() {
  const std::size_t at = slot(current_);
  if (predicted_[at] >= 0) {
    missed_ += std::abs(most_ - predicted_[at]);
    persistence_missed_ += std::abs(most_ - before_[at]);
    wanted_ += most_;
    predicted_[at] = before_[at] = -1;
  }
  hour_.push_back({current_, most_, usual_[at]});
  const auto hour = std::max<std::int64_t>(1, std::chrono::hours(1) / shape_.slot);
  while (hour_.front().number <= current_ - hour) hour_.pop_front();
  usual_[at] = usual_[at] < 0 ? most_ : usual_[at] + shape_.gain * (most_ - usual_[at]);
}

void DemandHistory::note(double streams, base::Time now) {
  const std::int64_t here = number(now);
  if (here < current_) return;  // a clock that was set back: what is noted again is no second day
  latest_ = streams;
  if (here == current_) {
    most_ = std::max(most_, streams);
    return;
  }
  if (current_ != INT64_MIN) {
    end_slot();
    // What would have been said now of the slot a lead from now, where it has been seen before.
    const std::int64_t ahead = here + shape_.lead / shape_.slot;
    if (usual_[slot(ahead)] >= 0) {
      predicted_[slot(ahead)] = expected(ahead);
      before_[slot(ahead)] = most_;
    }
  }
  current_ = here;
  most_ = streams;
}

double DemandHistory::peak(base::Time now, base::Duration ahead) const {
  const std::int64_t first = number(now);
  const std::int64_t last = std::min(number(now + ahead), first + static_cast<std::int64_t>(slots()) - 1);
  double most = 0;
  for (std::int64_t n = first; n <= last; ++n) most = std::max(most, expected(n));
  return most;
}

void DemandHistory::restore(std::vector<double> usual) {
  if (usual.size() == usual_.size()) usual_ = std::move(usual);
}

}  // namespace qanat::place
