// Scheduler: each tier's row of its table, and when bulk is striped.
#include <gtest/gtest.h>

#include <array>

#include "dataplane/path/scheduler.hh"

namespace qanat::path {
namespace {

using namespace std::chrono_literals;
using ids::Tier;
constexpr base::Time kStart{1000s};

Candidate pipe(base::Duration latency, double rate, bool ready = true) {
  Candidate c;
  c.latency = latency;
  c.rtt = 2 * latency;
  c.rate = rate;
  c.ready = ready;
  c.ready_at = ready ? kStart : base::Time::max();
  return c;
}

struct Story {
  Scheduler scheduler;
  std::array<Candidate, 2> pipes{pipe(10ms, 1e7), pipe(20ms, 1e7)};
  auto choose(Tier tier, std::uint64_t backlog = 1 << 20, std::uint64_t urgent = 0) {
    return scheduler.choose(tier, 0, pipes, backlog, urgent, kStart + 1s);
  }
  void stripe() {
    for (auto t = kStart; t <= kStart + 1s; t += 10ms) scheduler.note_backlog(true, t);
    ASSERT_TRUE(scheduler.striping());
  }
};

TEST(Scheduler, CriticalWaitsForNothing) {
  Story s;
  s.pipes[0].ready = false;
  EXPECT_EQ(s.choose(Tier::Critical), 0u);
  s.pipes[0].usable = false;
  EXPECT_EQ(s.choose(Tier::Critical), 1u);
  s.pipes[1].usable = false;
  EXPECT_FALSE(s.choose(Tier::Critical));
}

TEST(Scheduler, InteractiveIsPinnedUntilAnotherIsSooner) {
  Story s;
  EXPECT_EQ(s.choose(Tier::Interactive), 0u);
  s.pipes[0].ready = false;
  s.pipes[0].ready_at = kStart + 1s + 1ms;
  EXPECT_FALSE(s.choose(Tier::Interactive)) << "its turn comes before the other would deliver";
  s.pipes[0].ready_at = kStart + 1s + 15ms;
  EXPECT_EQ(s.choose(Tier::Interactive), 1u);
}

TEST(Scheduler, ScavengerGoesWhenNothingElseWaits) {
  Story s;
  EXPECT_EQ(s.choose(Tier::Scavenger), 0u);
  EXPECT_FALSE(s.choose(Tier::Scavenger, 1000, 1));
}

TEST(Scheduler, BulkIsPinnedThenStripedThenPinnedAgain) {
  Story s;
  s.pipes[0].ready = false;
  EXPECT_FALSE(s.choose(Tier::Bulk)) << "pinned";
  s.stripe();
  EXPECT_EQ(s.choose(Tier::Bulk), 1u);
  s.pipes[0].ready = true;
  EXPECT_EQ(s.choose(Tier::Bulk), 0u) << "the earlier one first";
  s.scheduler.note_backlog(false, kStart + 1s);
  s.scheduler.note_backlog(false, kStart + 3s);
  EXPECT_FALSE(s.scheduler.striping());
}

TEST(Scheduler, AShortBacklogWaitsForTheBetterPipe) {
  Story s;
  s.stripe();
  s.scheduler.note_backlog(false, kStart + 1s);
  s.scheduler.note_backlog(false, kStart + 1900ms);  // it pauses
  ASSERT_TRUE(s.scheduler.striping());
  s.pipes[0].ready = false;
  EXPECT_FALSE(s.choose(Tier::Bulk, 10'000)) << "1 ms of the better one";
  EXPECT_EQ(s.choose(Tier::Bulk, 1'000'000), 1u);
}

TEST(Scheduler, APipeThatDelaysMoreThanItBringsIsNotStripedOver) {
  Story s;
  s.stripe();
  s.pipes[0].ready = false;
  s.pipes[1] = pipe(10ms, 5e5);
  EXPECT_FALSE(s.choose(Tier::Bulk)) << "5 % more";
  s.pipes[1].settled = false;
  EXPECT_EQ(s.choose(Tier::Bulk), 1u) << "not known yet: it is tried";
  s.pipes[1] = pipe(60ms, 2e6);
  EXPECT_FALSE(s.choose(Tier::Bulk)) << "20 % more, 2.5 round trips later";
  s.pipes[1] = pipe(300ms, 1e7);
  EXPECT_FALSE(s.choose(Tier::Bulk)) << "beyond the receiver's patience";
  s.pipes[1] = pipe(20ms, 3e6);
  EXPECT_EQ(s.choose(Tier::Bulk), 1u);
  s.pipes[1].loss = 0.05;
  EXPECT_FALSE(s.choose(Tier::Bulk)) << "each loss costs a recovery";
}

TEST(Scheduler, AShareOfNothingIsLeftOutWhileAnotherCarries) {
  Story s;
  s.stripe();
  s.pipes[0].share = 1000;
  s.pipes[1].share = 0;
  EXPECT_EQ(s.choose(Tier::Bulk), 0u);
  s.pipes[0].ready = false;
  EXPECT_FALSE(s.choose(Tier::Bulk)) << "the other has room, but no share";
  s.pipes[0].usable = false;
  EXPECT_EQ(s.choose(Tier::Bulk), 1u) << "nobody else is left";
}

TEST(Scheduler, StripingKeepsToSharesLoosely) {
  Story s;
  s.stripe();
  s.pipes[0].share = 300;
  s.pipes[1].share = 700;
  double sent[2] = {};
  for (int i = 0; i < 4000; ++i) {
    const auto pipe = s.choose(Tier::Bulk);
    ASSERT_TRUE(pipe);
    s.scheduler.note_sent(*pipe, 1500);
    sent[*pipe] += 1500;
  }
  EXPECT_NEAR(sent[0] / (sent[0] + sent[1]), 0.45, 0.05)
      << "one and a half of its share, though always earlier";
  // Who cannot carry its share holds nobody up.
  s.pipes[1].usable = false;
  EXPECT_EQ(s.choose(Tier::Bulk), 0u);
}

TEST(Scheduler, WhatWasLostGoesWhereItIsNotLostAgain) {
  Story s;
  EXPECT_EQ(s.scheduler.choose_again(s.pipes, 1), 0u);
  s.pipes[0].loss_lately = 0.1;
  EXPECT_EQ(s.scheduler.choose_again(s.pipes, 1), 0u) << "another try is still sooner";
  s.pipes[0].loss_lately = 0.3;
  EXPECT_EQ(s.scheduler.choose_again(s.pipes, 1), 1u);
  s.pipes[0].loss_lately = 0.15;
  EXPECT_EQ(s.scheduler.choose_again(s.pipes, 2), 1u) << "lost twice";
  s.pipes[1].ready = false;
  EXPECT_EQ(s.scheduler.choose_again(s.pipes, 2), 0u);
}

}  // namespace
}  // namespace qanat::path
