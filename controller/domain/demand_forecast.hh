// DemandForecast: what each pair will ask for in the minutes to come, by the time of day: one te::Forecast a pair and tier, in
// quarters of an hour, corrected by how the last hour went. Says nothing before it has seen a whole day.
// In memory only: a controller that starts plans by what is asked for now, and has learned a day later.
#pragma once

#include <map>
#include <optional>

#include "controller/te/forecast.hh"
#include "controller/telemetry/demand_book.hh"

namespace qanat::domain {

class DemandForecast {
 public:
  using Key = telemetry::DemandBook::Key;
  static constexpr base::UnixSeconds kSlot = 900;
  static constexpr std::size_t kSlotsADay = 86'400 / kSlot;
  static constexpr std::size_t kMost = 4096;            // pairs and tiers, the first that send: 7 MB
  static constexpr base::UnixSeconds kSample = 60;      // between two samples
  static constexpr base::UnixSeconds kAhead = 120;      // a slot counts so long before it begins
  static constexpr std::size_t kIdle = 2 * kSlotsADay;  // slots without any demand: then the pair goes

  // As often as one likes. A clock that jumps by more than a slot, or back over one, starts everything anew.
  void observe(const telemetry::DemandBook& demands, base::Time now, base::UnixSeconds clock);
  void forget(ids::NodeId node);

  // bits/s that it will ask for kAhead from now; 0: not known.
  double expected(const Key& key, base::UnixSeconds clock) const;
  // Of all that will ask for something worth a row.
  std::map<Key, double> expected(base::UnixSeconds clock) const;
  std::size_t size() const { return rows_.size(); }

 private:
  struct Row {
    te::Forecast forecast{kSlotsADay};
    double sum = 0;  // of the slot's samples
    std::size_t idle = 0;
  };
  void end_slot();
  double expected(const Row& row, base::UnixSeconds clock) const;

  std::map<Key, Row> rows_;
  std::optional<base::UnixSeconds> slot_;  // the one that is open, by number
  base::UnixSeconds sampled_ = 0;
  std::size_t samples_ = 0;  // of the slot
};

}  // namespace qanat::domain
