// A gateway with its valve, and its pools, in virtual time: what the valve promises of a burst, on the real cores.
#include <gtest/gtest.h>

#include "bench/case/cases.hh"

namespace qanat::bench {
namespace {

// Days of an hour, so that three of them pass in seconds.
BurstPlan short_days(bool forecast) {
  BurstPlan plan;
  plan.day = std::chrono::minutes(60);
  plan.burst = std::chrono::minutes(4);
  plan.days = 3;
  plan.forecast = forecast;
  return plan;
}

TEST(Fleet, ABurstOfFiveTimesCostsNoCallAndWhatItUsed) {
  const BurstCase c = bursts(short_days(true));
  EXPECT_GT(c.calls, 5000u);
  EXPECT_EQ(c.failed, 0u);
  EXPECT_LE(c.burst_misses_pct, 1.0);
  EXPECT_LE(c.released_s, c.cool_down_s + 5) << "demand is chance: it may rise once more";
  EXPECT_GT(c.card_s, 0);
  EXPECT_NEAR(c.billed_card_s, c.card_s, 0.01);
}

TEST(Fleet, ThresholdsAloneAreLateForTheSameBurst) {
  const BurstCase c = bursts(short_days(false));
  EXPECT_EQ(c.failed, 0u);
  EXPECT_GT(c.burst_misses_pct, 1.0);
}

TEST(Fleet, ReportsAreAsTheyWereMeasuredAndOverflowShortensThem) {
  const ReportCase c = report_generation();
  EXPECT_NEAR(c.low_s, 42, 42 * 0.15);
  EXPECT_NEAR(c.local60_s, 72, 72 * 0.15);
  EXPECT_LE(c.overflow60_s, 45);
  EXPECT_LE(c.overflow100_s, 75);
}

// Closed loop by hand: one pool asleep, one call too many for the local one.
TEST(Fleet, ACallGoesElsewhereUntilThePlaceholderIsWarm) {
  FleetPool local = pool_of("local", "L40", 4, 1, "deepseek-r1-distill-qwen-32b");
  local.local = true;
  FleetPool remote = placeholders_of(pool_of("far", "H20", 4, 1, "deepseek-r1-distill-qwen-32b"), 9, 18);
  remote.streams = 50;
  place::ValveSettings settings;
  settings.local_streams = 4;
  place::Wish wish;
  wish.ttft = std::chrono::seconds(2);
  wish.tpot = std::chrono::milliseconds(65);
  Fleet fleet({local, remote}, wish, settings);
  std::vector<FleetEnd> ends;
  fleet.on_end([&](const FleetEnd& end) { ends.push_back(end); });
  // Two calls a second: more than the local pool holds at 65 ms a token.
  for (int i = 0; i < 240; ++i) fleet.add({base::Time{} + std::chrono::milliseconds(500 * i), 512, 256});
  fleet.run_dry();
  ASSERT_EQ(ends.size(), 240u);
  const auto cold = remote.life.times.load + remote.life.times.warm;
  ASSERT_GT(cold, std::chrono::seconds(10));
  for (const FleetEnd& end : ends) {
    EXPECT_FALSE(end.failed);
    if (end.call.at < base::Time{} + cold) {
      EXPECT_EQ(end.pool, 0u) << "nothing was warm yet";
    }
  }
  EXPECT_TRUE(std::any_of(ends.begin(), ends.end(), [](const FleetEnd& e) { return e.pool == 1; }));
  fleet.run_until(fleet.now() + 2 * settings.cool_down);
  EXPECT_EQ(fleet.held(1), 0u) << "back to zero";
  EXPECT_EQ(fleet.valve()->state(), place::ValveState::Shut);
  EXPECT_EQ(fleet.valve()->spent(), fleet.charged(1));
}

}  // namespace
}  // namespace qanat::bench
