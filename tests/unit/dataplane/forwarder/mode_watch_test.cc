// When a peer's paths are managed: while they are what limits, and for a minute after.
#include "dataplane/forwarder/mode_watch.hh"

#include <gtest/gtest.h>

namespace qanat::forwarder {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr ids::PathId kPath{1};
constexpr double kMbit = 1e6 / 8;

class Watch : public ::testing::Test {
 protected:
  bool look(double mbit, int rtt_ms, std::uint32_t loss_ppm = 0, bool limited = false) {
    now += milliseconds{50};
    return watch.look(mbit * kMbit, kPath, milliseconds{rtt_ms}, loss_ppm, limited, now);
  }
  ModeWatch watch;
  base::Time now{seconds{1000}};
};

TEST_F(Watch, AQueueThatStandsIsACause) {
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(look(50, 20));
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(look(50, 26)) << "a few late probes are none";
  EXPECT_TRUE(look(50, 26));
}

TEST_F(Watch, LossIsACauseAtOnce) {
  EXPECT_FALSE(look(50, 20, 2000));
  EXPECT_TRUE(look(50, 20, 5000));
}

TEST_F(Watch, LossKeepsItsFlowSlow) {
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(look(0.9, 100));
  EXPECT_TRUE(look(0.9, 100, 50'000));
}

TEST_F(Watch, NeitherTricklesNorWhatTheCpuLimits) {
  for (int i = 0; i < 50; ++i) EXPECT_FALSE(look(0.05, i < 10 ? 20 : 60, 20'000));
  for (int i = 0; i < 50; ++i) EXPECT_FALSE(look(0.5, i < 10 ? 20 : 60));
  for (int i = 0; i < 50; ++i) EXPECT_FALSE(look(5000, i < 10 ? 20 : 60, 20'000));
}

TEST_F(Watch, StaysForAMinuteAfterTheCause) {
  for (int i = 0; i < 20; ++i) look(50, 20);
  EXPECT_TRUE(look(50, 20, 5000));
  const base::Time begin = now;
  while (look(50, 20)) {
  }
  EXPECT_NEAR(static_cast<double>((now - begin) / seconds{1}), 60, 1);
  EXPECT_TRUE(look(50, 20, 5000));
  const base::Time again = now;
  while (now - again < seconds{90}) EXPECT_TRUE(look(50, 20, 0, true)) << "something still waits for a pipe";
  EXPECT_FALSE(look(3000, 20, 0, true)) << "but not where the CPU is the limit";
}

}  // namespace
}  // namespace qanat::forwarder
