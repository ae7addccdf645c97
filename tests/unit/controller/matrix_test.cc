// The matrix: two ends' reports become one link, and silence is not news.
#include "controller/telemetry/matrix.hh"

#include <gtest/gtest.h>

namespace qanat::telemetry {
namespace {

using namespace std::chrono_literals;
using base::Time;

const LinkKey kAb{ids::NodeId{1}, ids::NodeId{2}, ids::PlaneId{1}, ids::PlaneId{1}};

Report good(std::uint32_t rtt_us) { return {rtt_us, 0, 10, 0, true}; }
Report dead() { return {0, 0, 10, 10, false}; }

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
  m.on_report(kAb, Report{0, 0, 0, 0, true}, {});
  EXPECT_EQ(m.link(kAb, {})->state, LinkState::Unknown) << "zero is not a round trip";
}

TEST(Matrix, AliveWithoutARoundTripAtOneEndIsUsableByTheOthers) {
  Matrix m;
  for (int i = 0; i < 2; ++i) {
    m.on_report(kAb, Report{0, 0, 3, 0, true}, {});
    EXPECT_NE(m.link(kAb, {})->state, LinkState::Dead) << "alive is not dead, measured or not";
    m.on_report(kAb.reversed(), good(7000), {});
  }
  EXPECT_EQ(m.link(kAb, {})->state, LinkState::Usable);
  EXPECT_EQ(m.link(kAb, {})->rtt_us, 7000u);
}

TEST(Matrix, OneLostProbeOfTwoIsNotHalfOfAll) {
  Matrix m;
  m.on_report(kAb, Report{5000, 0, 2, 1, true}, {});
  m.on_report(kAb, Report{5000, 0, 2, 0, true}, {});
  EXPECT_LE(m.link(kAb, {})->loss_ppm, 50'000u);
  for (int i = 0; i < 200; ++i) m.on_report(kAb, Report{5000, 0, 2, 1, true}, {});
  EXPECT_NEAR(m.link(kAb, {})->loss_ppm, 500'000, 10'000);
}

TEST(Matrix, ComingBackFromTheDeadForgetsTheOldRoundTrip) {
  Matrix m;
  for (int i = 0; i < 4; ++i) m.on_report(kAb, good(100'000), {});
  m.on_report(kAb, dead(), {});
  for (int i = 0; i < 2; ++i) m.on_report(kAb, good(8'000), {});
  EXPECT_EQ(m.link(kAb, {})->rtt_us, 8'000u);
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
