// Measurements as they come: each defect with the output that it must give.
//
//   defect                         expected
//   zeros                          no round trip: a new link stays Unknown, a known one keeps its last
//   gaps                           10 s of silence: Unknown, not dead and not zero; two good reports bring it back
//   an outlier of 30 s             smoothed by a quarter: the way is left, and taken again as it fades; no overflow
//   one end missing                the other end's reports serve both directions, each by what it saw of that
//   a lying end                    the worse of both counts, by direction: a liar can make a link worse, never better
//   a controller's clock           matrix time is the controller's: reports are dated on arrival; no negative ages; its
//     that jumps                   wall clock: clocks_test.cc
//   a box's clock that jumps       no jitter, no round trip: what it reports is as before, also of a peer that lies
#include <gtest/gtest.h>

#include "controller/paths/selection.hh"
#include "controller/telemetry/matrix.hh"
#include "controller/topology/link_table.hh"
#include "dataplane/path/estimate.hh"

namespace qanat::telemetry {
namespace {

using namespace std::chrono_literals;
using base::Time;

const LinkKey kAb{ids::NodeId{1}, ids::NodeId{2}, ids::PlaneId{1}, ids::PlaneId{1}};

Report good(std::uint32_t rtt_us) { return {.rtt_us = rtt_us, .alive = true, .sent = {10, 0}, .heard = {}}; }

struct Known : ::testing::Test {
  Matrix m;
  Time t = Time{} + 1000s;
  void SetUp() override {
    for (int i = 0; i < 4; ++i) both(5000);
  }
  void both(std::uint32_t rtt_us) {
    t += 500ms;
    m.on_report(kAb, good(rtt_us), t);
    m.on_report(kAb.reversed(), good(rtt_us), t);
  }
};

TEST_F(Known, ZerosAreNoRoundTrips) {
  for (int i = 0; i < 10; ++i)
    m.on_report(kAb, {.rtt_us = 0, .alive = true, .sent = {}, .heard = {}}, t += 500ms);
  EXPECT_EQ(m.link(kAb, t)->state, LinkState::Usable);
  EXPECT_EQ(m.link(kAb, t)->rtt_us, 5000u);
  Matrix fresh;
  for (int i = 0; i < 10; ++i) fresh.on_report(kAb, {.rtt_us = 0, .alive = true, .sent = {}, .heard = {}}, t);
  EXPECT_EQ(fresh.link(kAb, t)->state, LinkState::Unknown);
}

TEST_F(Known, AGapIsUnknownAndTwoReportsEndIt) {
  EXPECT_EQ(m.link(kAb, t + 10s)->state, LinkState::Usable);
  t += 10s + 1ms;
  EXPECT_EQ(m.link(kAb, t)->state, LinkState::Unknown);
  EXPECT_EQ(m.expire(t).size(), 2u);
  both(6000);
  EXPECT_EQ(m.link(kAb, t)->state, LinkState::Unknown);
  both(6000);
  EXPECT_EQ(m.link(kAb, t)->state, LinkState::Usable);
  EXPECT_EQ(m.link(kAb, t)->rtt_us, 6000u) << "nothing is left of before";
}

TEST_F(Known, AnOutlierOfThirtySecondsFades) {
  both(30'000'000);
  EXPECT_EQ(m.link(kAb, t)->rtt_us, 7'503'750u) << "3/4 · 5 ms + 1/4 · 30 s";
  int reports = 0;
  for (; m.link(kAb, t)->rtt_us > 10'000; ++reports) both(5000);
  EXPECT_EQ(reports, 26) << "13 s at two reports a second";
  // The largest values there are do not wrap into good ones.
  for (int i = 0; i < 50; ++i) both(~0u);
  const Link worst = *m.link(kAb, t);
  EXPECT_GT(worst.rtt_us, 4'000'000'000u);
  EXPECT_GE(topology::link_cost_us(worst.rtt_us, worst.loss_ppm), worst.rtt_us);
  topology::PlaneLink link{.plane = kAb.from_plane, .state = LinkState::Usable};
  link.rtt_us = link.cost_us = worst.rtt_us;
  EXPECT_EQ(paths::Objective{}.cost(link), paths::kNoWay) << "beyond 268 s there is no way";
}

TEST_F(Known, OneDirectionMissingIsServedByTheOther) {
  for (int i = 0; i < 40; ++i) m.on_report(kAb, good(7000), t += 500ms);
  for (const auto& key : {kAb, kAb.reversed()}) {
    EXPECT_EQ(m.link(key, t)->state, LinkState::Usable);
    EXPECT_EQ(m.link(key, t)->rtt_us, 7000u) << "the silent end's 5 ms are too old to count";
  }
}

TEST_F(Known, ALiarMakesALinkWorseNeverBetter) {
  for (int i = 0; i < 30; ++i) {
    t += 500ms;
    m.on_report(kAb, good(1), t);  // "1 µs, nothing lost"
    // In truth a fifth is lost on the way here, and some on the way back.
    m.on_report(kAb.reversed(), {.rtt_us = 5000, .alive = true, .sent = {20, 1}, .heard = {10, 2}}, t);
  }
  EXPECT_GE(m.link(kAb, t)->rtt_us, 5000u);
  EXPECT_GT(m.link(kAb, t)->loss_ppm, 150'000u);
  EXPECT_NEAR(m.link(kAb.reversed(), t)->loss_ppm, 50'000, 5'000);
  m.on_report(kAb, {.rtt_us = 5000, .alive = true, .sent = {10, 4'000'000'000}, .heard = {}},
              t);  // more lost than sent
  EXPECT_LE(m.link(kAb, t)->loss_ppm, 1'000'000u);
  m.on_report(kAb, {.rtt_us = 0, .alive = false, .sent = {}, .heard = {}}, t);
  EXPECT_EQ(m.link(kAb, t)->state, LinkState::Dead) << "it can take its own link down, which it could anyway";
}

TEST_F(Known, AClockThatJumpsBackMakesNothingNewer) {
  // The controller's clock is monotonic; a replayed log or a standby's earlier one may still step back.
  const Time earlier = t - 5s;
  EXPECT_EQ(m.link(kAb, earlier)->state, LinkState::Usable);
  EXPECT_TRUE(m.expire(earlier).empty());
  m.on_report(kAb, good(5000), earlier);
  m.on_report(kAb.reversed(), good(5000), earlier);
  EXPECT_EQ(m.link(kAb, earlier + 10s + 1ms)->state, LinkState::Unknown) << "dated when it was told";
}

TEST_F(Known, ABoxWhoseClockJumpsReportsWhatItDidBefore) {
  path::Estimate estimate;
  constexpr std::int64_t kHourUs = 3'600'000'000;
  for (const std::int64_t ahead_us :
       {std::int64_t{0}, 7 * kHourUs, -7 * kHourUs, 365 * 24 * kHourUs, INT64_MIN, INT64_MAX, INT64_MIN}) {
    estimate.on_rtt(
        std::chrono::microseconds(ahead_us / 1000));  // that it seemed to take while the clock jumped
    for (int i = 0; i < 20; ++i) {
      estimate.on_rtt(5ms);
      estimate.on_one_way(ahead_us);
    }
    EXPECT_GE(estimate.jitter(), 0ms);
    EXPECT_LT(estimate.jitter(), 1ms) << ahead_us;
    const auto us = [](base::Duration d) {
      return static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::microseconds>(d).count());
    };
    const auto interval = estimate.take_interval();
    m.on_report(
        kAb,
        {.rtt_us = us(interval.rtt_mean), .alive = true, .sent = {20, 0, us(estimate.jitter())}, .heard = {}},
        t += 500ms);
    EXPECT_EQ(m.link(kAb, t)->state, LinkState::Usable);
    EXPECT_EQ(m.link(kAb, t)->rtt_us, 5000u) << ahead_us;
    EXPECT_LT(m.link(kAb, t)->jitter_us, 1000u) << ahead_us;
  }
}

TEST_F(Known, NoisePublishesNothing) {
  topology::LinkTable links;
  links.update(*m.link(kAb, t));
  links.take_changes();
  for (int i = 0; i < 100; ++i) {
    both(5000 + (i * 37) % 150);
    links.update(*m.link(kAb, t));
  }
  EXPECT_FALSE(links.changed());
}

}  // namespace
}  // namespace qanat::telemetry
