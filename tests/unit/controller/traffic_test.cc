// Traffic: what boxes report becomes a split of flows over lists. The demand book, the plan by itself, and a whole domain in
// which two pairs share a relay's line that is too narrow for both.
#include <gtest/gtest.h>

#include <functional>
#include <random>
#include <set>

#include "controller/domain/tenant_rates.hh"
#include "controller/domain/traffic_plan.hh"
#include "tests/unit/controller/one_domain.hh"

namespace qanat::domain {
namespace {

using ids::NodeId;
using ids::PlaneId;
using ids::Tier;
using telemetry::DemandBook;

constexpr base::Time kStart{1000s};
constexpr double kMbit = 1e6;

paths::Route direct(std::uint8_t plane = 1) {
  paths::Route route;
  route.planes[0] = PlaneId{plane};
  return route;
}
paths::Route over(std::uint32_t relay, std::uint8_t in = 1, std::uint8_t out = 1) {
  paths::Route route = direct(in);
  route.relay_count = 1;
  route.relays[0] = NodeId{relay};
  route.planes[1] = PlaneId{out};
  return route;
}

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

// Pairs (1, 3) and (2, 3): first over relay 9, then directly.
struct World {
  DemandBook demands;
  CapacityBook capacities;
  Selections selections{{{1, 3}, {{over(9), 10}, {direct(), 20}}}, {{2, 3}, {{over(9), 10}, {direct(), 20}}}};
  Spreads held;
  std::set<paths::Route> dead;
  std::map<std::uint8_t, double> prices;

