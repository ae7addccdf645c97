// Traffic: what boxes report becomes a question, and that a split of flows over lists, by itself.
#include <gtest/gtest.h>

#include <random>

#include "tests/unit/controller/traffic_world.hh"

namespace qanat::domain {
namespace {

TEST(DemandBook, RisesFastFallsSlowlyAndForgets) {
  DemandBook book;
  const DemandBook::Key key{NodeId{1}, NodeId{2}, Tier::Bulk};
  book.on_report(key, {0, 0, false}, kStart);
  EXPECT_TRUE(book.empty()) << "nothing is no row";
  book.on_report(key, {100'000'000, 1400, true}, kStart);
  const auto& row = book.rows().at(key);
  EXPECT_NEAR(row.bps(kStart), 0, 1);
  EXPECT_NEAR(row.bps(kStart + 3s), 63 * kMbit, kMbit);
  EXPECT_EQ(row.packet_bytes(), 1400u);
  EXPECT_TRUE(row.limited());
  book.on_report(key, {100'000'000, 1400, false}, kStart + 20s);
  book.on_report(key, {0, 0, false}, kStart + 30s);
  EXPECT_NEAR(row.bps(kStart + 45s), 37 * kMbit, 2 * kMbit) << "a pause is no end";
  book.expire(kStart + 60s);
  EXPECT_FALSE(book.empty());
  book.expire(kStart + 180s);
  EXPECT_TRUE(book.empty());
  book.on_report(key, {100'000'000, 1400, false}, kStart + 200s);
  book.expire(kStart + 230s);
  book.expire(kStart + 400s);
  EXPECT_TRUE(book.empty()) << "a box that is gone repeats nothing";
  book.on_report(key, {1'000'000, 1400, false}, kStart);
  book.forget(NodeId{2});
  EXPECT_TRUE(book.empty());
}

TEST(CapacityBook, KnowsWhatARouteUses) {
  CapacityBook book;
  EXPECT_TRUE(book.used_by(NodeId{1}, NodeId{2}, over(9)).empty()) << "nothing is known to have an end";
  book.set_line(NodeId{1}, PlaneId{1}, 5e6);
  book.set_line(NodeId{9}, PlaneId{1}, 6e6);
  book.set_line(NodeId{9}, PlaneId{2}, 7e6);
  book.set_relay(NodeId{9}, 1000);
  book.measured(NodeId{9}, NodeId{2}, direct(), 3e6, kStart);
  EXPECT_EQ(book.used_by(NodeId{1}, NodeId{2}, over(9)).size(), 4u)
      << "our line, the relay's, the relay, and the link behind it";
  EXPECT_EQ(book.used_by(NodeId{1}, NodeId{2}, direct(2)).size(), 0u);
  book.expire(kStart + CapacityBook::kWayLives);
  book.set_line(NodeId{9}, PlaneId{1}, 0);
  EXPECT_EQ(book.used_by(NodeId{1}, NodeId{2}, over(9)).size(), 2u);
  book.forget(NodeId{9});
  EXPECT_EQ(book.used_by(NodeId{1}, NodeId{2}, over(9)).size(), 1u);
}

TEST(CapacityBook, ALineEndsBothWays) {
  CapacityBook book;
  book.set_line_in(NodeId{9}, PlaneId{1}, 6e6);
  book.set_line_in(NodeId{2}, PlaneId{1}, 5e6);
  EXPECT_EQ(book.used_by(NodeId{1}, NodeId{2}, over(9)).size(), 2u)
      << "into the relay, and into the endpoint";
  EXPECT_EQ(book.used_by(NodeId{1}, NodeId{2}, direct()).size(), 1u);
  EXPECT_EQ(book.used_by(NodeId{2}, NodeId{1}, direct()).size(), 0u) << "what leaves is another matter";
  book.set_line_in(NodeId{2}, PlaneId{1}, 0);
  EXPECT_EQ(book.used_by(NodeId{1}, NodeId{2}, direct()).size(), 0u);
}

TEST(TrafficQuestion, AsksForPairsWithListsOverThoseThatWork) {
  TrafficWorld w;
  for (std::uint32_t peer = 10; peer < 40; ++peer)
    w.selections[{1, peer}] = {{direct(), 20}};  // who send nothing
  w.selections[{4, 3}] = {{direct(2), 10}};
  for (const std::uint32_t from : {1u, 2u, 3u, 4u}) w.ask(from, from * kMbit);
  w.dead = {over(9), direct(2)};
  const TrafficQuestion question =
      gather({w.demands, w.capacities, w.selections, w.held,
              [&](const Pair&, const paths::Route& route) { return !w.dead.contains(route); }},
             kStart + 60s);
  ASSERT_EQ(question.asks.size(), 2u) << "3 has no lists, and 4 none that works";
  for (const TrafficAsk& ask : question.asks) {
    EXPECT_NEAR(ask.bps, ask.key.first.first * kMbit, 1000);
    EXPECT_EQ(ask.routes, std::vector{direct()});
  }
}

TEST(TrafficQuestion, AsksOverWhatATierReallyHolds) {
  TrafficWorld w;
  for (const Tier tier : ids::kTiers) w.ask(1, kMbit, tier);
  w.limit(1, Tier::Bulk, {{over(8, 2, 2), 30}, {direct(2), 50}});
  w.limit(1, Tier::Scavenger, {});
  w.tier_ways.adopt({1, 3}, Tier::Interactive, {direct(2), 40});
  const auto routes = [&](Tier tier) {
    for (const TrafficAsk& ask : w.question().asks)
      if (ask.key.second == tier) return ask.routes;
    return std::vector<paths::Route>();
  };
  EXPECT_EQ(routes(Tier::Critical), (std::vector{over(9), direct()}));
  EXPECT_EQ(routes(Tier::Bulk), (std::vector{over(8, 2, 2), direct(2)}));
  EXPECT_TRUE(routes(Tier::Scavenger).empty()) << "nothing is allowed: nothing is sent";
  EXPECT_EQ(routes(Tier::Interactive), std::vector{direct(2)}) << "what keeps its promise, alone";
  w.dead = {direct(2), over(9)};
  EXPECT_EQ(routes(Tier::Interactive), std::vector{direct()}) << "what the box takes meanwhile";
  EXPECT_EQ(routes(Tier::Bulk), std::vector{over(8, 2, 2)});
}

TEST(TrafficQuestion, AsksForWhatIsExpectedWhereThatIsMore) {
  TrafficWorld w;
  w.selections[{4, 3}] = {{direct(), 10}};
  w.ask(1, 10 * kMbit);
  w.ask(2, 10 * kMbit);
  const TrafficQuestion question = gather({w.demands,
                                           w.capacities,
                                           w.selections,
                                           w.held,
                                           [](const Pair&, const paths::Route&) { return true; },
                                           {{{NodeId{1}, NodeId{3}, Tier::Bulk}, 4 * kMbit},
                                            {{NodeId{2}, NodeId{3}, Tier::Bulk}, 40 * kMbit},
                                            {{NodeId{4}, NodeId{3}, Tier::Bulk}, 50 * kMbit},
                                            {{NodeId{7}, NodeId{3}, Tier::Bulk}, 60 * kMbit}}},
                                          kStart + 60s);
  ASSERT_EQ(question.asks.size(), 3u) << "7 has no lists";
  EXPECT_NEAR(question.asks[0].bps, 10 * kMbit, 1000);
  EXPECT_NEAR(question.asks[1].bps, 40 * kMbit, 1000);
  EXPECT_NEAR(question.asks[2].bps, 50 * kMbit, 1000);
  EXPECT_NEAR(question.rise_bps, 80 * kMbit, 2000);
}

TEST(TrafficPlan, WithoutDemandOrWithRoomThereIsNone) {
  TrafficWorld w;
  w.capacities.set_line(NodeId{9}, PlaneId{1}, 100 * kMbit);
  EXPECT_TRUE(w.plan().spreads.empty());
  w.ask(1, 30 * kMbit);
  w.ask(2, 40 * kMbit);
  const TrafficPlan plan = w.plan();
  EXPECT_TRUE(plan.spreads.empty()) << "70 of 100";
  EXPECT_EQ(plan.demands, 2u);
  EXPECT_NEAR(plan.carried_bps, plan.demand_bps, 1);
}

TEST(TrafficPlan, WhatDoesNotFitTheFirstListGoesByTheSecond) {
  TrafficWorld w;
  w.capacities.set_line(NodeId{9}, PlaneId{1}, 100 * kMbit);
  w.ask(1, 80 * kMbit);
  w.ask(2, 80 * kMbit);
  const TrafficPlan plan = w.settle();
  ASSERT_EQ(plan.spreads.size(), 2u);
  EXPECT_NEAR(plan.carried_bps, 160 * kMbit, kMbit);
  double relayed = 0;
  for (const auto& [key, spread] : plan.spreads) {
    EXPECT_NEAR(spread.of(over(9)), 450, 60) << "90 of the 200 they might want, in halves";
    relayed += spread.allocated_bps * spread.of(over(9)) / Spread::kWhole;
  }
  EXPECT_LE(relayed, 100 * kMbit);
  EXPECT_GE(relayed, 80 * kMbit) << "the better list is filled first";
}

TEST(TrafficPlan, WhereEverythingIsFullTheyShareAndHigherTiersGoFirst) {
  TrafficWorld w;
  w.capacities.set_line(NodeId{9}, PlaneId{1}, 100 * kMbit);
  w.capacities.set_line(NodeId{1}, PlaneId{1}, 1000 * kMbit);
  w.capacities.measured(NodeId{1}, NodeId{3}, direct(), 20 * kMbit, kStart + 60s);
  w.capacities.measured(NodeId{2}, NodeId{3}, direct(), 20 * kMbit, kStart + 60s);
  w.ask(1, 200 * kMbit);
  w.ask(2, 200 * kMbit);
  const TrafficPlan fair = w.settle();
  ASSERT_EQ(fair.spreads.size(), 2u);
  for (const auto& [key, spread] : fair.spreads) EXPECT_NEAR(spread.allocated_bps, 70 * kMbit, 4 * kMbit);
  w.ask(1, 60 * kMbit, Tier::Interactive);
  const TrafficPlan plan = w.settle();
  EXPECT_FALSE(plan.spreads.contains({{1, 3}, Tier::Interactive}))
      << "it keeps to its first list, where it fits";
  double bulk = 0;
  for (const auto& [key, spread] : plan.spreads) bulk += spread.allocated_bps;
  EXPECT_NEAR(bulk, 80 * kMbit, 5 * kMbit);
  EXPECT_NEAR(plan.carried_bps, 140 * kMbit, 5 * kMbit);
}

TEST(TrafficPlan, ARelaysPacketRateIsACapacity) {
  TrafficWorld w;
  w.capacities.set_relay(NodeId{9}, 5000);  // 40 Mbit/s of 1,000 bytes
  w.ask(1, 50 * kMbit);
  const TrafficPlan plan = w.settle();
  ASSERT_EQ(plan.spreads.size(), 1u);
  const Spread& spread = plan.spreads.begin()->second;
  EXPECT_LE(spread.allocated_bps * spread.of(over(9)) / Spread::kWhole, 40 * kMbit);
}

TEST(TrafficPlan, AWayOfItsOwnIsNotSplitAndTakesItsPart) {
  TrafficWorld w;
  w.capacities.set_line(NodeId{1}, PlaneId{2}, 100 * kMbit);
  w.selections[{1, 3}] = {{direct(2), 10}, {direct(), 20}};
  w.tier_ways.adopt({1, 3}, Tier::Interactive, {over(9, 2, 2), 40});
  w.ask(1, 60 * kMbit);
  EXPECT_TRUE(w.settle().spreads.empty()) << "60 of 100";
  w.ask(1, 50 * kMbit, Tier::Interactive);
  const TrafficPlan plan = w.settle();
  ASSERT_EQ(plan.spreads.size(), 1u);
  const Spread& bulk = plan.spreads.at({{1, 3}, Tier::Bulk});
  EXPECT_LE(bulk.allocated_bps * bulk.of(direct(2)) / Spread::kWhole, 50 * kMbit * (1 + 1e-6));
  EXPECT_GT(bulk.of(direct()), 200u) << "where nobody was promised anything";
  EXPECT_NEAR(plan.carried_bps, 110 * kMbit, kMbit);
}

TEST(TrafficPlan, ALimitedTierIsSplitOverItsOwnLists) {
  TrafficWorld w;
  w.capacities.set_line(NodeId{9}, PlaneId{2}, 100 * kMbit);
  w.limit(1, Tier::Bulk, {{over(9, 2, 2), 30}, {direct(2), 50}});
  w.ask(1, 150 * kMbit);
  const TrafficPlan plan = w.settle();
  ASSERT_EQ(plan.spreads.size(), 1u);
  const Spread& spread = plan.spreads.begin()->second;
  EXPECT_EQ(spread.of(over(9, 2, 2)) + spread.of(direct(2)), Spread::kWhole);
  EXPECT_LE(spread.allocated_bps * spread.of(over(9, 2, 2)) / Spread::kWhole, 100 * kMbit);
  EXPECT_GT(spread.of(direct(2)), 300u);
  EXPECT_NEAR(plan.carried_bps, 150 * kMbit, kMbit);
}

TEST(TrafficPlan, ASplitStaysUntilItIsNotNeededByFar) {
  TrafficWorld w;
  w.capacities.set_line(NodeId{9}, PlaneId{1}, 100 * kMbit);
  w.ask(1, 85 * kMbit);
  w.held = w.plan().spreads;
  ASSERT_EQ(w.held.size(), 1u);
  w.ask(1, 84 * kMbit);
  EXPECT_EQ(w.plan().spreads.begin()->second.parts, w.held.begin()->second.parts) << "hardly different";
  w.demands = {};
  w.ask(1, 75 * kMbit);
  EXPECT_EQ(w.plan().spreads.size(), 1u) << "less than where it began";
  w.demands = {};
  w.ask(1, 50 * kMbit);
  EXPECT_TRUE(w.plan().spreads.empty());
}

TEST(TrafficPlan, ManyWhoSendToOneShareWhatItsLineBrings) {
  TrafficWorld w;
  w.selections.clear();
  w.capacities.set_line_in(NodeId{3}, PlaneId{1}, 90 * kMbit);
  for (std::uint32_t from = 11; from <= 13; ++from) {
    w.selections[{from, 3}] = {{direct(1), 10}, {direct(2), 30}};
    w.ask(from, 60 * kMbit);
  }
  const TrafficPlan plan = w.settle();
  ASSERT_EQ(plan.spreads.size(), 3u);
  double over_first = 0;
  for (const auto& [key, spread] : plan.spreads) {
    double mine = 0;
    for (const auto& part : spread.parts)
      if (part.route == direct(1)) mine = spread.allocated_bps * part.permille / Spread::kWhole;
    EXPECT_NEAR(mine, 27 * kMbit, 5 * kMbit) << key.first.first << ": a third of nine tenths";
    over_first += mine;
  }
  EXPECT_LE(over_first, 90 * kMbit * (1 + 1e-6));
}

TEST(TrafficPlanProperty, NothingIsPlannedAboveACapacityNorWhereATierMayNotGo) {
  std::mt19937 random(7);
  int apart = 0;  // splits of limited tiers, and ways of their own
  for (int round = 0; round < 100; ++round) {
    TrafficWorld w;
    w.selections.clear();
    for (std::uint32_t node = 1; node <= 8; ++node)
      for (std::uint8_t plane = 1; plane <= 2; ++plane)
        if (random() % 3 != 0)
          w.capacities.set_line(NodeId{node}, PlaneId{plane}, (10 + random() % 90) * kMbit);
    for (std::uint32_t node = 1; node <= 8; ++node)
      if (random() % 3 == 0) w.capacities.set_line_in(NodeId{node}, PlaneId{1}, (10 + random() % 90) * kMbit);
    for (std::uint32_t relay = 7; relay <= 8; ++relay)
      if (random() % 2 != 0) w.capacities.set_relay(NodeId{relay}, 1000 + random() % 20'000);
    std::map<SpreadKey, paths::Choices> lists;  // what each tier may use
    for (std::uint32_t from = 1; from <= 6; ++from)
      for (std::uint32_t to = 1; to <= 6; ++to) {
        if (from == to || random() % 3 == 0) continue;
        const auto some = [&] {
          paths::Choices choices{{direct(1), 10}, {over(7), 12}, {over(8, 2, 1), 13}, {direct(2), 20}};
          std::shuffle(choices.begin(), choices.end(), random);
          choices.resize(1 + random() % 4);
          return choices;
        };
        w.selections[{from, to}] = some();
        for (const Tier tier : ids::kTiers) {
          paths::Choices& may = lists[{{from, to}, tier}] = w.selections[{from, to}];
          if (random() % 4 == 0) w.limit(from, tier, may = some(), to);
          if (random() % 6 == 0) {
            may = {some().front()};
            w.tier_ways.adopt({from, to}, tier, may.front());
          }
          if (random() % 2 == 0)
            w.demands.on_report({NodeId{from}, NodeId{to}, tier},
                                {(1 + random() % 60) * 1'000'000ull,
                                 200u + static_cast<std::uint32_t>(random() % 1200), false},
                                kStart);
        }
      }
    double bits = 0, packets = 0;
    for (const auto& [key, row] : w.demands.rows()) {
      bits += row.bps(kStart + 60s);
      packets += row.bps(kStart + 60s) / (8.0 * row.packet_bytes());
    }
    for (int step = 0; step < 4; ++step) {
      const TrafficPlan plan = w.plan(), again = w.plan();
      ASSERT_EQ(plan.flows, again.flows);
      for (const auto& [used, load] : w.loads(plan)) {
        const double unit = used.kind == CapacityBook::Kind::Relay ? bits / packets : 1;
        ASSERT_LE(load, w.capacities.of(used) * unit * (1 + 1e-6)) << "round " << round << " step " << step;
      }
      for (const auto& [key, spread] : plan.spreads) {
        ASSERT_EQ(spread.parts, again.spreads.at(key).parts);
        std::uint32_t sum = 0;
        for (const auto& part : spread.parts) {
          sum += part.permille;
          ASSERT_TRUE(std::any_of(lists.at(key).begin(), lists.at(key).end(),
                                  [&](const auto& choice) { return choice.route == part.route; }))
              << "round " << round << " step " << step;
        }
        ASSERT_EQ(sum, Spread::kWhole);
        ASSERT_EQ(w.tier_ways.of(key.first, key.second), nullptr) << "nothing to split";
        apart += w.limited.of(key.first, key.second) != nullptr;
      }
      ASSERT_LE(plan.carried_bps, plan.demand_bps * (1 + 1e-6));
      w.held = plan.spreads;
    }
  }
  EXPECT_GT(apart, 100) << "else this showed nothing";
}

}  // namespace
}  // namespace qanat::domain
