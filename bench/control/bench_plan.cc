// bench_plan: what a plan of traffic takes for a domain of a thousand boxes of which 9,000 pairs send, and how long gathering
// what it is made of keeps the controller's one thread.
//   bench_plan      prints one "METRIC VALUE" a line
// Boxes lie on a plane and have lines of 1 Gbit/s; forty of them are relays with lines of 10 Gbit/s and 2 million packets/s.
// Tenants of ten boxes, each of which sends to all others. Three loads: one that fills nothing, one that fills first lists,
// one that is more than all lists together carry; the worst of three seeds and three plans each.
#include <fmt/format.h>

#include <array>
#include <chrono>
#include <cmath>
#include <random>

#include "controller/domain/traffic_plan.hh"
#include "controller/paths/engine.hh"

namespace {

using namespace qanat;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr std::uint32_t kBoxes = 1000, kRelays = 40, kTenant = 10;
constexpr base::Time kNow{1000s};

double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

struct World {
  paths::Engine engine;
  telemetry::DemandBook demands;
  domain::CapacityBook capacities;
  domain::Selections selections;
  domain::Spreads held;

  World(double pair_bps, std::uint32_t seed) {
    std::mt19937 random(seed);
    join(random);
    for (std::uint32_t node = 1; node <= kBoxes; ++node)
      capacities.set_line(ids::NodeId{node}, ids::PlaneId{1}, node <= kRelays ? 10e9 : 1e9);
    for (std::uint32_t relay = 1; relay <= kRelays; ++relay) capacities.set_relay(ids::NodeId{relay}, 2e6);
    for (const auto& [pair, choices] : selections) {
      const auto bps = static_cast<std::uint64_t>(pair_bps * (50 + random() % 101) / 100);
      const ids::Tier tier = pair.first % 4 == 0 ? ids::Tier::Interactive : ids::Tier::Bulk;
      for (const base::Duration before : {60s, 0s})  // smoothed
        demands.on_report({ids::NodeId{pair.first}, ids::NodeId{pair.second}, tier}, {bps, 1200, false},
                          kNow - before);
    }
  }
  void join(std::mt19937& random) {
    std::vector<topology::Node> nodes;
    std::vector<std::pair<double, double>> at;
    for (std::uint32_t i = 0; i < kBoxes; ++i) {
      nodes.push_back({.id = ids::NodeId{i + 1}, .domain = ids::DomainId{1}});
      nodes.back().relay = i < kRelays;
      at.emplace_back(random() % 100'000, random() % 100'000);  // µs
    }
    std::vector<telemetry::Link> links;
    for (std::uint32_t i = 0; i < kBoxes; ++i)
      for (std::uint32_t j = 0; j < kBoxes; ++j) {
        if (i == j) continue;
        telemetry::Link link{
            .key = {ids::NodeId{i + 1}, ids::NodeId{j + 1}, ids::PlaneId{1}, ids::PlaneId{1}}};
        link.state = telemetry::LinkState::Usable;
        const double distance = std::hypot(at[i].first - at[j].first, at[i].second - at[j].second);
        link.rtt_us = static_cast<std::uint32_t>(1000 + distance * (100 + random() % 60) / 100);
        links.push_back(link);
      }
    std::set<domain::Pair> pairs;
    for (std::uint32_t from = 1; from <= kBoxes; ++from)
      for (std::uint32_t other = 0; other < kTenant; ++other)
        if (const std::uint32_t to = (from - 1) / kTenant * kTenant + other + 1; to != from)
          pairs.emplace(from, to);
    engine.rebuild(std::move(nodes), links, pairs);
    const paths::RelayLoad nobody;
    for (const auto& pair : pairs)
      selections[pair] = engine.choose(pair, {}, paths::Unknowns::AreLost, nobody);
  }
  domain::TrafficQuestion gather() const {
    const auto usable = [this](const domain::Pair& pair, const paths::Route& route) {
      return engine.evaluate(pair, route).state == telemetry::LinkState::Usable;
    };
    return domain::gather({demands, capacities, selections, held, usable}, kNow);
  }
};

}  // namespace

int main() {
  constexpr std::array<std::pair<const char*, double>, 3> kLoads{
      {{"idle", 1e6}, {"full", 60e6}, {"over", 200e6}}};
  double hold = 0;
  for (const auto& [name, bps] : kLoads) {
    double worst = 0;
    std::size_t split = 0, pairs = 0;
    for (const std::uint32_t seed : {1u, 2u, 3u}) {
      World world(bps, seed);
      for (int step = 0; step < 3; ++step) {
        auto start = Clock::now();
        const domain::TrafficQuestion question = world.gather();
        hold = std::max(hold, ms_since(start));
        start = Clock::now();
        domain::TrafficPlan plan = domain::plan_traffic(question);
        worst = std::max(worst, ms_since(start));
        split = plan.spreads.size();
        pairs = plan.demands;
        world.held = std::move(plan.spreads);
      }
    }
    fmt::print("plan_{}_pairs {}\nplan_{}_split {}\nplan_{}_ms {:.4g}\n", name, pairs, name, split, name,
               worst);
  }
  fmt::print("plan_hold_ms {:.4g}\n", hold);
}