  void ask(std::uint32_t from, double bps, Tier tier = Tier::Bulk) {
    const DemandBook::Key key{NodeId{from}, NodeId{3}, tier};
    for (int i = 0; i < 2; ++i)
      demands.on_report(key, {static_cast<std::uint64_t>(bps), 1000, false}, kStart + i * 60s);
  }
  TrafficPlan plan() const {
    return plan_traffic(
        gather({demands,
                capacities,
                selections,
                held,
                [this](const Pair&, const paths::Route& route) { return !dead.contains(route); },
                {},
                prices},
               kStart + 60s));
  }
  // As the domain does it, until nothing changes any more.
  TrafficPlan settle() {
    TrafficPlan out = plan();
    for (int i = 0; i < 10; ++i) {
      held = out.spreads;
      out = plan();
    }
    return out;
  }
  // What a plan's spreads put on each capacity.
  std::map<CapacityBook::Key, double> loads(const TrafficPlan& plan) const {
    std::map<CapacityBook::Key, double> out;
    for (const auto& [key, spread] : plan.spreads)
      for (const auto& part : spread.parts)
        for (const auto& used :
             capacities.used_by(NodeId{key.first.first}, NodeId{key.first.second}, part.route))
          out[used] += spread.allocated_bps * part.permille / Spread::kWhole;
    return out;
  }
};

TEST(TrafficQuestion, AsksForPairsWithListsOverThoseThatWork) {
  World w;
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

TEST(TrafficQuestion, AsksForWhatIsExpectedWhereThatIsMore) {
  World w;
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

TEST(DemandForecast, KnowsTheTideADayLater) {
  Days d;
  d.pass(0, 96);
  EXPECT_EQ(d.forecast.expected(d.key, Days::at(96)), 0) << "the day's last quarter is not over";
  d.pass(96, 136);
  EXPECT_NEAR(d.forecast.expected(d.key, Days::at(135) + 600), 20 * kMbit, 3 * kMbit);
  EXPECT_NEAR(d.forecast.expected(d.key, Days::at(136) - DemandForecast::kAhead), 80 * kMbit, 8 * kMbit);
  EXPECT_EQ(d.forecast.expected(Days::at(135)).size(), 1u);
  EXPECT_EQ(d.forecast.expected({NodeId{1}, NodeId{2}, Tier::Bulk}, Days::at(135)), 0);
}

TEST(DemandForecast, IsBoundedAndBelievesNoClockThatJumps) {
  Days d;
  d.pass(0, 100);
  d.forecast.observe({}, kStart, Days::at(102));
  EXPECT_EQ(d.forecast.size(), 0u) << "two quarters of an hour that nobody saw";
  d.pass(103, 104);
  d.forecast.observe({}, kStart, Days::at(90));
  EXPECT_EQ(d.forecast.size(), 0u);
  d.pass(91, 92);
  for (std::size_t slot = 92; slot < 92 + DemandForecast::kIdle + 1; ++slot)
    d.forecast.observe({}, kStart, Days::at(slot));
  EXPECT_EQ(d.forecast.size(), 0u) << "two days without demand";
  DemandBook many;
  for (std::uint32_t peer = 2; peer < 6000; ++peer)
    many.on_report({NodeId{1}, NodeId{peer}, Tier::Bulk}, {1'000'000, 1000, false}, kStart);
  d.forecast.observe(many, kStart, Days::at(400));
  EXPECT_EQ(d.forecast.size(), DemandForecast::kMost);
  d.forecast.forget(NodeId{1});
  EXPECT_EQ(d.forecast.size(), 0u);
}

TEST(TrafficPlan, WithoutDemandOrWithRoomThereIsNone) {
  World w;
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
  World w;
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

TEST(TrafficPlan, BulkFillsThePrivatePlaneFirstAndOverflowsByPrice) {
  World
      w;  // first directly over the Internet, plane 2; then privately, plane 1; then over plane 3, the dearest
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
    World w;
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

TEST(TrafficPlan, WhereEverythingIsFullTheyShareAndHigherTiersGoFirst) {
  World w;
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
  World w;
  w.capacities.set_relay(NodeId{9}, 5000);  // 40 Mbit/s of 1,000 bytes
  w.ask(1, 50 * kMbit);
  const TrafficPlan plan = w.settle();
  ASSERT_EQ(plan.spreads.size(), 1u);
  const Spread& spread = plan.spreads.begin()->second;
  EXPECT_LE(spread.allocated_bps * spread.of(over(9)) / Spread::kWhole, 40 * kMbit);
}

TEST(TrafficPlan, ASplitStaysUntilItIsNotNeededByFar) {
  World w;
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

TEST(TrafficPlanProperty, NothingIsPlannedAboveACapacity) {
  std::mt19937 random(7);
  for (int round = 0; round < 100; ++round) {
    World w;
    w.selections.clear();
    for (std::uint32_t node = 1; node <= 8; ++node)
      for (std::uint8_t plane = 1; plane <= 2; ++plane)
        if (random() % 3 != 0)
          w.capacities.set_line(NodeId{node}, PlaneId{plane}, (10 + random() % 90) * kMbit);
    for (std::uint32_t relay = 7; relay <= 8; ++relay)
      if (random() % 2 != 0) w.capacities.set_relay(NodeId{relay}, 1000 + random() % 20'000);
    for (std::uint32_t from = 1; from <= 6; ++from)
      for (std::uint32_t to = 1; to <= 6; ++to) {
        if (from == to || random() % 3 == 0) continue;
        paths::Choices choices{{direct(1), 10}, {over(7), 12}, {over(8, 2, 1), 13}, {direct(2), 20}};
        std::shuffle(choices.begin(), choices.end(), random);
        choices.resize(1 + random() % 4);
        w.selections[{from, to}] = choices;
        for (const Tier tier : ids::kTiers)
          if (random() % 2 == 0)
            w.demands.on_report({NodeId{from}, NodeId{to}, tier},
                                {(1 + random() % 60) * 1'000'000ull,
                                 200u + static_cast<std::uint32_t>(random() % 1200), false},
                                kStart);
      }
    double bits = 0, packets = 0;
    for (const auto& [key, row] : w.demands.rows()) {
      bits += row.bps(kStart + 60s);
      packets += row.bps(kStart + 60s) / (8.0 * row.packet_bytes());
    }
    for (int step = 0; step < 4; ++step) {
      const TrafficPlan plan = w.plan();
      for (const auto& [used, load] : w.loads(plan)) {
        const double unit = used.kind == CapacityBook::Kind::Relay ? bits / packets : 1;
        ASSERT_LE(load, w.capacities.of(used) * unit * (1 + 1e-6)) << "round " << round << " step " << step;
      }
      for (const auto& [key, spread] : plan.spreads) {
        std::uint32_t sum = 0;
        for (const auto& part : spread.parts) sum += part.permille;
        ASSERT_EQ(sum, Spread::kWhole);
      }
      ASSERT_LE(plan.carried_bps, plan.demand_bps * (1 + 1e-6));
      w.held = plan.spreads;
    }
  }
}

// A second city; both hold the list over the relay first.
class TrafficInADomain : public OneDomain {
 protected:
  Box town_{"town"};
  TrafficInADomain() {
    boxes_.push_back(&town_);
    rtt_[{&town_, &far_}] = 100'000;
    rtt_[{&town_, &relay_}] = 20'000;
  }
  void report(const Box& from, std::uint32_t kbps) {
    Envelope e;
    auto& demand = *e.mutable_telemetry()->add_demands();
    demand.set_peer(far_.id);
    demand.set_tier(2);
    demand.set_kbps(kbps);
    demand.set_packet_bytes(1400);
    d_->level->on_envelope(from.id, e, now_);
  }
  void line(const Box& of, std::uint32_t kbps) {
    Envelope e;
    auto& line = *e.mutable_telemetry()->add_lines();
    line.set_plane(1);
    line.set_rate_kbps(kbps);
    d_->level->on_envelope(of.id, e, now_);
  }
  void carry(std::uint32_t kbps, base::Duration time) {
    for (base::Duration t{}; t < time; t += 5s) {
      for (const Box* box : {&city_, &town_}) report(*box, kbps);
      run(5s);
    }
  }
  const proto::v1::SrPolicy* bulk(const Box& box) const {
    for (const auto& p : box.held.policies())
      if (p.endpoint() == far_.id && p.tier() == 2) return &p;
    return nullptr;
  }
  static std::vector<std::uint32_t> weights(const proto::v1::SrPolicy& policy) {
    std::vector<std::uint32_t> out;
    for (const auto& path : policy.paths()) out.push_back(path.weight());
    return out;
  }
  std::uint64_t version() const { return city_.held.version(); }
};

TEST_F(TrafficInADomain, SpreadsTwoPairsOverWhatIsLeft) {
  run(20s);
  ASSERT_EQ(bulk(city_)->paths_size(), 2);
  ASSERT_EQ(city_.first_list(far_.id), over_relay());
  const std::uint64_t quiet = version();
  line(relay_, 100'000);
  carry(30'000, 20s);
  EXPECT_EQ(version(), quiet) << "there is room: nothing is sent";
  EXPECT_EQ(d_->level->traffic().demands, 2u);
  carry(80'000, 40s);
  for (const Box* box : {&city_, &town_}) {
    const auto w = weights(*bulk(*box));
    EXPECT_NEAR(w[0], 450, 80);
    EXPECT_EQ(w[0] + w[1], Spread::kWhole);
    EXPECT_EQ(weights(*box->policy(far_.id)), (std::vector<std::uint32_t>{1, 1}))
        << "interactive did not ask";
  }
  double relayed = 0;
  for (const auto& path : d_->level->paths({"", "far", Tier::Bulk}))
    if (path.names.size() == 2) relayed += path.allocated_bps;
  EXPECT_LE(relayed, 100 * kMbit);
  EXPECT_GE(relayed, 80 * kMbit);
  const auto traffic = d_->level->traffic();
  EXPECT_EQ(traffic.spread, 2u);
  EXPECT_NEAR(traffic.carried_bps / traffic.demand_bps, 1, 0.02);

  const std::uint64_t spread = version();
  carry(80'000, 30s);
  EXPECT_LE(version(), spread + 1) << "what does not change is not sent again";
  carry(0, 120s);
  EXPECT_EQ(weights(*bulk(city_)), (std::vector<std::uint32_t>{1, 1})) << "by preference again";
  EXPECT_EQ(d_->level->traffic().demands, 0u);
}

TEST_F(TrafficInADomain, OffPeakAnotherPlaneIsTheCheaperOne) {
  // A way over plane 2, longer than the relay's, whose price is higher in the daytime only.
  const auto on = [this](std::uint32_t plane) {
    std::uint32_t sum = 0;
    for (const auto& path : bulk(city_)->paths())
      if (path.first_plane() == plane) sum += path.weight();
    return sum;
  };
  const auto pass = [&](base::Duration time) {
    for (base::Duration t{}; t < time; t += 5s) {
      for (int i = 0; i < 5; ++i) {
        d_->measure(city_, far_.id, 60'000, true, 2);
        run(1s);
      }
      report(city_, 30'000);
    }
  };
  now_.unix_s = 1'800'000'000 / 86'400 * 86'400 + 12 * 3600;
  policy::Rules rules;
  rules.prices[1] = {.price = 1};
  rules.prices[2] = {
      .price = 3, .off_peak_price = 0.5, .off_peak_from_s = 22 * 3600, .off_peak_until_s = 6 * 3600};
  d_->level->set_rules(rules, now_);
  pass(40s);
  ASSERT_EQ(bulk(city_)->paths_size(), 3);
  EXPECT_EQ(on(2), 0u) << "the way without a relay on plane 1 is the cheapest";
  EXPECT_EQ(on(1), Spread::kWhole);
  EXPECT_NEAR(d_->level->traffic().cost_per_hour, 30, 1) << "a hop of 1, not the relay's two";
  now_.unix_s += 11 * 3600;
  pass(30s);
  EXPECT_EQ(on(2), Spread::kWhole);
  EXPECT_NEAR(d_->level->traffic().plane_bps.at(2), 30 * kMbit, kMbit);
  EXPECT_NEAR(d_->level->traffic().cost_per_hour, 15, 1);
}

TEST_F(TrafficInADomain, TellsWhatATenantWithRatesGets) {
  ASSERT_TRUE(
      d_->level->put_tenant({.name = "lab", .vni = 100, .members = {{"city", {}, {}}, {"far", {}, {}}}}, now_)
          .empty());
  policy::Rules rules;
  rules.rates = {{.tenant = "lab", .committed_bps = 50 * kMbit, .burst_bps = 60 * kMbit}};
  d_->level->set_rules(rules, now_);
  ASSERT_EQ(d_->level->traffic().tenants.size(), 1u) << "without demand too";
  EXPECT_EQ(d_->level->traffic().tenants[0].committed_bps, 50 * kMbit);
  run(20s);
  line(relay_, 100'000);
  carry(80'000, 40s);
  const auto traffic = d_->level->traffic();
  ASSERT_EQ(traffic.tenants.size(), 1u);
  EXPECT_EQ(traffic.tenants[0].tenant, "lab");
  EXPECT_NEAR(traffic.tenants[0].asked_bps, 80 * kMbit, kMbit);
  EXPECT_LE(traffic.tenants[0].carried_bps, 61 * kMbit) << "nothing is planned for beyond its burst rate";
  EXPECT_GE(traffic.tenants[0].carried_bps, 54 * kMbit);
}

TEST_F(TrafficInADomain, AFreezeKeepsSplitsAndARestartTrustsThem) {
  run(20s);
  line(relay_, 100'000);
  policy::Rules rules;
  rules.freezes.push_back({0, now_.unix_s + 3600, "a fair"});
  d_->level->set_rules(rules, now_);
  carry(80'000, 30s);
  EXPECT_EQ(weights(*bulk(city_)), (std::vector<std::uint32_t>{1, 1}));
  d_->level->set_rules({}, now_);
  carry(80'000, 30s);
  const auto split = weights(*bulk(city_));
  EXPECT_NE(split, (std::vector<std::uint32_t>{1, 1}));

  const std::uint64_t before = version();
  d_->level = std::make_unique<Domain>(DomainConfig{.name = "d1", .domain = 1, .probe_plan = {}}, d_->store,
                                       d_->authority, d_->members, now_);
  d_->members.level = d_->level.get();
  for (Box* box : boxes_) d_->connect(*box);
  run(14s);
  EXPECT_EQ(weights(*bulk(city_)), split);
  EXPECT_EQ(version(), before) << "one that has just started changes nothing";
  run(30s);
  EXPECT_EQ(weights(*bulk(city_)), (std::vector<std::uint32_t>{1, 1})) << "nobody spoke of traffic since";
}

TEST_F(TrafficInADomain, PlansElsewhereAndWaitsForNobody) {
  run(20s);
  std::vector<std::function<void()>> waiting;
  DomainConfig config{.name = "d1", .domain = 1, .probe_plan = {}};
  config.elsewhere = [&](std::function<void()> work) { waiting.push_back(std::move(work)); };
  d_->level = std::make_unique<Domain>(config, d_->store, d_->authority, d_->members, now_);
  d_->members.level = d_->level.get();
  for (Box* box : boxes_) d_->connect(*box);
  line(relay_, 100'000);
  carry(80'000, 40s);
  EXPECT_EQ(waiting.size(), 1u) << "one at a time";
  EXPECT_EQ(weights(*bulk(city_)), (std::vector<std::uint32_t>{1, 1}));
  EXPECT_EQ(city_.first_list(far_.id), over_relay()) << "all else goes on";
  waiting.front()();
  run(1s);
  EXPECT_NE(weights(*bulk(city_)), (std::vector<std::uint32_t>{1, 1}));
  carry(80'000, 10s);
  EXPECT_EQ(waiting.size(), 2u) << "and then the next";
  d_->level.reset();
  waiting.back()();  // who asked for it is gone
}

TEST_F(TrafficInADomain, MakesRoomBeforeTheTideOfYesterdayComesAgain) {
  run(20s);
  line(relay_, 100'000);
  constexpr std::size_t kTide = 40;  // of the day's quarters
  const auto quarter = [&](std::size_t slot, std::uint32_t kbps) {
    now_.unix_s = Days::at(slot);
    for (const Box* box : {&city_, &town_}) report(*box, kbps);
    run(8s);
  };
  for (std::size_t slot = kTide - 1; slot < kTide - 1 + 96; ++slot)
    quarter(slot, slot == kTide ? 80'000 : 30'000);
  run(10s);
  EXPECT_EQ(weights(*bulk(city_)), (std::vector<std::uint32_t>{1, 1})) << "30 Mbit/s each fit";
  quarter(kTide - 1 + 96, 30'000);
  EXPECT_EQ(weights(*bulk(city_)), (std::vector<std::uint32_t>{1, 1})) << "and do for another quarter";
  EXPECT_EQ(d_->level->traffic().rise_bps, 0);
  now_.unix_s = Days::at(kTide + 96) - DemandForecast::kAhead;
  for (const Box* box : {&city_, &town_}) report(*box, 30'000);
  run(10s);
  EXPECT_NE(weights(*bulk(city_)), (std::vector<std::uint32_t>{1, 1}));
  EXPECT_GT(d_->level->traffic().rise_bps, 40 * kMbit);
  EXPECT_EQ(d_->level->traffic().forecasts, 2u);
}

TEST_F(TrafficInADomain, NonsenseIsPassedOver) {
  run(20s);
  Envelope e;
  for (const std::uint32_t peer : {0u, 99u, 0xffffffffu}) {
    auto& demand = *e.mutable_telemetry()->add_demands();
    demand.set_peer(peer);
    demand.set_tier(2);
    demand.set_kbps(1000);
  }
  auto& demand = *e.mutable_telemetry()->add_demands();
  demand.set_peer(far_.id);
  demand.set_tier(9);
  demand.set_kbps(1000);
  auto& path = *e.mutable_telemetry()->add_paths();
  path.set_path_id(4711);
  path.set_endpoint(far_.id);
  path.set_tier(2);
  path.set_capacity_kbps(1);
  auto& line = *e.mutable_telemetry()->add_lines();
  line.set_plane(4000);
  d_->level->on_envelope(city_.id, e, now_);
  run(10s);
  EXPECT_EQ(d_->level->traffic().demands, 0u);
}

}  // namespace
}  // namespace qanat::domain
