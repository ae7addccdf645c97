// The valve and what it learns of demand, by their tables: each row of the state machine is a test.
#include "gateway/place/valve.hh"

#include <gtest/gtest.h>

#include <map>

namespace qanat::place {
namespace {

using namespace std::chrono_literals;
using std::chrono::seconds;

constexpr base::Time kStart{};

// Ten streams at home, two engines of ten at "far" for 100 nano a second each, four of ten at "dear" for 900.
struct Fixture {
  explicit Fixture(ValveSettings s = usual()) : valve(std::move(s), {dear(), far()}) {}
  static ValveSettings usual() {
    ValveSettings s;
    s.local_streams = 10;
    s.forecast = false;
    return s;
  }
  static Placeholder far() { return {"far", 2, 10, 100, 20s}; }
  static Placeholder dear() { return {"dear", 4, 10, 900, 40s}; }
  // What pools would say: everything asked for serves at once, and has cost so much.
  void obey(base::Time now) {
    for (const auto& b : std::vector<Valve::Bound>(valve.placeholders())) {
      charged[b.is.id] += meter::Nano{b.is.nano_per_s} * b.told.held;
      valve.on_told(b.is.id, {b.awake, b.awake, charged[b.is.id]}, now);
    }
  }
  void run(double streams, base::Duration lasts) {
    for (base::Duration t{}; t < lasts; t += 1s) {
      valve.on_demand(streams, now);
      obey(now);
      now += 1s;
    }
  }
  std::uint32_t awake() const { return valve.awake("far") + valve.awake("dear"); }
  std::vector<ValveEvent::Kind> events() {
    std::vector<ValveEvent::Kind> kinds;
    while (const auto event = valve.poll_event()) kinds.push_back(event->kind);
    return kinds;
  }
  Valve valve;
  base::Time now = kStart;
  std::map<std::string, meter::Nano> charged;
};

TEST(Valve, OpensAboveTheUpperThresholdCheapestFirst) {
  Fixture f;
  f.run(8, 10s);
  EXPECT_EQ(f.valve.state(), ValveState::Shut);
  f.run(9, 2s);
  EXPECT_EQ(f.valve.state(), ValveState::Open);
  EXPECT_EQ(f.valve.awake("far"), 1u);
  EXPECT_EQ(f.valve.awake("dear"), 0u);
  f.run(42, 2s);  // 0.85 × (10 + 4 × 10) ≥ 42
  EXPECT_EQ(f.valve.awake("far"), 2u);
  EXPECT_EQ(f.valve.awake("dear"), 2u);
  f.run(500, 2s);
  EXPECT_EQ(f.awake(), 6u) << "no more than the rights";
}

TEST(Valve, IsOpeningUntilTheFirstEngineServes) {
  Fixture f;
  f.valve.on_demand(12, f.now);
  EXPECT_EQ(f.valve.state(), ValveState::Opening);
  f.valve.on_told("far", {1, 0, 0}, f.now);
  EXPECT_EQ(f.valve.state(), ValveState::Opening);
  f.valve.on_told("far", {1, 1, 0}, f.now);
  EXPECT_EQ(f.valve.state(), ValveState::Open);
  EXPECT_EQ(f.events(), std::vector{ValveEvent::Kind::Opened});
}

TEST(Valve, ReleasesWithinTheCoolDownDearestFirstAndNotOnTheEdge) {
  Fixture f;
  f.run(42, 5s);
  ASSERT_EQ(f.awake(), 4u);
  f.run(20, 120s);  // 0.6 × (10 + 30) ≥ 20 > 0.6 × (10 + 20)
  EXPECT_EQ(f.valve.awake("dear"), 1u);
  f.run(9, 40s);
  EXPECT_EQ(f.valve.awake("dear"), 0u);
  f.run(7, 120s);
  EXPECT_EQ(f.awake(), 1u) << "between the thresholds what is open stays open";
  f.run(2, 29s);
  EXPECT_EQ(f.awake(), 1u);
  f.run(2, 31s);
  EXPECT_EQ(f.awake(), 0u);
  EXPECT_EQ(f.valve.state(), ValveState::Shut);
}

TEST(Valve, ADemandThatComesBackIsWaitedForAndAMomentOfItIsNot) {
  Fixture often;
  often.run(12, 5s);
  for (int i = 0; i < 20; ++i) {
    often.run(2, 10s);
    often.run(7, 11s);
  }
  EXPECT_EQ(often.awake(), 1u);
  Fixture once;
  once.run(12, 5s);
  once.run(2, 25s);
  once.run(7, 2s);  // what the local pool holds by itself
  EXPECT_EQ(once.awake(), 1u);
  once.run(2, 10s);
  EXPECT_EQ(once.awake(), 0u);
  Fixture needed;
  needed.run(12, 5s);
  needed.run(2, 25s);
  needed.run(12, 2s);  // and what it does not: the hold begins anew, and so does what is needed
  needed.run(2, 29s);
  EXPECT_EQ(needed.awake(), 1u);
}

// What one slot of history has by chance is no reason to keep a card: only what would open one is.
TEST(Valve, AForecastKeepsWhatItWouldOpenAndNoMore) {
  ValveSettings s = Fixture::usual();
  s.forecast = true;
  for (const double usual : {4.0, 12.0}) {
    Fixture f(s);
    f.valve.history().restore(std::vector<double>(f.valve.history().usual().size(), usual));
    f.run(12, 20s);
    ASSERT_GE(f.awake(), 1u);
    f.run(2, 40s);
    EXPECT_EQ(f.awake() > 0, usual > 8.5) << "usually " << usual << " of 10, today twice as much at most";
  }
}

TEST(Valve, ClosingOpensAgainWhenMoreIsNeeded) {
  Fixture f;
  f.run(12, 5s);
  f.run(0, 31s);
  f.valve.on_told("far", {1, 1, 0}, f.now);  // drains: a call is under way
  EXPECT_EQ(f.valve.state(), ValveState::Closing);
  f.valve.on_demand(12, f.now);
  EXPECT_EQ(f.valve.state(), ValveState::Open);
}

TEST(Valve, AskFirstWakesNothingBeforeSomebodySaysYes) {
  auto s = Fixture::usual();
  s.mode = ValveMode::AskFirst;
  Fixture f(s);
  f.run(25, 3s);
  EXPECT_EQ(f.valve.state(), ValveState::Pending);
  EXPECT_FALSE(f.valve.lets_out());
  ASSERT_EQ(f.valve.plans().size(), 1u);
  const ValvePlan plan = f.valve.plans().front();
  EXPECT_EQ(plan.engines, (std::vector<std::pair<std::string, std::uint32_t>>{{"far", 2}}));
  EXPECT_EQ(plan.nano_per_hour, 200 * 3600);
  EXPECT_FALSE(f.valve.confirm(plan.id + 1, f.now));
  EXPECT_TRUE(f.valve.confirm(plan.id, f.now));
  EXPECT_FALSE(f.valve.confirm(plan.id, f.now)) << "once";
  f.run(25, 2s);
  EXPECT_EQ(f.valve.state(), ValveState::Open);
  EXPECT_TRUE(f.valve.lets_out());
  f.run(40, 2s);
  EXPECT_EQ(f.valve.plans().size(), 2u) << "more is another plan";
  EXPECT_EQ(f.awake(), 2u);
  f.run(0, 120s);
  EXPECT_EQ(f.valve.state(), ValveState::Shut) << "the second plan is needed no longer";
  f.run(25, 2s);
  EXPECT_EQ(f.awake(), 0u) << "the next opening is another decision";
  EXPECT_EQ(f.valve.state(), ValveState::Pending);
}

TEST(Valve, ARefusedOrExpiredPlanIsNotAskedAgainAtOnce) {
  for (const bool refuse : {true, false}) {
    auto s = Fixture::usual();
    s.mode = ValveMode::AskFirst;
    s.plan_ttl = 100s;
    Fixture f(s);
    f.run(25, 3s);
    if (refuse)
      EXPECT_TRUE(f.valve.refuse(1, f.now));
    else
      f.run(25, 100s);
    EXPECT_EQ(f.valve.state(), ValveState::Shut);
    EXPECT_FALSE(f.valve.confirm(1, f.now));
    f.run(25, 90s);
    EXPECT_EQ(f.valve.plans().size(), 1u);
    f.run(25, 15s);
    EXPECT_EQ(f.valve.plans().size(), 2u);
  }
}

TEST(Valve, ClosedWakesNothingUnlessByHand) {
  Fixture f;
  f.run(12, 3s);
  f.valve.close(f.now);
  f.run(50, 3s);
  EXPECT_EQ(f.valve.state(), ValveState::Shut);
  EXPECT_FALSE(f.valve.lets_out());
  f.valve.open(3, f.now);
  f.run(0, 200s);
  EXPECT_EQ(f.awake(), 3u);
  EXPECT_TRUE(f.valve.lets_out());
  f.valve.close(f.now);
  f.run(0, 2s);
  EXPECT_EQ(f.awake(), 0u);
}

TEST(Valve, NeverSpendsMoreThanItsBudget) {
  auto s = Fixture::usual();
  s.budget = 100 * 1000;
  s.period = 2h;
  Fixture f(s);
  f.run(12, 3600s);
  EXPECT_EQ(f.awake(), 0u);
  EXPECT_TRUE(f.valve.budget_reached());
  EXPECT_LE(f.valve.spent(), s.budget);
  EXPECT_GT(f.valve.spent(), s.budget * 8 / 10);
  f.run(12, 3610s);
  EXPECT_EQ(f.awake(), 1u) << "a new period";
}

TEST(Valve, ATaskBringsItsEnginesUpByItselfAndBefore) {
  auto s = Fixture::usual();
  s.period = 1h;
  s.tasks = {{"report", 30min, 5min, std::nullopt, 2}, {"queue", std::nullopt, {}, 5.0, 1}};
  Fixture f(s);
  f.run(1, 30min - 60s);
  EXPECT_EQ(f.awake(), 0u);
  f.run(1, 20s);  // 40 s of cold start and 15 s of lead before its time
  EXPECT_EQ(f.awake(), 2u);
  f.run(1, 5min + 120s);
  EXPECT_EQ(f.awake(), 0u);
  f.run(6, 2s);
  EXPECT_EQ(f.awake(), 1u) << "more than five streams";
}

TEST(Valve, OneCallThatNobodyCanTakeWakesAnEngine) {
  Fixture f;
  f.run(1, 10s);
  EXPECT_EQ(f.awake(), 0u);
  f.valve.on_demand(1, f.now, true);
  EXPECT_EQ(f.awake(), 1u);
  f.run(1, 25s);
  EXPECT_EQ(f.awake(), 1u) << "long enough for it to be served";
  f.run(1, 10s);
  EXPECT_EQ(f.awake(), 0u);
}

TEST(Valve, WhatWasAcknowledgedSurvives) {
  auto s = Fixture::usual();
  s.mode = ValveMode::AskFirst;
  Fixture f(s);
  f.run(15, 3s);
  ASSERT_TRUE(f.valve.confirm(1, f.now));
  f.run(15, 30s);
  f.run(40, 2s);
  Valve again(s, {Fixture::far(), Fixture::dear()});
  again.restore(f.valve.keep());
  EXPECT_EQ(again.awake("far"), 1u);
  EXPECT_EQ(again.spent(), f.valve.spent());
  EXPECT_EQ(again.plans().back().state, ValvePlan::State::Waiting);
  EXPECT_TRUE(again.confirm(2, f.now));
}

TEST(Valve, APoolThatBeganAnewIsNotChargedTwice) {
  Fixture f;
  f.valve.on_told("far", {1, 1, 500}, f.now);
  f.valve.on_told("far", {1, 1, 700}, f.now);
  f.valve.on_told("far", {1, 1, 100}, f.now);
  EXPECT_EQ(f.valve.spent(), 300);
}

// A day of an hour: quiet but for a burst of five times at its half.
double pattern(base::Time now) {
  const auto into = (now - kStart) % std::chrono::hours(1);
  return into >= 30min && into < 35min ? 40 : 5;
}

TEST(DemandHistory, KnowsThePeakBeforeItComesAgain) {
  HistoryShape shape;
  shape.period = 1h;
  DemandHistory history(shape, kStart);
  base::Time now = kStart;
  for (; now < kStart + 3h; now += 5s) history.note(pattern(now), now);
  const base::Time before = kStart + 3h + 29min;
  for (; now < before; now += 5s) history.note(pattern(now), now);
  EXPECT_NEAR(history.peak(before, 30s), 5, 1) << "not yet";
  EXPECT_NEAR(history.peak(before, 90s), 40, 5);
  EXPECT_LT(history.error(), 0.05);
  EXPECT_GT(history.persistence_error(), 0.2);
  DemandHistory again(shape, kStart);
  again.restore(history.usual());
  again.note(5, before);
  EXPECT_NEAR(again.peak(before, 90s), 40, 5);
}

TEST(DemandHistory, ALouderDayIsExpectedToStayLouder) {
  HistoryShape shape;
  shape.period = 2h;
  DemandHistory history(shape, kStart);
  base::Time now = kStart;
  for (; now < kStart + 4h; now += 10s) history.note(10, now);
  for (; now < kStart + 5h; now += 10s) history.note(15, now);
  EXPECT_NEAR(history.level(), 1.5, 0.05);
  EXPECT_NEAR(history.peak(now, 30min), 15, 0.5);
}

TEST(DemandHistory, WhatWasNeverSeenIsTheDemandNow) {
  DemandHistory history;
  EXPECT_EQ(history.peak(kStart, 10min), 0);
  history.note(7, kStart + 5h);
  EXPECT_EQ(history.peak(kStart + 5h, 10min), 7);
  history.note(9, kStart + 4h);
  EXPECT_EQ(history.peak(kStart + 5h, 10min), 7) << "a clock that was set back adds nothing";
  EXPECT_EQ(history.error(), 0);
}

TEST(Valve, WithAForecastItOpensBeforeThePeak) {
  for (const bool forecast : {true, false}) {
    auto s = Fixture::usual();
    s.forecast = forecast;
    s.period = 1h;
    HistoryShape shape;
    shape.period = 1h;
    Valve valve(s, {Fixture::far(), Fixture::dear()}, shape, kStart);
    base::Time now = kStart;
    for (; now < kStart + 2h + 29min + 30s; now += 1s) {
      valve.on_demand(pattern(now), now);
      for (const char* id : {"far", "dear"}) valve.on_told(id, {valve.awake(id), valve.awake(id), 0}, now);
    }
    EXPECT_EQ(valve.state() == ValveState::Open, forecast) << "30 s before, 55 s are looked ahead";
  }
}

}  // namespace
}  // namespace qanat::place
