// Planes that are paid for by what is reserved of them, a slot of the day ahead: how much, when it is decided, and that plans of
// traffic use it up before they pay for anything else.
#include "controller/domain/plane_reserves.hh"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "tests/unit/controller/traffic_world.hh"

namespace qanat::domain {
namespace {

using Reservation = PlaneReserves::Reservation;
constexpr base::UnixSeconds kDay = 86'400, kSlot = 900, kMidnight = 20'000 * kDay;

policy::Rules rules_of(double per_hour = 1, double use = 2, double most = 1000 * kMbit) {
  policy::Rules rules;
  rules.prices[2].price = use;
  rules.reserved[1] = {.per_hour = per_hour, .most_bps = most, .slot_s = kSlot};
  return rules;
}

struct Clock {
  PlaneReserves reserves;
  policy::Rules rules = rules_of();
  base::UnixSeconds at = kMidnight;
  std::vector<Reservation> made;
  // Looks at a demand of so much until a time, every 10 s.
  void until(base::UnixSeconds end, const std::function<double(base::UnixSeconds)>& bps,
             double bound_share = 0) {
    for (; at < end; at += 10) look(bps(at), bound_share);
  }
  void until(base::UnixSeconds end, double bps) {
    until(end, [bps](base::UnixSeconds) { return bps; });
  }
  void look(double bps, double bound_share = 0, double committed = 0) {
    for (auto& r : reserves.observe(rules, {{1, {bps, bps * bound_share}}}, committed, at)) made.push_back(r);
  }
};

TEST(PlaneReserves, TheFirstSlotIsReservedByWhatIsAskedForOrPromised) {
  Clock asked;
  asked.at += 300;
  asked.look(12.3 * kMbit);
  EXPECT_EQ(asked.made, (std::vector<Reservation>{{1, kMidnight, kMidnight + kSlot, 13 * kMbit}}))
      << "in whole Mbit/s, at once, for the slot that runs";
  Clock promised;
  promised.look(12 * kMbit, 0, 50 * kMbit);
  EXPECT_EQ(promised.made.front().bps, 50 * kMbit);
  Clock bounded;
  bounded.rules = rules_of(1, 2, 10 * kMbit);
  bounded.look(12 * kMbit);
  EXPECT_EQ(bounded.made.front().bps, 10 * kMbit) << "there is no more";
  bounded = {};
  bounded.rules.reserved[1].least_bps = 20 * kMbit;
  bounded.look(12 * kMbit);
  EXPECT_EQ(bounded.made.front().bps, 20 * kMbit);
}

TEST(PlaneReserves, TheNextSlotIsReservedTwoMinutesBeforeItBegins) {
  Clock c;
  c.until(kMidnight + kSlot - 120, 40 * kMbit);
  EXPECT_EQ(c.made.size(), 1u);
  EXPECT_FALSE(c.reserves.next(1));
  c.until(kMidnight + kSlot - 110, 40 * kMbit);
  ASSERT_EQ(c.made.size(), 2u);
  EXPECT_EQ(c.made.back().from, kMidnight + kSlot);
  EXPECT_EQ(c.made.back().until, kMidnight + 2 * kSlot);
  EXPECT_EQ(c.reserves.next(1), c.made.back());
  EXPECT_EQ(c.reserves.running().front(), c.made.front()) << "not yet";
  c.until(kMidnight + kSlot + 10, 40 * kMbit);
  EXPECT_EQ(c.reserves.running().front(), c.made.back());
  EXPECT_FALSE(c.reserves.next(1));
  c.until(kMidnight + kDay, 40 * kMbit);
  EXPECT_EQ(c.made.size(), 97u) << "96 slots of the day, and tomorrow's first";
  for (std::size_t i = 1; i < c.made.size(); ++i) EXPECT_EQ(c.made[i].from, c.made[i - 1].until);
}

// From 20 to 180 Mbit/s and back, every day; a quarter of an hour jitters by a tenth.
double wave(base::UnixSeconds at) {
  const double hour = static_cast<double>(at % kDay) / 3600;
  return (100 - 80 * std::cos(hour * 6.2831853 / 24)) * kMbit * (at / 10 % 2 == 0 ? 0.9 : 1.1);
}

TEST(PlaneReserves, FollowsTheDayAndWhatItCosts) {
  const auto noon = [](double use) {
    Clock c;
    c.rules = rules_of(1, use);
    c.until(kMidnight + 3 * kDay + kDay / 2 + 60, wave);
    return c.reserves.running().front().bps / kMbit;
  };
  EXPECT_NEAR(noon(2), 180, 12) << "as much as is expected";
  EXPECT_GT(noon(20), noon(2) + 10) << "moments above the mean are worth it, too";
  EXPECT_LT(noon(1.1), noon(2) - 10);
  EXPECT_EQ(noon(0.9), 0) << "paying by use is cheaper";
  Clock night;
  night.until(kMidnight + 4 * kDay + 60, wave);
  EXPECT_NEAR(night.reserves.running().front().bps / kMbit, 20, 5);
}

TEST(PlaneReserves, WhenTheOtherPlaneIsCheapAtNightNothingIsReserved) {
  Clock c;
  c.rules.prices[2] = {
      .price = 2, .off_peak_price = 0.5, .off_peak_from_s = 22 * 3600, .off_peak_until_s = 6 * 3600};
  c.until(kMidnight + 5 * 3600, 50 * kMbit);
  EXPECT_EQ(c.reserves.running().front().bps, 0);
  c.until(kMidnight + 7 * 3600, 50 * kMbit);
  EXPECT_NEAR(c.reserves.running().front().bps, 50 * kMbit, 2 * kMbit);
  // What has no other way is reserved for, whatever it costs.
  Clock bound;
  bound.rules = c.rules;
  bound.until(
      kMidnight + 5 * 3600, [](base::UnixSeconds) { return 50 * kMbit; }, 0.6);
  EXPECT_GE(bound.reserves.running().front().bps, 30 * kMbit);
  EXPECT_LT(bound.reserves.running().front().bps, 50 * kMbit);
}

TEST(PlaneReserves, IsKeptOverARestartAndLearnsOn) {
  Clock c;
  c.until(kMidnight + 2 * kDay + 10'000, wave);
  std::optional<std::string> kept = c.reserves.to_keep();
  ASSERT_TRUE(kept);
  EXPECT_FALSE(c.reserves.to_keep()) << "nothing changed since";
  Clock again;
  again.at = c.at;
  again.reserves.load(*kept);
  EXPECT_EQ(again.reserves.running(), c.reserves.running());
  again.look(wave(again.at));
  EXPECT_TRUE(again.made.empty()) << "it is paid for already";
  // Away for three hours: the day is still known.
  again.at += 3 * 3600;
  again.until(again.at + kSlot, wave);
  ASSERT_FALSE(again.made.empty());
  c.made.clear();
  c.until(again.at, wave);
  EXPECT_NEAR(again.made.back().bps, c.made.back().bps, 0.1 * c.made.back().bps);
  // What is cut short or no such thing is passed over.
  for (std::size_t length = 0; length < kept->size(); length += 7) {
    PlaneReserves other;
    other.load(kept->substr(0, length));
    other.observe(c.rules, {{1, {kMbit, 0}}}, 0, c.at);
    EXPECT_EQ(other.running().size(), 1u);
  }
}

TEST(PlaneReserves, ClocksJump) {
  Clock c;
  c.until(kMidnight + kDay, 40 * kMbit);
  c.at -= kDay / 2;
  c.look(70 * kMbit);
  EXPECT_EQ(c.reserves.running().front().bps, 70 * kMbit) << "learned anew";
  EXPECT_TRUE(c.reserves.running().front().covers(c.at));
  c.at += 400 * kDay;
  c.look(30 * kMbit);
  EXPECT_EQ(c.reserves.running().front().bps, 30 * kMbit);
  EXPECT_TRUE(c.reserves.running().front().covers(c.at));
}

// Whatever is asked for and whatever the clock does: at any time one slot runs, within its bounds, and none is made twice.
TEST(PlaneReserves, AtAnyTimeOneSlotRuns) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    std::mt19937_64 random(seed);
    Clock c;
    c.rules = rules_of(1, 0.5 + static_cast<double>(random() % 40) / 10, 120 * kMbit);
    c.rules.reserved[1].least_bps = static_cast<double>(random() % 20) * kMbit;
    std::map<base::UnixSeconds, double> of_slot;
    for (int i = 0; i < 3000; ++i) {
      c.at += random() % 50 == 0 ? random() % 9000 : random() % 60;
      c.made.clear();
      c.look(static_cast<double>(random() % 200) * kMbit, static_cast<double>(random() % 11) / 10);
      ASSERT_EQ(c.reserves.running().size(), 1u);
      const Reservation running = c.reserves.running().front();
      ASSERT_TRUE(running.covers(c.at)) << "seed " << seed;
      ASSERT_GE(running.bps, c.rules.reserved[1].least_bps);
      ASSERT_LE(running.bps, 120 * kMbit);
      for (const Reservation& made : c.made)
        ASSERT_TRUE(of_slot.emplace(made.from, made.bps).second) << "seed " << seed << ": twice";
      ASSERT_EQ(of_slot.at(running.from), running.bps);
      if (i % 100 == 0) {
        const auto kept = c.reserves.to_keep();
        if (!kept) continue;
        c.reserves = {};
        c.reserves.load(*kept);
      }
    }
  }
}

// Pair (1, 3): directly over plane 1, the reserved one, or plane 2; pair (2, 3) has plane 1 alone.
struct Reserved : TrafficWorld {
  policy::Rules rules = rules_of();
  Reserved() {
    selections = {{{1, 3}, {{direct(2), 10}, {direct(1), 20}}}, {{2, 3}, {{direct(1), 10}}}};
    prices = {{2, 2}};
  }
};

TEST(PlaneReserves, DemandOnAPlaneIsWhatWouldGoOverIt) {
  Reserved w;
  w.ask(1, 30 * kMbit);
  w.ask(1, 5 * kMbit, Tier::Interactive);
  w.ask(2, 10 * kMbit);
  const auto demand = demand_on(w.rules, w.question()).at(1);
  EXPECT_NEAR(demand.all, 40 * kMbit, 1) << "interactive's first list is another";
  EXPECT_NEAR(demand.bound, 10 * kMbit, 1);
  w.selections[{1, 3}] = {{direct(1), 10}, {direct(2), 20}};
  w.ask(1, 3 * kMbit, Tier::Critical);
  const auto first = demand_on(w.rules, w.question()).at(1);
  EXPECT_NEAR(first.all, 48 * kMbit, 1);
  EXPECT_NEAR(first.bound, 13 * kMbit, 1) << "critical does not leave its first list";
  w.prices.clear();
  w.selections[{1, 3}] = {{direct(2), 10}, {direct(1), 20}};
  EXPECT_NEAR(demand_on(w.rules, w.question()).at(1).all, 10 * kMbit, 1) << "plane 2 costs nothing either";
}

TEST(PlaneReserves, APlanUsesUpWhatIsReservedBeforeItPaysForMore) {
  const auto settle = [](double reserved, double bulk, double interactive = 0) {
    Reserved w;
    w.ask(1, bulk * kMbit);
    if (interactive > 0) w.ask(1, interactive * kMbit, Tier::Interactive);
    w.capacities.set_plane(PlaneId{1}, reserved * kMbit);
    return w.settle();
  };
  const SpreadKey bulk{{1, 3}, Tier::Bulk};
  const TrafficPlan room = settle(100, 60);
  EXPECT_EQ(room.spreads.at(bulk).of(direct(1)), Spread::kWhole);
  EXPECT_NEAR(room.reserved_bps.at(1), 60 * kMbit, kMbit);
  EXPECT_EQ(room.cost_per_hour, 0) << "it is paid for";
  const TrafficPlan over = settle(100, 150);
  EXPECT_NEAR(over.reserved_bps.at(1), 100 * kMbit, 5 * kMbit) << "all of it";
  EXPECT_LE(over.reserved_bps.at(1), 101 * kMbit);
  EXPECT_NEAR(over.plane_bps.at(2), 50 * kMbit, 5 * kMbit);
  EXPECT_NEAR(over.carried_bps, 150 * kMbit, 5 * kMbit) << "but for the grain of weights";
  const TrafficPlan none = settle(0, 60);
  EXPECT_TRUE(!none.spreads.contains(bulk) || none.spreads.at(bulk).of(direct(1)) == 0)
      << "nothing reserved is nothing, not no end";
  EXPECT_NEAR(none.plane_bps.at(2), 60 * kMbit, kMbit);
}

TEST(PlaneReserves, ARouteTakesWhatIsReservedOnce) {
  CapacityBook book;
  book.set_plane(PlaneId{1}, 10 * kMbit);
  EXPECT_EQ(book.used_by(NodeId{1}, NodeId{3}, over(9, 1, 1)).size(), 1u);
  EXPECT_EQ(book.used_by(NodeId{1}, NodeId{3}, over(9, 2, 1)).size(), 1u);
  EXPECT_TRUE(book.used_by(NodeId{1}, NodeId{3}, over(9, 2, 2)).empty());
}

}  // namespace
}  // namespace qanat::domain
