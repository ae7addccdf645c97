// Pipe against its event table: every datagram is acked or lost, once; and Bundle, which sends the lost ones again.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>

#include "dataplane/path/ack_tracker.hh"
#include "dataplane/path/bundle.hh"

namespace qanat::path {
namespace {

using namespace std::chrono_literals;
constexpr base::Time kStart{1000s};
constexpr SpaceKey kSpace{1, 1};
constexpr std::uint32_t kBytes = 1400;

Pipe::Options at_20ms() {
  Pipe::Options o;
  o.congestion.initial_rtt = 20ms;
  return o;
}

struct Story {
  PacketSlab slab;
  Pipe pipe{slab, at_20ms(), kStart};
  std::uint64_t next = 0;

  void send(int n, base::Time now) {
    for (int i = 0; i < n; ++i) {
      Kept kept;
      kept.copy = slab.acquire();
      kept.bytes = 10;
      pipe.on_sent(kSpace, next++, kBytes, kept, now);
    }
  }
  // An ack for these, which arrive in this order.
  void ack(std::initializer_list<std::uint64_t> counters, base::Time now) {
    AckTracker t(kSpace.receiver, kSpace.space);
    for (const std::uint64_t c : counters) t.on_received(c, true, false, now);
    EXPECT_TRUE(pipe.on_ack(*t.poll(now + 5ms), now + 5ms));
  }
  int lost() {
    int n = 0;
    while (const auto kept = pipe.poll_lost()) {
      slab.release(kept->copy);
      ++n;
    }
    return n;
  }
};

TEST(Pipe, UnderWayThenAcked) {
  Story s;
  s.send(3, kStart);
  EXPECT_EQ(s.pipe.in_flight(), 3 * kBytes);
  s.ack({0, 1, 2}, kStart + 20ms);
  EXPECT_EQ(s.pipe.in_flight(), 0u);
  EXPECT_EQ(s.slab.used(), 0u) << "copies are released";
  EXPECT_EQ(s.pipe.rtt(), 20ms) << "the ack's own delay is taken off";
  EXPECT_EQ(s.pipe.counts().acked, 3u);
  EXPECT_EQ(s.lost(), 0);
  EXPECT_EQ(s.pipe.next_timeout(), base::Time::max());
}

TEST(Pipe, LaterOnesAckedAndTheWindowOverIsLost) {
  Story s;
  s.send(4, kStart);
  s.ack({1, 2, 3}, kStart + 20ms);
  EXPECT_EQ(s.lost(), 0) << "perhaps only late";
  ASSERT_LT(s.pipe.next_timeout(), kStart + 30ms);
  s.pipe.on_timer(s.pipe.next_timeout());
  EXPECT_EQ(s.lost(), 1);
  EXPECT_EQ(s.pipe.in_flight(), 0u);
  EXPECT_EQ(s.pipe.counts().lost, 1u);
}

TEST(Pipe, LostThenAckedIsSpuriousAndTeachesPatience) {
  Story s;
  s.send(2, kStart);
  s.ack({1}, kStart + 20ms);
  s.pipe.on_timer(kStart + 27ms);
  ASSERT_EQ(s.lost(), 1);
  s.ack({0, 1}, kStart + 30ms);
  EXPECT_EQ(s.pipe.counts().spurious, 1u);
  s.send(2, kStart + 40ms);
  s.ack({3}, kStart + 60ms);
  s.pipe.on_timer(kStart + 67ms);
  EXPECT_EQ(s.lost(), 0) << "later than before";
}

TEST(Pipe, SilenceLosesTheOldestThenAll) {
  Story s;
  s.send(3, kStart);
  s.pipe.on_timer(s.pipe.next_timeout());
  EXPECT_EQ(s.lost(), 1);
  const base::Time second = s.pipe.next_timeout();
  s.pipe.on_timer(second);
  EXPECT_EQ(s.lost(), 1);
  EXPECT_GT(s.pipe.next_timeout() - second, 60ms) << "twice as long each time";
  s.pipe.on_timer(s.pipe.next_timeout());
  EXPECT_EQ(s.lost(), 1);
  EXPECT_EQ(s.pipe.in_flight(), 0u);
  EXPECT_EQ(s.pipe.congestion().window(), Congestion::kLeastWindow);
}

TEST(Pipe, AbandonLosesAllAtOnce) {
  Story s;
  s.send(5, kStart);
  s.pipe.abandon();
  EXPECT_EQ(s.lost(), 5);
  s.ack({0, 1}, kStart + 20ms);
  EXPECT_EQ(s.pipe.counts().acked, 0u) << "resolved already";
}

TEST(Pipe, AbandonLosesTheOldestFirstWhateverItsSpace) {
  Story s;
  for (std::uint8_t i = 0; i < 6; ++i) {
    Kept kept;
    kept.bucket = i;
    s.pipe.on_sent({1, i % 3u}, i / 3u, kBytes, kept, kStart + i * 1ms);
  }
  s.pipe.abandon();
  for (std::uint8_t i = 0; i < 6; ++i) EXPECT_EQ(s.pipe.poll_lost()->bucket, i);
}

TEST(Pipe, AcksOfStrangersAreCounted) {
  Story s;
  packet::Ack ack{.receiver = 9, .space = 9};
  ack.add({0, 1});
  EXPECT_FALSE(s.pipe.on_ack(ack, kStart));
  EXPECT_EQ(s.pipe.counts().unknown_acks, 1u);
}

TEST(Pipe, WindowAndPacerBoundWhatLeaves) {
  Story s;
  int sent = 0;
  while (s.pipe.ready(kStart) && sent < 1000) {
    s.send(1, kStart);
    ++sent;
  }
  EXPECT_LT(sent, 20) << "a burst";
  EXPECT_GT(s.pipe.ready_at(), kStart);
  while (s.pipe.has_window()) s.send(1, kStart);
  EXPECT_EQ(s.pipe.ready_at(), base::Time::max()) << "only an ack makes room";
}

TEST(Pipe, WhatLittleAnIdlePathWasGivenSaysNothingOfWhatItCarries) {
  Story s;
  base::Time now = kStart;
  s.send(4, now);
  s.ack({0, 1, 2, 3}, now + 20ms);
  const double carried = s.pipe.bandwidth();
  for (int i = 0; i < 30; ++i) {
    now += 50ms;
    s.send(2, now);
    s.ack({s.next - 2, s.next - 1}, now + 20ms);
  }
  EXPECT_GE(s.pipe.bandwidth(), carried);
}

// A link that loses and reorders: everything sent is acked, lost or under way; copies are as many as are needed; what is
// lost goes again until it arrives or is too late.
RC_GTEST_PROP(BundleProperty, ConservesDatagrams, (std::vector<std::uint8_t> fates)) {
  Bundle bundle(BundleOptions{}, kStart);
  bundle.add_pipe(at_20ms(), kStart);
  bundle.add_pipe(at_20ms(), kStart);
  std::array<AckTracker, 2> trackers{AckTracker(1, 0), AckTracker(1, 1)};
  std::array<std::uint64_t, 2> counters{};
  std::multimap<base::Time, std::pair<std::size_t, std::uint64_t>> wire;
  const std::vector<std::uint8_t> plain(100, 1);
  base::Time now = kStart;
  std::size_t fate = 0;
  const auto put = [&](std::size_t pipe, std::uint64_t counter) {
    const std::uint8_t f = fates.empty() ? 0 : fates[fate++ % fates.size()];
    if (f % 8 != 7) wire.emplace(now + 10ms + std::chrono::milliseconds{f % 5}, std::pair{pipe, counter});
  };
  std::uint64_t fresh = 0;
  for (int step = 0; step < 600; ++step, now += 1ms) {
    while (!wire.empty() && wire.begin()->first <= now) {
      const auto [pipe, counter] = wire.begin()->second;
      wire.erase(wire.begin());
      trackers[pipe].on_received(counter, true, false, now);
    }
    for (AckTracker& t : trackers)
      if (const auto ack = t.poll(now)) bundle.on_ack(*ack, now);
    if (bundle.next_timeout(false) <= now) bundle.on_timer(now);
    while (const auto again = bundle.next_lost(now)) {
      RC_ASSERT(again->plain.size() == plain.size());
      const std::uint64_t c = counters[again->pipe]++;
      put(again->pipe, c);
      bundle.resent(*again, {1, static_cast<std::uint32_t>(again->pipe)}, c, 200, now);
    }
    for (int n = 0; n < 3 && step < 300; ++n)
      if (const auto pipe = bundle.choose(ids::Tier::Bulk, 5000, 0, now)) {
        const std::uint64_t c = counters[*pipe]++;
        put(*pipe, c);
        bundle.sent(*pipe, {1, static_cast<std::uint32_t>(*pipe)}, c, 200, ids::Tier::Bulk, 0, plain, 5000,
                    now);
        ++fresh;
      }
    std::uint64_t sent = 0, acked = 0, lost = 0, spurious = 0, under_way = 0;
    for (std::size_t i = 0; i < 2; ++i) {
      const auto& c = bundle.pipe(i).counts();
      sent += c.sent, acked += c.acked, lost += c.lost, spurious += c.spurious;
      under_way += bundle.pipe(i).tracked();
    }
    RC_ASSERT(sent == fresh + bundle.counts().resent);
    RC_ASSERT(sent == acked - spurious + lost + under_way);
    RC_ASSERT(lost == bundle.counts().resent + bundle.counts().given_up + bundle.lost_waiting());
    RC_ASSERT(bundle.copies() == under_way + bundle.lost_waiting());
  }
}

TEST(Bundle, WhatADeadPathHeldGoesByTheOthersAtOnce) {
  Bundle bundle(BundleOptions{}, kStart);
  bundle.add_pipe(at_20ms(), kStart);
  bundle.add_pipe(at_20ms(), kStart);
  const std::vector<std::uint8_t> plain{1, 2, 3};
  bundle.sent(0, {1, 0}, 0, 200, ids::Tier::Bulk, 42, plain, 0, kStart);
  bundle.set_usable(0, false, kStart + 1ms);
  const auto again = bundle.next_lost(kStart + 1ms);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->pipe, 1u);
  EXPECT_EQ(again->bucket, 42);
  EXPECT_EQ(std::vector<std::uint8_t>(again->plain.begin(), again->plain.end()), plain);
  EXPECT_EQ(bundle.choose(ids::Tier::Bulk, 100, 0, kStart + 1ms), 1u);
}

// What carries only copies of `critical` may die with the path whose packets it would take.
TEST(Bundle, NothingGoesByAPipeThatItsTierHasNoPartIn) {
  Bundle bundle(BundleOptions{}, kStart);
  for (int i = 0; i < 3; ++i) bundle.add_pipe(at_20ms(), kStart);
  bundle.set_open(1, ids::Tier::Bulk, false);
  for (const std::size_t only : {2u, 0u}) bundle.set_usable(only, only == 0, kStart);
  bundle.sent(0, {1, 0}, 0, 200, ids::Tier::Bulk, 42, std::vector<std::uint8_t>{1}, 0, kStart);
  bundle.set_usable(0, false, kStart + 1ms);
  EXPECT_FALSE(bundle.next_lost(kStart + 1ms));
  EXPECT_FALSE(bundle.choose(ids::Tier::Bulk, 100, 0, kStart + 1ms));
  EXPECT_EQ(bundle.choose(ids::Tier::Critical, 100, 0, kStart + 1ms), 1u);
  bundle.set_usable(2, true, kStart + 2ms);
  const auto again = bundle.next_lost(kStart + 2ms);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->pipe, 2u);
}

