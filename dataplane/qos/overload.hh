// Overload: how late a worker runs, and therefore which tiers it sheds at TUN read: scavenger first, then bulk.
#pragma once

#include <algorithm>

#include "base/time.hh"
#include "identifiers/ids/tier.hh"

namespace qanat::qos {

// Lateness is how long after its due time a timer ran: it says that the worker does not get round, whatever the cause.
class Overload {
 public:
  static constexpr base::Duration kShedScavenger = std::chrono::milliseconds{5};
  static constexpr base::Duration kShedBulk = std::chrono::milliseconds{20};

  // Every time a timer has run. Smoothed over some sixteen of them: one late wake-up is no overload.
  void on_timer(base::Duration lateness) { late_ += (std::max(lateness, base::Duration{}) - late_) / 16; }

  bool sheds(ids::Tier tier) const {
    return (tier == ids::Tier::Scavenger && late_ > kShedScavenger) ||
           (tier == ids::Tier::Bulk && late_ > kShedBulk);
  }
  base::Duration lateness() const { return late_; }

 private:
  base::Duration late_{};
};

}  // namespace qanat::qos
