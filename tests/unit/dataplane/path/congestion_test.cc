// Congestion against its state × event table: a path of a fixed rate, told ack by ack.
#include <gtest/gtest.h>

#include "dataplane/path/congestion.hh"

namespace qanat::path {
namespace {

using namespace std::chrono_literals;
using State = Congestion::State;
constexpr base::Time kStart{1000s};

// A round trip at a time: `rate` delivered, a queue of `queue`.
struct Path {
  Congestion control;
  base::Time now = kStart;
  std::uint64_t delivered = 0;
  base::Duration least = 40ms;

  explicit Path(bool scavenger = false)
      : control(CongestionOptions{
            .scavenger = scavenger, .max_rate = 0, .initial_rtt = 40ms, .queue_target = 5ms}) {}

  void round(double rate, base::Duration queue = {}, std::uint64_t lost = 0, bool limited = false) {
    const base::Duration rtt = least + queue;
    const double seconds = std::chrono::duration<double>(rtt).count();
    const std::uint64_t before = delivered;
    for (int i = 0; i < 16; ++i) {
      now += rtt / 16;
      AckEvent e;
      e.now = now;
      e.rtt = rtt;
      e.acked_bytes = static_cast<std::uint64_t>(rate * seconds / 16);
      delivered += e.acked_bytes;
      e.delivered = delivered;
      e.delivered_at_send = before;
      e.delivered_rate = rate;
      e.app_limited = limited;
      e.in_flight = static_cast<std::uint64_t>(rate * seconds);
      control.on_ack(e);
      if (lost > 0 && i == 8) control.on_loss({now, lost, e.in_flight, now - rtt});
    }
  }
  void rounds(int n, double rate, base::Duration queue = {}, std::uint64_t lost = 0) {
    for (int i = 0; i < n; ++i) round(rate, queue, lost);
  }
  void settle(double rate) {
    for (double r = rate / 8; r <= rate; r *= 2) round(r);
    rounds(8, rate);
    ASSERT_EQ(control.state(), State::Cruise);
  }
};

constexpr double kRate = 5e6;  // bytes/s

TEST(Congestion, StartupDoublesUntilNothingMoreComes) {
  Path p;
  EXPECT_EQ(p.control.state(), State::Startup);
  p.round(2e6);
  EXPECT_NEAR(static_cast<double>(p.control.pacing_rate()), 5.78e6, 1e5);
  p.rounds(8, kRate);
  EXPECT_EQ(p.control.state(), State::Cruise) << "by way of Drain";
  EXPECT_NEAR(p.control.bandwidth(), kRate, 1);
}

TEST(Congestion, StartupEndsWhenAQueueGrows) {
  Path p;
  p.round(1e6);
  p.round(2e6, 30ms);
  EXPECT_NE(p.control.state(), State::Startup);
}

TEST(Congestion, StartupDoesNotEndByAFewUnluckyDatagrams) {
  Path p;
  for (int i = 0; i < 40; ++i) p.round(0.9e6, {}, i % 8 == 0 ? 7'500 : 0, true);  // 5 of 29, now and then
  EXPECT_EQ(p.control.state(), State::Startup) << "an application that offers little";
  EXPECT_GT(p.control.random_loss(), 0.005) << "but what is lost is known";
  p.round(2e6, {}, 40'000);  // a third
  EXPECT_NE(p.control.state(), State::Startup);
}

TEST(Congestion, WhatWasNeverOfferedIsNotWhatThePathCarries) {
  Path p;
  p.settle(kRate / 10);
  const auto rounds = [&](base::Duration length) {
    for (const base::Time end = p.now + length; p.now < end;) p.round(kRate / 20, {}, 0, true);
  };
  rounds(9s);
  p.round(kRate / 10);
  EXPECT_EQ(p.control.state(), State::Cruise) << "it was full lately";
  rounds(11s);
  p.round(kRate / 10);
  EXPECT_EQ(p.control.state(), State::Startup);
}

TEST(Congestion, CruiseSendsWhatThePathCarriesAndAsksForMoreNowAndThen) {
  Path p;
  p.settle(kRate);
  double least = 1e9, most = 0;
  for (int i = 0; i < 12; ++i) {
    p.round(kRate);
    least = std::min(least, static_cast<double>(p.control.pacing_rate()));
    most = std::max(most, static_cast<double>(p.control.pacing_rate()));
  }
  EXPECT_GT(most, 1.05 * kRate);
  EXPECT_LE(most, 1.26 * kRate);
  EXPECT_LT(least, 0.8 * kRate);
  EXPECT_LT(static_cast<double>(p.control.window()), 2 * kRate * 0.04) << "the queue stays short";
}

TEST(Congestion, CruiseFollowsACapacityStepWithinThreeRounds) {
  Path p;
  p.settle(kRate);
  p.rounds(3, 0.4 * kRate, 40ms);
  EXPECT_LE(p.control.pacing_rate(), 0.4 * kRate);
  EXPECT_NEAR(p.control.bandwidth(), 0.4 * kRate, 0.05 * kRate);
  EXPECT_EQ(p.control.state(), State::Cruise);
}

TEST(Congestion, RandomLossIsNoReasonToSlowDown) {
  Path p;
  p.settle(kRate);
  p.rounds(30, kRate, {}, 10'000);  // 5 %
  EXPECT_EQ(p.control.state(), State::Cruise);
  EXPECT_GE(p.control.bandwidth(), kRate);
  EXPECT_GT(p.control.random_loss(), 0.02);
}

TEST(Congestion, AQueueThatNeverDrainsIsSomebodyElses) {
  Path p;
  p.settle(kRate);
  p.rounds(12, 0.5 * kRate, 30ms);
  EXPECT_EQ(p.control.state(), State::Compete);
}

TEST(Congestion, OneThatShrinksWhenWeHoldBackMayBeOurs) {
  Path staying, shrinking;
  staying.settle(kRate);
  shrinking.settle(kRate);
  for (int i = 0; i < 7; ++i) {
    staying.round(0.5 * kRate, 41ms - i * 3ms);
    shrinking.round(0.5 * kRate, 60ms / (1 << i));
  }
  EXPECT_EQ(staying.control.state(), State::Compete);
  EXPECT_EQ(shrinking.control.state(), State::Cruise);
}

TEST(Congestion, APathThatLosesRateFillsItsQueueAndIsStillAlone) {
  Path p;
  p.settle(kRate);
  for (int i = 1; i <= 3; ++i) p.round(0.4 * kRate, i * 25ms);  // until what is sent less arrives
  for (int i = 2; i <= 5; ++i) p.round(0.4 * kRate, 75ms / (1 << i));
  EXPECT_EQ(p.control.state(), State::Cruise);
  EXPECT_NEAR(p.control.bandwidth(), 0.4 * kRate, 0.05 * kRate);
}

TEST(Congestion, AQueueThatStaysBelowItsTargetIsDrainedToo) {
  Path p;
  p.settle(kRate);
  for (int i = 0; i < 5; ++i) p.round(0.9 * kRate, 4ms);
  EXPECT_LT(static_cast<double>(p.control.pacing_rate()), 0.95 * kRate)
      << "it was asked for more than it carries";
  EXPECT_EQ(p.control.state(), State::Cruise);
}

// TCP's acks, say: their own acks wait in the queue that the data made, the other way.
TEST(Congestion, WhoOffersLittleHasNoQueueToDrain) {
  Path p;
  p.settle(kRate);
  for (int i = 0; i < 12; ++i) p.round(0.1 * kRate, 30ms, 0, true);
  EXPECT_EQ(p.control.state(), State::Cruise);
  EXPECT_GE(static_cast<double>(p.control.pacing_rate()), 0.7 * kRate);
}

TEST(Congestion, WhoJoinsOthersStartsAsANewFlowDoes) {
  Path p, pair;
  for (Path* one : {&p, &pair}) {
    one->settle(kRate);
    one->rounds(12, 0.5 * kRate, 30ms);
    ASSERT_EQ(one->control.state(), State::Compete);
  }
  pair.control.couple(1, 1);
  const auto growth = [](Path& path) {
    const auto before = static_cast<double>(path.control.window());
    path.round(0.5 * kRate, 30ms);
    return static_cast<double>(path.control.window()) / before;
  };
  EXPECT_GT(growth(p), growth(pair)) << "two pipes of ours over one bottleneck do not";
  p.control.on_loss({p.now, 3000, 100'000, p.now - 1ms});
  EXPECT_LT(growth(p), 1.1) << "once it met congestion";
}

TEST(Congestion, CompeteGrowsUntilTheQueueOverflowsAndAnswersOnceARound) {
  Path p;
  p.settle(kRate);
  p.rounds(15, 0.5 * kRate, 30ms);  // the first look, half a second on, is over
  ASSERT_EQ(p.control.state(), State::Compete);
  const std::uint64_t before = p.control.window();
  p.rounds(3, 0.5 * kRate, 30ms);
  const std::uint64_t grown = p.control.window();
  EXPECT_GT(grown, before);
  p.control.on_loss({p.now, 3000, 100'000, p.now - 1ms});
  const std::uint64_t cut = p.control.window();
  EXPECT_NEAR(static_cast<double>(cut), 0.8 * static_cast<double>(grown), 0.02 * static_cast<double>(grown));
  p.control.on_loss({p.now + 1ms, 3000, 100'000, p.now - 1ms});
  EXPECT_EQ(p.control.window(), cut) << "the same round's";
}

TEST(Congestion, CompeteEndsWhenTheQueueEmptiesDuringALook) {
  Path p;
  p.settle(kRate);
  p.rounds(12, 0.5 * kRate, 30ms);
  ASSERT_EQ(p.control.state(), State::Compete);
  p.rounds(300, 0.5 * kRate);  // the other one left; a look comes soon, and then every 8 s
  EXPECT_EQ(p.control.state(), State::Cruise);
}

TEST(Congestion, CoupledPipesShareOneFlowsWindow) {
  Path a, b;
  for (Path* p : {&a, &b}) {
    p->settle(kRate);
    p->rounds(12, 0.5 * kRate, 30ms);
  }
  b.control.couple(1, 0.5);
  b.round(0.5 * kRate, 30ms);
  a.round(0.5 * kRate, 30ms);
  EXPECT_LT(b.control.window(), 0.75 * static_cast<double>(a.control.window()));
}

TEST(Congestion, SilenceStartsAnew) {
  Path p;
  p.settle(kRate);
  p.control.on_silence(p.now);
  EXPECT_EQ(p.control.state(), State::Startup);
  EXPECT_EQ(p.control.window(), Congestion::kLeastWindow);
  EXPECT_FALSE(p.control.measured());
}

TEST(Congestion, AScavengerYieldsWithinARoundTrip) {
  Path p(true);
  p.rounds(60, kRate);
  const std::uint64_t alone = p.control.window();
  EXPECT_GT(alone, 50'000u);
  p.rounds(2, 0.2 * kRate, 20ms);
  EXPECT_LE(p.control.window(), 3000u);
}

}  // namespace
}  // namespace qanat::path
