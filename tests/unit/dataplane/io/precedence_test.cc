// Precedence: ahead only for those who need it, and never with all of the CPU.
#include "dataplane/io/precedence.hh"

#include <gtest/gtest.h>

namespace qanat::io {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr base::Time kStart{seconds{100}};

TEST(Precedence, OnlyCriticalOnAContendedCpu) {
  Precedence p;
  p.sample(kStart, 0);
  EXPECT_FALSE(p.ahead()) << "nothing asks for it";
  p.sample(kStart + milliseconds{10}, 7);
  EXPECT_FALSE(p.ahead()) << "preempted, but only bulk passes";
  p.on_urgent(kStart + milliseconds{15});
  p.sample(kStart + milliseconds{20}, 7);
  EXPECT_TRUE(p.ahead());
  // Nobody preempts it there: it is held for a while, then asked again.
  p.on_urgent(kStart + seconds{4});
  p.sample(kStart + seconds{4}, 7);
  EXPECT_TRUE(p.ahead());
  p.on_urgent(kStart + seconds{6});
  p.sample(kStart + seconds{6}, 7);
  EXPECT_FALSE(p.ahead()) << "five seconds without a preemption";
  p.sample(kStart + seconds{6} + milliseconds{10}, 8);
  EXPECT_TRUE(p.ahead());
  p.sample(kStart + seconds{12}, 9);
  EXPECT_FALSE(p.ahead()) << "critical has gone";
}

TEST(Precedence, IsNotAskedForTwiceWhereItIsNotPermitted) {
  Precedence p;
  p.on_urgent(kStart);
  p.sample(kStart, 1);
  ASSERT_TRUE(p.ahead());
  p.refused();
  p.on_urgent(kStart + milliseconds{10});
  p.sample(kStart + milliseconds{10}, 2);
  EXPECT_FALSE(p.ahead());
}

TEST(Precedence, SamplesNowAndThen) {
  Precedence p;
  EXPECT_TRUE(p.sample_due(kStart));
  p.sample(kStart, 0);
  EXPECT_FALSE(p.sample_due(kStart + milliseconds{9}));
  EXPECT_TRUE(p.sample_due(kStart + milliseconds{10}));
}

// A worker with endless work, for ten seconds.
TEST(Precedence, ASixthIsLeftToOthers) {
  Precedence p;
  base::Time now = kStart;
  base::Duration rested{};
  while (now < kStart + seconds{10}) {
    p.on_urgent(now);
    if (p.sample_due(now)) p.sample(now, static_cast<std::uint64_t>(now.time_since_epoch().count()));
    now += std::chrono::microseconds{150};
    const base::Duration rest = p.rest(now);
    rested += rest;
    now += rest;
  }
  EXPECT_GT(rested, milliseconds{1000}) << "pieces of work are longer than what is left of a window";
  EXPECT_LT(rested, milliseconds{1650});
}

TEST(Precedence, WhoSleepsAnywayNeedNotRest) {
  Precedence p;
  p.on_urgent(kStart);
  p.sample(kStart, 1);
  ASSERT_TRUE(p.ahead());
  p.rest(kStart);
  p.slept(milliseconds{2});
  EXPECT_EQ(p.rest(kStart + milliseconds{12}), base::Duration{});
  EXPECT_GT(p.rest(kStart + milliseconds{24}), base::Duration{}) << "but only for the window it slept in";
}

TEST(Precedence, InItsUsualPlaceNothingIsGivenAway) {
  Precedence p;
  EXPECT_EQ(p.rest(kStart + seconds{1}), base::Duration{});
}

}  // namespace
}  // namespace qanat::io
