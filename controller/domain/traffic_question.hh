// TrafficQuestion: everything that a plan of traffic is made of, as values: gathered on the controller's thread in a few
// milliseconds, so that the plan itself may take its time on another one.
#pragma once

#include <functional>
#include <vector>

#include "controller/domain/capacity_book.hh"
#include "controller/domain/config_compiler.hh"
#include "controller/domain/spread.hh"
#include "controller/telemetry/demand_book.hh"

namespace qanat::domain {

struct TrafficAsk {
  SpreadKey key;
  double bps = 0;  // what it asks for now, or will by the time of day, if that is more
  std::uint32_t packet_bytes = 0;
  std::vector<paths::Route> routes{};  // usable, the first one first; one at least
};

struct TrafficQuestion {
  std::vector<TrafficAsk> asks;  // by key
  CapacityBook capacities;
  Spreads held;         // in force now
  double rise_bps = 0;  // of what is asked, what is expected only
};

struct TrafficState {
  const telemetry::DemandBook& demands;
  const CapacityBook& capacities;
  const Selections& selections;
  const Spreads& held;
  std::function<bool(const Pair&, const paths::Route&)> usable;
  std::map<telemetry::DemandBook::Key, double> expected{};  // bits/s
};
TrafficQuestion gather(const TrafficState& state, base::Time now);

}  // namespace qanat::domain
