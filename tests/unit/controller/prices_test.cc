// Planes with prices and tenants with rates: who goes where, and who comes first.
#include <gtest/gtest.h>

#include "controller/domain/tenant_rates.hh"
#include "tests/unit/controller/traffic_world.hh"

namespace qanat::domain {
namespace {

TEST(TrafficPlan, BulkFillsThePrivatePlaneFirstAndOverflowsByPrice) {
  // First directly over the Internet, plane 2; then privately, plane 1; then over plane 3, the dearest.
  TrafficWorld w;
  w.selections = {{{1, 3}, {{direct(2), 10}, {direct(1), 20}, {direct(3), 30}}}};
  w.prices = {{2, 2}, {3, 5}};
  w.ask(1, 60 * kMbit);
  w.ask(1, 5 * kMbit, Tier::Interactive);
  w.capacities.set_line(NodeId{1}, PlaneId{1}, 100 * kMbit);
  w.capacities.set_line(NodeId{1}, PlaneId{2}, 100 * kMbit);
  const TrafficPlan there_is_room = w.settle();
  ASSERT_EQ(there_is_room.spreads.size(), 1u) << "interactive keeps to its first list";
  const auto bulk = [](const TrafficPlan& plan) { return plan.spreads.at({{1, 3}, Tier::Bulk}); };
  EXPECT_EQ(bulk(there_is_room).of(direct(1)), Spread::kWhole);
  EXPECT_EQ(bulk(there_is_room).parts.front().route, direct(2)) << "in the order of the pair's choices";
  EXPECT_NEAR(there_is_room.plane_bps.at(1), 60 * kMbit, kMbit);
  EXPECT_NEAR(there_is_room.plane_bps.at(2), 5 * kMbit, kMbit);
  EXPECT_NEAR(there_is_room.cost_per_hour, 10, 1);

  w.ask(1, 150 * kMbit);
  const TrafficPlan overflow = w.settle();
  EXPECT_NEAR(bulk(overflow).of(direct(1)), 500, 70) << "90 of what it might want, 187";
  EXPECT_GE(bulk(overflow).of(direct(2)), 380u);
  EXPECT_LE(bulk(overflow).of(direct(3)), 80u) << "the dearest last";
  EXPECT_GT(overflow.cost_per_hour, 100);

  w.prices = {{1, 3}, {2, 2}, {3, 5}};
  w.ask(1, 60 * kMbit);
  EXPECT_TRUE(w.settle().spreads.empty()) << "the first list is the cheapest one now";
}

// Pair (1, 3) is of a tenant with rates, (2, 3) of one without; both can only go over relay 9's line of 100 Mbit/s.
TEST(TrafficPlan, WhatIsCommittedComesFirstAndBurstsFromWhatIsLeft) {
  const auto carried = [](double committed, double burst, double first, double second) {
    TrafficWorld w;
    const paths::Choices both{{over(9), 10}, {over(9, 1, 2), 20}};
    w.selections = {{{1, 3}, both}, {{2, 3}, both}};
    w.capacities.set_relay(NodeId{9}, 100 * kMbit / 8000);
    w.capacities.set_line(NodeId{9}, PlaneId{1}, 60 * kMbit);
    w.ask(1, first * kMbit);
    w.ask(2, second * kMbit);
    TrafficPlan plan;
    for (int i = 0; i < 10; ++i) {
      TrafficQuestion question = gather({w.demands, w.capacities, w.selections, w.held,
                                         [](const Pair&, const paths::Route&) { return true; }},
                                        kStart + 60s);
      question.rated = true;
      divide(question.asks, {{"lab", committed * kMbit, burst * kMbit, {1, 3}}});
      plan = plan_traffic(question);
      w.held = plan.spreads;
    }
    const double lab = plan.tenant_bps.contains(0) ? plan.tenant_bps.at(0) : 0;
    return std::pair{lab / kMbit, (plan.carried_bps - lab) / kMbit};
  };
  const auto [all, none] = carried(80, 80, 80, 200);
  EXPECT_NEAR(all, 80, 4) << "as promised, whatever the other wants";
  EXPECT_NEAR(none, 20, 4);
  const auto [part, other] = carried(20, 90, 200, 200);
  EXPECT_NEAR(part, 20 + 80 * 70.0 / 270, 8) << "20, and of the rest its share: 70 to the other's 200";
  EXPECT_GT(other, 45);
  const auto [capped, rest] = carried(20, 30, 200, 20);
  EXPECT_LE(capped, 31) << "nothing is planned for beyond its burst rate";
  EXPECT_NEAR(rest, 20, 2);
}

TEST(TenantRates, HigherTiersHaveTheRatesFirstAndPairsOfOneTierAlike) {
  std::vector<TrafficAsk> asks{{.key = {{1, 3}, Tier::Interactive}, .bps = 30},
                               {.key = {{1, 3}, Tier::Bulk}, .bps = 40},
                               {.key = {{3, 1}, Tier::Bulk}, .bps = 80},
                               {.key = {{1, 2}, Tier::Bulk}, .bps = 10}};
  divide(asks, {{"small", 10, 10, {1, 3}}, {"lab", 60, 90, {1, 3}}});
  EXPECT_EQ(asks[0].tenant, 1u) << "of several, the one with the larger committed rate";
  EXPECT_DOUBLE_EQ(asks[0].committed_bps, 30);
  EXPECT_DOUBLE_EQ(asks[1].committed_bps, 10);
  EXPECT_DOUBLE_EQ(asks[2].committed_bps, 20);
  EXPECT_DOUBLE_EQ(asks[1].most_bps, 20);
  EXPECT_DOUBLE_EQ(asks[2].most_bps, 40);
  EXPECT_FALSE(asks[3].tenant.has_value());
  EXPECT_EQ(asks[3].most_bps, 10) << "no end";
}

}  // namespace
}  // namespace qanat::domain
