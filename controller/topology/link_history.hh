// LinkHistory: what was published of every link at any time of late, from the changes since: what is known now, undone.
#pragma once

#include <boost/unordered/unordered_flat_map.hpp>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/time.hh"
#include "controller/telemetry/matrix.hh"

namespace qanat::topology {

class LinkHistory {
 public:
  // Changes kept, of 40 bytes each.
  static constexpr std::size_t kMost = 262'144;
  // So long every change is kept. What is older is thinned out to the minute when there are too many, then forgotten.
  static constexpr base::Duration kExact = std::chrono::minutes(10);
  static constexpr base::Duration kGrain = std::chrono::minutes(1);

  explicit LinkHistory(base::Time began, std::size_t most = kMost) : most_(most), began_(began) {}

  // A link was published anew, or taken out: what was known of it until now (Unknown: nothing). Times never go back;
  // one that does counts as the newest.
  void note(const telemetry::Link& before, base::Time now);

  // The first instant that can be asked for.
  base::Time began() const { return began_; }
  // What was known just before `when`. `now`: all that is published now. In the order of their keys; nullopt for what is before began(). Where changes were
  // thinned out it is what was known when that minute began.
  std::optional<std::vector<telemetry::Link>> at(base::Time when, std::vector<telemetry::Link> now) const;
  std::size_t size() const { return changes_.size(); }

 private:
  struct Change {
    base::Time at;
    telemetry::LinkKey key;
    telemetry::LinkState state = telemetry::LinkState::Unknown;
    std::uint32_t rtt_us = 0;
    std::uint32_t loss_ppm = 0;
    std::uint32_t jitter_us = 0;
    std::uint32_t reordered_ppm = 0;
  };
  static base::Time minute_of(base::Time t) { return base::Time{t.time_since_epoch() / kGrain * kGrain}; }
  void make_room(base::Time now);

  std::size_t most_;
  base::Time began_;
  base::Time exact_since_ = base::Time::min();  // before it, to the minute
  std::vector<Change> changes_;                 // oldest first
};

}  // namespace qanat::topology
