// Demand, capacities and lists of two pairs, and what is planned for them; days of a tide. A domain's plan of traffic by itself.
#pragma once

#include <map>
#include <set>

#include "controller/domain/traffic_plan.hh"
#include "tests/unit/controller/one_domain.hh"

namespace qanat::domain {

using ids::NodeId;
using ids::PlaneId;
using ids::Tier;
using telemetry::DemandBook;

constexpr base::Time kStart{1000s};
constexpr double kMbit = 1e6;

inline paths::Route direct(std::uint8_t plane = 1) {
  paths::Route route;
  route.planes[0] = PlaneId{plane};
  return route;
}
inline paths::Route over(std::uint32_t relay, std::uint8_t in = 1, std::uint8_t out = 1) {
  paths::Route route = direct(in);
  route.relay_count = 1;
  route.relays[0] = NodeId{relay};
  route.planes[1] = PlaneId{out};
  return route;
}

// Pairs (1, 3) and (2, 3): first over relay 9, then directly.
struct TrafficWorld {
  DemandBook demands;
  CapacityBook capacities;
  Selections selections{{{1, 3}, {{over(9), 10}, {direct(), 20}}}, {{2, 3}, {{over(9), 10}, {direct(), 20}}}};
  Spreads held;
  std::set<paths::Route> dead;
  std::map<std::uint8_t, double> prices;
  LimitedWays limited;
  TierWays tier_ways;

  void ask(std::uint32_t from, double bps, Tier tier = Tier::Bulk) {
    const DemandBook::Key key{NodeId{from}, NodeId{3}, tier};
    for (int i = 0; i < 2; ++i)
      demands.on_report(key, {static_cast<std::uint64_t>(bps), 1000, false}, kStart + i * 60s);
  }
  // What the tier has instead of the shared lists, to node 3 or another one.
  void limit(std::uint32_t from, Tier tier, const paths::Choices& lists, std::uint32_t to = 3) {
    proto::v1::NodeConfig config;
    config.set_node_id(from);
    auto& policy = *config.add_policies();
    policy.set_endpoint(to);
    policy.set_tier(static_cast<std::uint32_t>(tier));
    policy.set_planes(0xffff);
    for (const paths::Choice& choice : lists) {
      auto& path = *policy.add_paths();
      const auto segments = paths::segments_of(choice.route, NodeId{to});
      path.mutable_segments()->Add(segments.begin(), segments.end());
      path.set_first_plane(choice.route.planes[0].value);
      path.set_cost_us(choice.cost_us);
    }
    limited.adopt(config);
  }
  TrafficQuestion question() const {
    return gather({demands,
                   capacities,
                   selections,
                   held,
                   [this](const Pair&, const paths::Route& route) { return !dead.contains(route); },
                   {},
                   prices,
                   &limited,
                   &tier_ways},
                  kStart + 60s);
  }
  TrafficPlan plan() const { return plan_traffic(question()); }
  // As the domain does it, until nothing changes any more.
  TrafficPlan settle() {
    TrafficPlan out = plan();
    for (int i = 0; i < 10; ++i) {
      held = out.spreads;
      out = plan();
    }
    return out;
  }
  // What a plan puts on each capacity: split or not, every tier's.
  std::map<CapacityBook::Key, double> loads(const TrafficPlan& plan) const {
    std::map<CapacityBook::Key, double> out;
    const TrafficQuestion asked = question();
    for (std::size_t i = 0; i < asked.asks.size(); ++i) {
      const auto& [pair, tier] = asked.asks[i].key;
      const auto spread = plan.spreads.find(asked.asks[i].key);
      for (std::size_t p = 0; p < asked.asks[i].routes.size(); ++p) {
        const paths::Route& route = asked.asks[i].routes[p];
        const double split = spread == plan.spreads.end()
                                 ? 0
                                 : spread->second.allocated_bps * spread->second.of(route) / Spread::kWhole;
        for (const auto& used : capacities.used_by(NodeId{pair.first}, NodeId{pair.second}, route))
          out[used] += std::max(split, plan.flows.at(i).at(p));
      }
    }
    return out;
  }
};

// Days of a quarter of an hour of 80 Mbit/s at ten o'clock and 20 at all other times.
struct Days {
  static constexpr base::UnixSeconds kMidnight = 20'000 * 86'400;
  const DemandBook::Key key{NodeId{1}, NodeId{3}, Tier::Bulk};
  DemandForecast forecast;

  static double asked(std::size_t slot) {
    return (slot % DemandForecast::kSlotsADay == 40 ? 80 : 20) * kMbit;
  }
  void pass(std::size_t from, std::size_t to) {
    for (std::size_t slot = from; slot < to; ++slot) {
      DemandBook book;
      for (const base::Duration t : {0s, 60s})
        book.on_report(key, {static_cast<std::uint64_t>(asked(slot)), 1000, false}, kStart + t);
      for (const int minute : {0, 5, 10}) forecast.observe(book, kStart + 60s, at(slot) + 60 * minute);
    }
  }
  static base::UnixSeconds at(std::size_t slot) {
    return kMidnight + static_cast<base::UnixSeconds>(slot) * DemandForecast::kSlot;
  }
};

}  // namespace qanat::domain
