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
  base::Time heard_transmit;
  base::Time heard_at;

  // One interval: our probe leaves; unless `lost` it is heard 5 ms later; a report of that arrives `report_delay` on.
  void step(bool lost, base::Duration report_delay = milliseconds{5}, bool reported = true) {
    path.on_sent(++sent, now);
    const base::Time arrives = now + milliseconds{5};
    if (!lost) {
      heard = sent;
      heard_transmit = now;
      heard_at = arrives;
    }
    if (reported && heard != 0) {
      const base::Time written = arrives + milliseconds{3};
      path.on_report({heard, heard_transmit, written - heard_at}, {}, written + report_delay);
    }
    now += milliseconds{10};
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
  for (int i = 0; i < 100; ++i) s.step(i % 3 != 0);
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

// A far end that stalls now and then for 50 ms is given that much patience, and no more than the most.
TEST(Liveness, PatienceGrowsWithStallsAndIsBounded) {
  Story s;
  for (int i = 0; i < 10; ++i) s.step(false);
  s.step(true);
  s.step(true);
  s.step(false);  // two late, then life
  int steps = 0;
  while (s.path.state() == State::Alive && steps < 20) {
    s.step(true);
    ++steps;
  }
  EXPECT_GT(steps, 4);
  EXPECT_LE(steps, 9);
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
