// The matrix: two ends' reports become one link, and silence is not news.
#include "controller/telemetry/matrix.hh"

#include <gtest/gtest.h>

namespace qanat::telemetry {
namespace {

using namespace std::chrono_literals;
using base::Time;

const LinkKey kAb{ids::NodeId{1}, ids::NodeId{2}, ids::PlaneId{1}, ids::PlaneId{1}};

Report good(std::uint32_t rtt_us) { return {.rtt_us = rtt_us, .alive = true, .sent = {10, 0}, .heard = {}}; }
Report lossy(std::uint32_t lost) { return {.rtt_us = 5000, .alive = true, .sent = {2, lost}, .heard = {}}; }
Report dead() { return {.rtt_us = 0, .alive = false, .sent = {10, 10}, .heard = {}}; }

TEST(Matrix, ANewLinkIsUnusableUntilItsSecondGoodReport) {
  Matrix m;
  const Time t{};
  EXPECT_FALSE(m.link(kAb, t).has_value());
  m.on_report(kAb, good(5000), t);
  EXPECT_EQ(m.link(kAb, t)->state, LinkState::Unknown);
  m.on_report(kAb, good(5000), t + 500ms);
  EXPECT_EQ(m.link(kAb, t + 500ms)->state, LinkState::Usable);
  EXPECT_EQ(m.link(kAb, t + 500ms)->rtt_us, 5000u);
}

TEST(Matrix, ALinkIsAsBadAsTheWorseOfItsEnds) {
  Matrix m;
  const Time t{};
  for (int i = 0; i < 2; ++i) {
    m.on_report(kAb, good(5000), t);
    m.on_report(kAb.reversed(), good(9000), t);
  }
  EXPECT_EQ(m.link(kAb, t)->rtt_us, 9000u);
  EXPECT_EQ(m.link(kAb.reversed(), t)->rtt_us, 9000u);
  m.on_report(kAb.reversed(), dead(), t);
  EXPECT_EQ(m.link(kAb, t)->state, LinkState::Dead) << "one end's bad news is enough, at once";
}

TEST(Matrix, OneEndsReportsServeBothDirections) {
  Matrix m;
  for (int i = 0; i < 2; ++i) m.on_report(kAb, good(5000), {});
  const auto links = m.links({});
  ASSERT_EQ(links.size(), 2u);
  EXPECT_EQ(links[0].key, kAb);
  EXPECT_EQ(links[1].key, kAb.reversed());
  EXPECT_EQ(links[1].state, LinkState::Usable);
}

TEST(Matrix, SilenceMakesALinkUnknownNeitherGoodNorDead) {
  Matrix m;
  const Time t{};
  for (int i = 0; i < 2; ++i) m.on_report(kAb, good(5000), t);
  EXPECT_EQ(m.link(kAb, t + Matrix::kFresh)->state, LinkState::Usable);
  EXPECT_EQ(m.link(kAb, t + Matrix::kFresh + 1ms)->state, LinkState::Unknown);
  m.expire(t + Matrix::kFresh + 1ms);
  EXPECT_EQ(m.rows(), 0u);
}

TEST(Matrix, AnAliveReportThatMeasuredNothingIsNoNews) {
  Matrix m;
  m.on_report(kAb, good(5000), {});
  m.on_report(kAb, Report{.rtt_us = 0, .alive = true, .sent = {}, .heard = {}}, {});
  EXPECT_EQ(m.link(kAb, {})->state, LinkState::Unknown) << "zero is not a round trip";
}

TEST(Matrix, AliveWithoutARoundTripAtOneEndIsUsableByTheOthers) {
  Matrix m;
  for (int i = 0; i < 2; ++i) {
    m.on_report(kAb, Report{.rtt_us = 0, .alive = true, .sent = {3, 0}, .heard = {}}, {});
    EXPECT_NE(m.link(kAb, {})->state, LinkState::Dead) << "alive is not dead, measured or not";
    m.on_report(kAb.reversed(), good(7000), {});
  }
  EXPECT_EQ(m.link(kAb, {})->state, LinkState::Usable);
  EXPECT_EQ(m.link(kAb, {})->rtt_us, 7000u);
}

TEST(Matrix, OneLostProbeOfTwoIsNotHalfOfAll) {
  Matrix m;
  m.on_report(kAb, lossy(1), {});
  m.on_report(kAb, lossy(0), {});
  EXPECT_LE(m.link(kAb, {})->loss_ppm, 50'000u);
  for (int i = 0; i < 200; ++i) m.on_report(kAb, lossy(1), {});
  EXPECT_NEAR(m.link(kAb, {})->loss_ppm, 500'000, 10'000);
}

TEST(Matrix, ComingBackFromTheDeadForgetsTheOldRoundTrip) {
  Matrix m;
  for (int i = 0; i < 4; ++i) m.on_report(kAb, good(100'000), {});
  m.on_report(kAb, dead(), {});
  for (int i = 0; i < 2; ++i) m.on_report(kAb, good(8'000), {});
  EXPECT_EQ(m.link(kAb, {})->rtt_us, 8'000u);
}

// Both ends over one link, of which from → to loses `there` of a hundred probes and the way back `back`.
void measure(Matrix& m, std::uint32_t there, std::uint32_t back) {
  for (int i = 0; i < 60; ++i) {
    m.on_report(kAb, {.rtt_us = 5000, .alive = true, .sent = {100, there, 900}, .heard = {100, back, 100}},
                {});
    m.on_report(kAb.reversed(),
                {.rtt_us = 5000, .alive = true, .sent = {100, back, 100}, .heard = {100, there, 900, 5}}, {});
  }
}

TEST(Matrix, EachDirectionHasItsOwnLossJitterAndReordering) {
  Matrix m;
  measure(m, 20, 1);
  const Link there = *m.link(kAb, {}), back = *m.link(kAb.reversed(), {});
  EXPECT_NEAR(there.loss_ppm, 200'000, 1000);
  EXPECT_NEAR(back.loss_ppm, 10'000, 1000);
  EXPECT_EQ(there.jitter_us, 900u);
  EXPECT_EQ(back.jitter_us, 100u);
  EXPECT_NEAR(there.reordered_ppm, 50'000, 1000);
  EXPECT_EQ(back.reordered_ppm, 0u);
  EXPECT_EQ(there.rtt_us, back.rtt_us);
  const auto links = m.links({});
  EXPECT_EQ(links[0].loss_ppm, there.loss_ppm);
  EXPECT_EQ(links[1].loss_ppm, back.loss_ppm);
}

TEST(Matrix, AWitnessMakesADirectionWorseNeverBetter) {
  Matrix m;
  for (int i = 0; i < 60; ++i) {
    // "Nothing of mine is lost, and half of theirs": the first is false.
    m.on_report(kAb, {.rtt_us = 5000, .alive = true, .sent = {100, 0}, .heard = {100, 50}}, {});
    m.on_report(kAb.reversed(), {.rtt_us = 5000, .alive = true, .sent = {100, 0}, .heard = {100, 10}}, {});
  }
  EXPECT_NEAR(m.link(kAb, {})->loss_ppm, 100'000, 1000) << "what the far end saw counts";
  EXPECT_NEAR(m.link(kAb.reversed(), {})->loss_ppm, 500'000, 1000) << "and so does a false witness";
}

TEST(Matrix, AFarEndWithoutAWitnessSpeaksOfBothDirections) {
  Matrix m;
  for (int i = 0; i < 60; ++i) {
    m.on_report(kAb, {.rtt_us = 5000, .alive = true, .sent = {100, 0}, .heard = {100, 0}}, {});
    m.on_report(kAb.reversed(), {.rtt_us = 5000, .alive = true, .sent = {100, 10}, .heard = {}}, {});
  }
  EXPECT_NEAR(m.link(kAb, {})->loss_ppm, 100'000, 1000);
  EXPECT_NEAR(m.link(kAb.reversed(), {})->loss_ppm, 100'000, 1000);
}

TEST(Matrix, MergedEdgesKeepTheirDirections) {
  Matrix m;
  m.on_merged(kAb, {.rtt_us = 5000, .alive = true, .there = {30'000, 700, 40}, .back = {{1'000, 20, 3}}}, {});
  m.on_merged(kAb.reversed(),
              {.rtt_us = 6000, .alive = true, .there = {2'000, 10, 0}, .back = {{25'000, 800, 0}}}, {});
  const Link there = *m.link(kAb, {}), back = *m.link(kAb.reversed(), {});
  EXPECT_EQ(there.state, LinkState::Usable);
  EXPECT_EQ(there.rtt_us, 6000u);
  EXPECT_EQ(there.loss_ppm, 30'000u);
  EXPECT_EQ(there.jitter_us, 800u);
  EXPECT_EQ(there.reordered_ppm, 40u);
  EXPECT_EQ(back.loss_ppm, 2'000u);
  EXPECT_EQ(back.jitter_us, 20u);
}

TEST(Matrix, CountsThatNoBoxCanHaveAreBounded) {
  Matrix m;
  for (int i = 0; i < 100; ++i)
    m.on_report(
        kAb, {.rtt_us = ~0u, .alive = true, .sent = {~0u, ~0u, ~0u, ~0u}, .heard = {~0u, ~0u, ~0u, ~0u}}, {});
  for (const auto& key : {kAb, kAb.reversed()}) EXPECT_EQ(m.link(key, {})->loss_ppm, 1'000'000u);
}

TEST(Matrix, OneReportOfTenIntervalsCountsAsTen) {
  Matrix often, seldom;
  const auto lossy_for = [](std::uint32_t probes) {
    return Report{.rtt_us = 7000, .alive = true, .sent = {probes, probes / 5}, .heard = {}};
  };
  for (Matrix* m : {&often, &seldom})
    for (int i = 0; i < 2; ++i) m->on_report(kAb, good(5000), Time{} + i * 500ms);
  for (int i = 3; i <= 12; ++i) often.on_report(kAb, lossy_for(5), Time{} + i * 500ms);
  seldom.on_report(kAb, lossy_for(50), Time{} + 6s);
  const Link a = *often.link(kAb, Time{} + 6s), b = *seldom.link(kAb, Time{} + 6s);
  EXPECT_NEAR(a.rtt_us, b.rtt_us, 40);
  EXPECT_NEAR(a.loss_ppm, b.loss_ppm, 0.1 * a.loss_ppm);
}

TEST(Matrix, ForgettingANodeForgetsBothDirections) {
  Matrix m;
  m.on_report(kAb, good(1), {});
  m.on_report(kAb.reversed(), good(1), {});
  m.forget(ids::NodeId{1});
  EXPECT_EQ(m.rows(), 0u);
}

}  // namespace
}  // namespace qanat::telemetry
