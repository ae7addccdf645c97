// From a placeholder to serving and back, in virtual time; what a cold start is made of; who gets how much of shared cards.
#include "gateway/pool/life/model_life.hh"

#include <gtest/gtest.h>

#include "gateway/pool/data/catalogue.hh"
#include "gateway/pool/life/card_share.hh"

namespace qanat::pool {
namespace {

using std::chrono::seconds;

base::Time at(double s) { return base::Time(base::Duration(static_cast<std::int64_t>(s * 1e9))); }
double in_s(base::Duration d) { return std::chrono::duration<double>(d).count(); }

LifeTimes times(double disk, const std::vector<WeightCopy>& copies = {}) {
  SitePlan site;
  site.disk_gb_per_s = disk;
  return life_times(*built_in().card("H20"), 4, *built_in().model("deepseek-r1-distill-llama-70b"), site,
                    copies);
}

TEST(LifeTimes, AColdStartComesFromSizesPathsAndDisks) {
  const double gb = built_in().model("deepseek-r1-distill-llama-70b")->weight_bytes() / 1e9;
  EXPECT_NEAR(gb, 141, 3);
  const auto slow = times(2), fast = times(8);
  EXPECT_NEAR(in_s(slow.load) - 4, gb / 2, 1) << "the disk is the narrowest place";
  EXPECT_NEAR(in_s(fast.load) - 4, gb / 8, 1);
  EXPECT_LT(fast.reload, fast.load) << "the page cache is wider than the disk";
  EXPECT_LT(fast.restore, fast.load + fast.warm);
  EXPECT_EQ(times(8).stage.count(), 0);

  // Weights come from the nearest copies at once, as far as the disk takes them.
  const auto one = times(8, {{"far", 1.0, 40}});
  const auto two = times(8, {{"far", 1.0, 40}, {"near", 2.0, 3}});
  const auto many = times(2, {{"a", 1.5, 3}, {"b", 1.5, 5}, {"c", 1.5, 90}});
  EXPECT_NEAR(in_s(one.stage), gb / 1, 1);
  EXPECT_NEAR(in_s(two.stage), gb / 3, 1);
  EXPECT_NEAR(in_s(many.stage), gb / 2, 1) << "two copies fill this disk; the far one is not asked";
}

LifePlan plan(bool staged, bool snapshots) {
  LifePlan p;
  p.times = {seconds(100), seconds(20), seconds(8), seconds(10), seconds(5)};
  p.staged = staged;
  p.snapshots = snapshots;
  p.idle_to_zero = seconds(60);
  return p;
}

TEST(ModelLife, ComesUpStepByStepAndGoesBackToZero) {
  ModelLife life(plan(false, true), false, at(0));
  EXPECT_EQ(life.phase(), Phase::Placeholder);
  EXPECT_FALSE(life.next_timeout()) << "a right to start costs nothing and waits for nothing";
  EXPECT_EQ(in_s(*life.ready_in(at(0))), 130);
  life.wake(at(0));
  EXPECT_EQ(life.phase(), Phase::Staging);
  life.on_timer(at(100));
  EXPECT_EQ(life.phase(), Phase::Loading);
  EXPECT_EQ(in_s(*life.ready_in(at(110))), 20);
  life.on_timer(at(125));
  EXPECT_EQ(life.phase(), Phase::Warming);
  life.on_timer(at(131));
  EXPECT_EQ(life.phase(), Phase::Serving);
  life.set_busy(true, at(131));
  EXPECT_FALSE(life.next_timeout());
  life.set_busy(false, at(200));
  EXPECT_EQ(*life.next_timeout(), at(260));
  life.on_timer(at(260));
  EXPECT_EQ(life.phase(), Phase::Placeholder);
  // The second start finds the weights on the disk, and a snapshot of a warm process.
  life.wake(at(300));
  EXPECT_EQ(life.phase(), Phase::Loading);
  life.on_timer(at(305));
  EXPECT_EQ(life.phase(), Phase::Serving);
}

TEST(ModelLife, DrainsBeforeItLetsGo) {
  ModelLife life(plan(true, false), true, at(0));
  life.set_busy(true, at(1));
  life.drain(at(2));
  EXPECT_EQ(life.phase(), Phase::Draining);
  EXPECT_TRUE(life.serving()) << "what it has is finished";
  life.set_busy(false, at(9));
  EXPECT_EQ(life.phase(), Phase::Placeholder);
  life.wake(at(10));
  life.on_timer(at(29));
  EXPECT_EQ(life.phase(), Phase::Loading);
  life.drain(at(29));
  EXPECT_EQ(life.phase(), Phase::Placeholder);
}

TEST(ModelLife, ARestartLoadsFromTheHostsMemoryAfterTheOutage) {
  ModelLife life(plan(true, false), true, at(0));
  life.on_memory_lost(seconds(3), at(10));
  EXPECT_EQ(life.phase(), Phase::Loading);
  life.on_timer(at(20.9));
  EXPECT_EQ(life.phase(), Phase::Loading);
  life.on_timer(at(31));
  EXPECT_EQ(life.phase(), Phase::Serving) << "3 outage, 8 reload, 10 graphs";
  life.on_cards_lost(at(40));
  EXPECT_FALSE(life.ready_in(at(40)));
  life.wake(at(41));
  EXPECT_EQ(life.phase(), Phase::Failed);
  life.replace(plan(true, false), at(50));
  life.on_timer(at(80));
  EXPECT_EQ(life.phase(), Phase::Serving);
}

TEST(CardShare, TheBusyDivideByPriorityAndNothingIsKeptForTheIdle) {
  const CardJob chat{2, 1, true}, batch{4, 1, true}, tune{7, 1, true};
  const CardJob idle_chat{2, 1, false};
  auto s = divide_cards(std::vector<CardJob>{chat, tune});
  EXPECT_NEAR(s[0], 0.95, 1e-9);
  EXPECT_NEAR(s[1], 0.05, 1e-9) << "preempted, not dead";
  s = divide_cards(std::vector<CardJob>{idle_chat, tune});
  EXPECT_EQ(s[1], 1) << "the ebb fills the cards";
  EXPECT_NEAR(s[0], 0.95, 1e-9) << "what it would have";
  s = divide_cards(std::vector<CardJob>{{4, 3, true}, {4, 1, true}, {4, 9, false}});
  EXPECT_NEAR(s[0], 0.75, 1e-9);
  EXPECT_NEAR(s[1], 0.25, 1e-9);
  s = divide_cards(std::vector<CardJob>{chat, batch, tune});
  EXPECT_NEAR(s[0] + s[1] + s[2], 1, 1e-9);
  EXPECT_GT(s[0], 10 * s[1]);
  EXPECT_GT(s[1], 10 * s[2]);
}

}  // namespace
}  // namespace qanat::pool
