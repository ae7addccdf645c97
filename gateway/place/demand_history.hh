// DemandHistory: what the demand usually is at this time of day, corrected by what the last hour was, so that cards can
// be brought up before a peak and not after it. Sans-I/O; one number a slot, nothing of any call.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "base/time.hh"

namespace qanat::place {

struct HistoryShape {
  base::Duration period = std::chrono::hours(24);  // after which demand is taken to repeat
  base::Duration slot = std::chrono::seconds(15);  // divides the period
  double gain = 0.5;                               // of a new day over the days before
  base::Duration lead = std::chrono::minutes(3);   // how far ahead the kept error looks
};

class DemandHistory {
 public:
  // `origin`: an instant at which a period begins (midnight, as the caller's clock counts).
  explicit DemandHistory(const HistoryShape& shape = {}, base::Time origin = {});

  // So many calls are wanted at once now.
  void note(double streams, base::Time now);
  // The most that is expected from now until `ahead` from now: the demand now, and what is usual of the slots to come. A
  // slot that was never seen counts as the demand now. What is usual of a slot is its mean, and its most where that is
  // more than chance (kStandsOut deviations of a Poisson number above the mean): else every slot's noise would be a peak.
  double peak(base::Time now, base::Duration ahead) const;
  // Mean absolute error of what was predicted of a slot a lead before, over the mean demand; 0 until something was predicted.
  double error() const { return wanted_ > 0 ? missed_ / wanted_ : 0; }
  // The same for who takes the demand of a lead before for the demand now: what the history is worth beside it.
  double persistence_error() const { return wanted_ > 0 ? persistence_missed_ / wanted_ : 0; }
  // How the last hour compares with the same hour usually, 0.5 … 2.
  double level() const;
  static constexpr double kStandsOut = 3;

  // What survives a restart: the usual demand of every slot, negative where none was seen.
  const std::vector<double>& usual() const { return usual_; }
  // Ignored unless it has as many slots.
  void restore(std::vector<double> usual);

 private:
  std::size_t slots() const { return usual_.size(); }
  std::int64_t number(base::Time at) const;  // of the slot, counted from the origin
  std::size_t slot(std::int64_t number) const;
  double expected(std::int64_t number) const;
  void end_slot();

  HistoryShape shape_;
  base::Time origin_;
  std::vector<double> usual_;
  std::vector<double> predicted_, before_;  // for the slots of the next lead; negative: nothing
  struct Ended {
    std::int64_t number;
    double seen, usual;
  };
  std::deque<Ended> hour_;
  std::int64_t current_ = INT64_MIN;
  double most_ = 0, sum_ = 0, notes_ = 0;  // of the current slot
  double hour_seen_ = 0, hour_usual_ = 0;  // sums over hour_, where both are known
  double latest_ = 0, last_ = 0;           // noted; of the slot before
  double missed_ = 0, persistence_missed_ = 0, wanted_ = 0;
};

}  // namespace qanat::place
