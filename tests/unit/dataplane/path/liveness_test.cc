#include "dataplane/path/liveness.hh"

#include <gtest/gtest.h>

namespace qanat::path {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A path probed every 10 ms, 5 ms each way; the far end reports every 10 ms.
class Story {
 public:
  base::Time now{seconds{100}};
  Liveness path;
  std::uint32_t sent = 0;
  std::uint32_t heard = 0;
  std::uint32_t received = 0;
  base::Duration interval = milliseconds{10};
  std::uint32_t loss_ppm = 0;
  bool beside_another = true;  // another path's probes leave with ours and are heard
  base::Time heard_transmit;
  base::Time heard_at;

  // One interval: our probe leaves; unless `lost` it is heard 5 ms later; a report of that arrives `report_delay` on.
  void step(bool lost, base::Duration report_delay = milliseconds{5}, bool reported = true) {
    path.on_sent(++sent, now);
    const base::Time arrives = now + milliseconds{5};
    if (!lost) {
      heard = sent;
      ++received;
      heard_transmit = now;
      heard_at = arrives;
    }
    if (reported && heard != 0) {
      const base::Time written = arrives + milliseconds{3};
      path.on_report({heard, heard_transmit, written - heard_at, received,
                      beside_another ? now - milliseconds{3} : base::Time::min()},
                     {{}, loss_ppm}, written + report_delay);
    }
    now += interval;
  }
  // How long after the first lost one it is dead, and how many were lost then.
  base::Duration die() {
    const base::Time begin = now;
    while (path.state() == State::Alive && now < begin + seconds{5}) step(true);
    return now - begin;
  }
};

TEST(Liveness, FirstReportBringsAPathToLife) {
  Story s;
  EXPECT_EQ(s.path.state(), State::Untested);
  s.step(false);
  EXPECT_EQ(s.path.state(), State::Alive);
}

TEST(Liveness, ThreeMissingProbesKillIt) {
  Story s;
  for (int i = 0; i < 10; ++i) s.step(false);
  int steps = 0;
  while (s.path.state() == State::Alive && steps < 10) {
    s.step(true);
    ++steps;
  }
  EXPECT_EQ(s.path.state(), State::Dead);
  EXPECT_GE(steps, 3);
  EXPECT_LE(steps, 4);
}

TEST(Liveness, TwoMissingDoNot) {
  Story s;
  for (int i = 0; i < 400; ++i) s.step(i % 40 == 3 || i % 40 == 4);
  EXPECT_EQ(s.path.state(), State::Alive);
}

// Our own thread sleeps for 80 ms: nothing was sent, so nothing is missing.
TEST(Liveness, OurOwnLatenessIsNoLoss) {
  Story s;
  for (int i = 0; i < 10; ++i) s.step(false);
  s.now += milliseconds{80};
  s.step(false);
  EXPECT_EQ(s.path.state(), State::Alive);
}

// Reports lie in our socket for 200 ms while our probes go out: what counts is when they were written.
TEST(Liveness, LateReportsAreJudgedByWhenTheyWereWritten) {
  Story s;
  for (int i = 0; i < 10; ++i) s.step(false);
  for (int i = 0; i < 30; ++i) s.step(false, milliseconds{200});
  EXPECT_EQ(s.path.state(), State::Alive);
}

TEST(Liveness, NoReportsAtAllMeanNobodyIsThereButNotAtOnce) {
  Story s;
  for (int i = 0; i < 10; ++i) s.step(false);
  for (int i = 0; i < 50; ++i) {
    s.step(false, {}, false);
    s.path.on_timer(s.now);
  }
  EXPECT_EQ(s.path.state(), State::Alive);
  for (int i = 0; i < 60; ++i) {
    s.step(false, {}, false);
    s.path.on_timer(s.now);
  }
  EXPECT_EQ(s.path.state(), State::Dead);
}

TEST(Liveness, ReturnIsHeldDownAndLongerForWhatFlaps) {
  Story s;
  const auto die = [&] {
    while (s.path.state() != State::Dead) s.step(true);
  };
  const auto return_time = [&] {
    s.step(false);
    EXPECT_EQ(s.path.state(), State::Returning);
    const base::Time begin = s.now;
    while (s.path.state() != State::Alive) s.step(false);
    return s.now - begin;
  };
  for (int i = 0; i < 10; ++i) s.step(false);
  die();
  const auto first = return_time();
  EXPECT_GE(first, milliseconds{900});
  EXPECT_LE(first, milliseconds{1200});
  die();
  EXPECT_GE(return_time(), milliseconds{1900});
}

// Probes that come 30 ms late, but come: that much patience, and no more than the most.
TEST(Liveness, PatienceGrowsWithStallsThatEndedWell) {
  Story s;
  s.beside_another = false;
  for (int i = 0; i < 10; ++i) s.step(false);
  const std::uint32_t before = s.received;
  s.step(true);
  s.step(true);
  s.received = before + 2;  // both lay in a queue
  s.step(false);
  ASSERT_EQ(s.path.state(), State::Alive);
  EXPECT_GT(s.die(), milliseconds{90});
  EXPECT_EQ(s.path.state(), State::Dead);
  EXPECT_LE(s.now - s.heard_transmit, milliseconds{150});
}

TEST(Liveness, LossesTeachNoPatience) {
  Story s;
  for (int i = 0; i < 10; ++i) s.step(false);
  s.step(true);
  s.step(true);
  s.step(false);
  EXPECT_LE(s.die(), milliseconds{40});
}

// Another path's probes came through meanwhile: neither end nor its stalls are to blame.
TEST(Liveness, OvertakenProbesAreMissedSooner) {
  Story s;
  s.interval = milliseconds{5};
  for (int i = 0; i < 10; ++i) s.step(false);
  EXPECT_LE(s.die(), milliseconds{25 + 5});
  Story alone;
  alone.interval = milliseconds{5};
  alone.beside_another = false;
  for (int i = 0; i < 10; ++i) alone.step(false);
  EXPECT_GE(alone.die(), milliseconds{75});
}

TEST(Liveness, WhereLossIsUsualMoreMustBeMissing) {
  EXPECT_EQ(misses_to_die(0, milliseconds{10}), 3u);
  EXPECT_EQ(misses_to_die(10'000, milliseconds{5}), 4u);
  EXPECT_EQ(misses_to_die(50'000, milliseconds{5}), 6u);
  EXPECT_EQ(misses_to_die(300'000, milliseconds{5}), kMostMissesToDie);
  EXPECT_EQ(misses_to_die(1'000'000, {}), kMostMissesToDie);
  Story s;
  s.loss_ppm = 50'000;
  for (int i = 1; i < 1000; ++i) s.step(i % 100 < 4);
  EXPECT_EQ(s.path.state(), State::Alive) << "four in a row";
}

TEST(Liveness, AGrayPathIsHeldDownUntilItIsCalm) {
  Story s;
  for (int i = 0; i < 100; ++i) s.step(false);
  int steps = 0;
  while (s.path.state() == State::Alive && steps < 200) s.step(++steps * 3 % 10 < 3);
  EXPECT_EQ(s.path.state(), State::Returning);
  EXPECT_TRUE(s.path.gray());
  EXPECT_LE(steps, 40);
  for (int i = 0; i < 1000; ++i) s.step(i * 3 % 10 < 3);
  EXPECT_EQ(s.path.state(), State::Returning) << "the hold-down is over, the loss is not";
  steps = 0;
  for (; s.path.state() != State::Alive && steps < 1000; ++steps) s.step(false);
  EXPECT_LE(steps, 150);
}

TEST(Liveness, LossThatIsUsualIsNotGray) {
  Story s;
  s.loss_ppm = 50'000;
  for (int i = 0; i < 10'000; ++i) s.step(i % 20 == 7);
  EXPECT_EQ(s.path.state(), State::Alive);
}

// Every tenth probe comes three late: missing when it is overtaken, made good when it comes.
TEST(Liveness, ReorderingIsNoLoss) {
  Story s;
  for (int i = 5; i < 20'000; ++i) {
    if (i % 10 == 3 && i > 10) ++s.received;
    s.step(i % 10 == 0);
    ASSERT_EQ(s.path.state(), State::Alive) << i;
  }
}

TEST(Liveness, OvertakenAndImpossibleReportsChangeNothing) {
  Story s;
  for (int i = 0; i < 10; ++i) s.step(false);
  EXPECT_FALSE(s.path.on_report({999, s.now, seconds{5}}, {}, s.now));
  EXPECT_FALSE(s.path.on_report({2, s.now - seconds{1}, seconds{5}}, {}, s.now));
  EXPECT_EQ(s.path.state(), State::Alive);
}

}  // namespace
}  // namespace qanat::path
