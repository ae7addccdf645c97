// Bandwidth: never above a capacity, higher tiers first, fair inside, nothing left that could be carried; and steps from one
// allocation to the next that overload nothing on the way.
#include "controller/te/allocation.hh"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "controller/te/steps.hh"

namespace qanat::te {
namespace {

struct Case {
  std::vector<double> capacities;
  std::vector<Demand> demands;
};

Case random_case(std::mt19937& random, std::size_t most_paths) {
  Case out;
  const std::size_t links = 3 + random() % 12;
  for (std::size_t i = 0; i < links; ++i) out.capacities.push_back(10 + random() % 100);
  for (std::size_t d = 1 + random() % 20; d > 0; --d) {
    Demand demand{.tier = ids::kTiers[random() % 4], .rate = 1.0 + random() % 60, .paths = {}};
    for (std::size_t p = 1 + random() % most_paths; p > 0; --p) {
      std::vector<Resource> path;
      for (std::size_t hop = 1 + random() % 3; hop > 0; --hop) {
        const auto link = static_cast<Resource>(random() % links);
        if (std::find(path.begin(), path.end(), link) == path.end()) path.push_back(link);
      }
      demand.paths.push_back(path);
    }
    out.demands.push_back(demand);
  }
  return out;
}

Flows flows_of(const Allocation& a, std::size_t demands) {
  Flows out;
  for (std::size_t d = 0; d < demands; ++d) out.emplace_back(a.flows(d).begin(), a.flows(d).end());
  return out;
}

std::vector<double> loads(const Case& c, const Flows& flows) {
  std::vector<double> out(c.capacities.size(), 0);
  for (std::size_t d = 0; d < flows.size(); ++d)
    for (std::size_t p = 0; p < flows[d].size(); ++p)
      for (const Resource r : c.demands[d].paths[p]) out[r] += flows[d][p];
  return out;
}

TEST(AllocationProperty, NeverAboveACapacityNorWhatWasAskedAndNothingIsLeftLying) {
  std::mt19937 random(1);
  for (int round = 0; round < 400; ++round) {
    const Case c = random_case(random, 4);
    const Allocation a(c.capacities, c.demands);
    const auto load = loads(c, flows_of(a, c.demands.size()));
    for (std::size_t r = 0; r < load.size(); ++r)
      ASSERT_LE(load[r], c.capacities[r] * (1 + 1e-6)) << "round " << round;
    for (std::size_t d = 0; d < c.demands.size(); ++d) {
      for (const double f : a.flows(d)) ASSERT_GE(f, -1e-9);
      ASSERT_LE(a.rate(d), c.demands[d].rate * (1 + 1e-6));
      if (a.rate(d) >= c.demands[d].rate * (1 - 1e-6)) continue;
      // Who lacks something has a full resource on every path.
      for (const auto& path : c.demands[d].paths) {
        double room = 1e9;
        for (const Resource r : path) room = std::min(room, c.capacities[r] - load[r]);
        EXPECT_LE(room, 1e-3) << "round " << round << " demand " << d;
      }
    }
  }
}

// The certificate of max-min fairness (Bertsekas and Gallager): with one path each, who lacks something crosses a full
// resource on which nobody of its tier has a larger share of what it asked for.
TEST(AllocationProperty, WithOnePathEachItIsMaxMinFair) {
  std::mt19937 random(2);
  for (int round = 0; round < 400; ++round) {
    const Case c = random_case(random, 1);
    const Allocation a(c.capacities, c.demands);
    const auto load = loads(c, flows_of(a, c.demands.size()));
    const auto share = [&](std::size_t d) { return a.rate(d) / c.demands[d].rate; };
    for (std::size_t d = 0; d < c.demands.size(); ++d) {
      if (share(d) >= 1 - 1e-6) continue;
      bool bottleneck = false;
      for (const Resource r : c.demands[d].paths[0]) {
        bool fits = load[r] >= c.capacities[r] * (1 - 1e-6);
        for (std::size_t e = 0; e < c.demands.size() && fits; ++e) {
          const auto& path = c.demands[e].paths[0];
          if (std::find(path.begin(), path.end(), r) == path.end()) continue;
          // Nobody of a lower tier has anything there, nobody of the same a larger share.
          if (c.demands[e].tier > c.demands[d].tier) fits = a.rate(e) <= c.demands[e].rate * 1e-6;
          if (c.demands[e].tier == c.demands[d].tier) fits = share(e) <= share(d) + 1e-6;
        }
        bottleneck |= fits;
      }
      EXPECT_TRUE(bottleneck) << "round " << round << " demand " << d;
    }
  }
}

TEST(AllocationProperty, StepsOverloadNothingWhoeverSwitchesFirst) {
  std::mt19937 random(3);
  int complete = 0;
  for (int round = 0; round < 200; ++round) {
    Case c = random_case(random, 4);
    for (Demand& d : c.demands) d.rate *= 0.5;
    const Flows from = flows_of(Allocation(c.capacities, c.demands), c.demands.size());
    Case other = c;
    for (Demand& d : other.demands) d.rate *= 0.5 + 0.1 * static_cast<double>(random() % 10);
    for (double& capacity : other.capacities) capacity *= 0.9;  // the room that moving needs
    const Flows to = flows_of(Allocation(other.capacities, other.demands), c.demands.size());
    const Steps steps = plan_steps(c.capacities, c.demands, from, to);
    complete += steps.complete;
    Flows at = from;
    for (const Flows& next : steps.steps) {
      // The worst of all orders: everybody has arrived and nobody has left.
      Flows both = at;
      for (std::size_t d = 0; d < both.size(); ++d)
        for (std::size_t p = 0; p < both[d].size(); ++p) both[d][p] = std::max(at[d][p], next[d][p]);
      const auto load = loads(c, both);
      for (std::size_t r = 0; r < load.size(); ++r)
        ASSERT_LE(load[r], c.capacities[r] * (1 + 1e-6)) << "round " << round;
      at = next;
    }
  }
  EXPECT_GE(complete, 190) << "nearly always the target is reached";
}

TEST(Allocation, NothingGoesOverWhatHasNoCapacity) {
  const std::vector<double> links{0, 10};
  const std::vector<Demand> demands{{.rate = 5, .paths = {{0}, {1}}}, {.rate = 5, .paths = {{0}}}};
  const Allocation a(links, demands);
  EXPECT_NEAR(a.flow(0, 0), 0, 1e-5);
  EXPECT_NEAR(a.flow(0, 1), 5, 1e-5);
  EXPECT_NEAR(a.rate(1), 0, 1e-5);
}

TEST(Allocation, HigherTiersComeFirst) {
  const std::vector<double> link{100};
  const std::vector<Demand> demands{{.tier = ids::Tier::Scavenger, .rate = 50, .paths = {{0}}},
                                    {.tier = ids::Tier::Critical, .rate = 30, .paths = {{0}}},
                                    {.tier = ids::Tier::Bulk, .rate = 100, .paths = {{0}}}};
  const Allocation a(link, demands);
  EXPECT_NEAR(a.rate(1), 30, 1e-6);
  EXPECT_NEAR(a.rate(2), 70, 1e-6);
  EXPECT_NEAR(a.rate(0), 0, 1e-6);
}

TEST(Allocation, WhoCanGoAroundMakesRoomForWhoCannot) {
  // Demand 0 has two ways, demand 1 only link 0.
  const std::vector<double> links{10, 10};
  const std::vector<Demand> demands{{.rate = 10, .paths = {{0}, {1}}}, {.rate = 10, .paths = {{0}}}};
  const Allocation a(links, demands);
  EXPECT_NEAR(a.rate(0), 10, 0.1);
  EXPECT_NEAR(a.rate(1), 10, 0.1);
}

TEST(Allocation, ARelaysPacketRateIsACapacityLikeAnyOther) {
  // Two links of 100, but the relay behind both (resource 2) passes 60.
  const std::vector<double> capacities{100, 100, 60};
  const std::vector<Demand> demands{{.rate = 80, .paths = {{0, 2}}}, {.rate = 40, .paths = {{1, 2}}}};
  const Allocation a(capacities, demands);
  EXPECT_NEAR(a.rate(0), 40, 1e-3);
  EXPECT_NEAR(a.rate(1), 20, 1e-3) << "by share of what was asked";
}

}  // namespace
}  // namespace qanat::te