TEST(Bundle, WhatIsTooLateIsGivenUp) {
  Bundle bundle(BundleOptions{}, kStart);
  bundle.add_pipe(at_20ms(), kStart);
  bundle.sent(0, {1, 0}, 0, 200, ids::Tier::Interactive, 0, std::vector<std::uint8_t>{1}, 0, kStart);
  bundle.set_usable(0, false, kStart + 90ms);
  EXPECT_FALSE(bundle.next_lost(kStart + 90ms));
  EXPECT_EQ(bundle.counts().given_up, 1u);
  EXPECT_EQ(bundle.copies(), 0u);
}

// Copies of `critical` alone never fill a path: while bulk waits for another pipe, they say nothing of what it carries.
TEST(Bundle, APipeOfCopiesAloneIsNotMeasuredByThem) {
  Bundle bundle(BundleOptions{}, kStart);
  bundle.add_pipe(at_20ms(), kStart);
  bundle.add_pipe(at_20ms(), kStart);
  AckTracker tracker(1, 1);
  base::Time now = kStart;
  for (std::uint64_t c = 0; c < 400; ++c, now += 5ms) {
    bundle.sent(1, {1, 1}, c, 200, ids::Tier::Critical, 0, std::vector<std::uint8_t>{1}, 5000, now);
    if (c < 4) continue;
    tracker.on_received(c - 4, true, false, now);
    if (const auto ack = tracker.poll(now)) EXPECT_TRUE(bundle.on_ack(*ack, now));
  }
  EXPECT_EQ(bundle.pipe(1).congestion().state(), Congestion::State::Startup);
  EXPECT_GT(bundle.pipe(1).congestion().pacing_rate(), 1'000'000u) << "bytes/s, of 40,000 offered";
}

TEST(Bundle, CopiesAreBounded) {
  BundleOptions options;
  options.most_copies_bytes = 4 * PacketSlab::kSlotBytes;
  Bundle bundle(options, kStart);
  bundle.add_pipe(at_20ms(), kStart);
  for (std::uint64_t c = 0; c < 9; ++c)
    bundle.sent(0, {1, 0}, c, 200, ids::Tier::Bulk, 0, std::vector<std::uint8_t>{1}, 0, kStart);
  EXPECT_EQ(bundle.copies(), 4u);
  bundle.set_usable(0, false, kStart);
  EXPECT_EQ(bundle.counts().not_kept, 5u);
}

}  // namespace
}  // namespace qanat::path
