// TrafficQuestion: everything that a plan of traffic is made of, as values: gathered on the controller's thread in a few
// milliseconds, so that the plan itself may take its time on another one.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "controller/domain/capacity_book.hh"
#include "controller/domain/config_compiler.hh"
#include "controller/domain/spread.hh"
#include "controller/telemetry/demand_book.hh"

namespace qanat::domain {

struct TrafficAsk {
  SpreadKey key;
  double bps = 0;       // what it asks for now, or will by the time of day, if that is more
  double rise_bps = 0;  // of that, what is only expected
  std::uint32_t packet_bytes = 0;
  // Of the tier's lists those that are usable, the first one first; one at least. A tier with a way of its own has that
  // alone: the others would break its promise.
  std::vector<paths::Route> routes{};
  std::vector<double> prices{};  // of each, for a Mbit/s over an hour
  // Where tenants have rates (tenant_rates.hh), of bps:
  std::optional<std::size_t> tenant{};  // by index
  double committed_bps = 0;
  double most_bps = 0;
};

// What somebody else has go over something of ours: its way is not ours to change, and it takes its fair part of it.
struct ForeignAsk {
  ids::Tier tier{};
  double bps = 0;
  std::uint32_t packet_bytes = 0;
  std::vector<CapacityBook::Key> uses{};  // known ones
};

struct TrafficQuestion {
  std::vector<TrafficAsk> asks;  // by key
  std::vector<ForeignAsk> foreign{};
  CapacityBook capacities;
  Spreads held;         // in force now
  double rise_bps = 0;  // of what is asked, what is expected only
  bool rated = false;   // tenants have rates
};

struct TrafficState {
  const telemetry::DemandBook& demands;
  const CapacityBook& capacities;
  const Selections& selections;
  const Spreads& held;
  std::function<bool(const Pair&, const paths::Route&)> usable;
  std::map<telemetry::DemandBook::Key, double> expected{};  // bits/s
  std::map<std::uint8_t, double> prices{};                  // by plane, at the moment; none: nothing
  const LimitedWays* limited = nullptr;                     // null: none
  const TierWays* tier_ways = nullptr;                      // likewise
};
// The sum of its hops' planes'.
double price_of(const paths::Route& route, const std::map<std::uint8_t, double>& prices);
TrafficQuestion gather(const TrafficState& state, base::Time now);

}  // namespace qanat::domain
