// AckTracker against its event table, and against a plain set of counters.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <set>

#include "dataplane/path/ack_tracker.hh"

namespace qanat::path {
namespace {

using namespace std::chrono_literals;
constexpr base::Time kStart{1000s};

// The counters that an ack speaks of as received.
std::set<std::uint64_t> received(const packet::Ack& ack) {
  std::set<std::uint64_t> out;
  std::uint64_t high = ack.largest;
  for (const packet::AckRun& r : ack.entries()) {
    high -= r.gap;
    for (std::uint64_t c = high + 1 - r.run; c <= high; ++c) out.insert(c);
    high -= r.run;
  }
  return out;
}

TEST(AckTracker, OwesAnAckAfterAWhileOrSixteen) {
  AckTracker t(7, 9);
  EXPECT_EQ(t.next_timeout(), base::Time::max());
  t.on_received(0, true, false, kStart);
  EXPECT_EQ(t.next_timeout(), kStart + 5ms);
  EXPECT_FALSE(t.poll(kStart + 4ms));
  const auto ack = t.poll(kStart + 5ms);
  ASSERT_TRUE(ack);
  EXPECT_EQ(packet::to_string(*ack), "ack receiver=0x7 space=0x9 largest=0 age=5000us received=1 ce=0 -0+1");
  EXPECT_FALSE(t.poll(kStart + 1s)) << "nothing owed";
  for (std::uint64_t c = 1; c <= 16; ++c) {
    EXPECT_FALSE(t.poll(kStart + 5ms)) << c;
    t.on_received(c, true, false, kStart + 5ms);
  }
  EXPECT_EQ(t.poll(kStart + 5ms)->runs[0].run, 17);
}

TEST(AckTracker, AShortPathIsAnsweredSooner) {
  AckTracker t(1, 1);
  t.set_rtt(8ms);
  t.on_received(0, true, false, kStart);
  EXPECT_EQ(t.next_timeout(), kStart + 2ms);
}

TEST(AckTracker, AGapIsToldAtOnceAndAnUnwantedDatagramNever) {
  AckTracker t(1, 1);
  t.on_received(5, false, true, kStart);
  EXPECT_EQ(t.next_timeout(), base::Time::max());
  t.on_received(8, true, false, kStart);
  const auto ack = t.poll(kStart);
  ASSERT_TRUE(ack);
  EXPECT_EQ(received(*ack), (std::set<std::uint64_t>{5, 8}));
  EXPECT_EQ(ack->received, 2u);
  EXPECT_EQ(ack->ce, 1u);
  t.on_received(8, true, false, kStart);
  EXPECT_EQ(t.next_timeout(), base::Time::max()) << "known";
  t.on_received(6, true, false, kStart);
  EXPECT_EQ(t.next_timeout(), kStart + 5ms) << "an old gap that closes is no news of loss";
}

TEST(AckTracker, RemembersTheNewestThirtyTwoRuns) {
  AckTracker t(1, 1);
  for (std::uint64_t c = 0; c < 200; c += 2) t.on_received(c, true, false, kStart);
  const auto ack = t.poll(kStart);
  ASSERT_TRUE(ack);
  EXPECT_EQ(ack->run_count, packet::Ack::kMaxRuns);
  EXPECT_EQ(*received(*ack).begin(), 198u - 2 * (packet::Ack::kMaxRuns - 1));
}

RC_GTEST_PROP(AckTrackerProperty, SaysWhatArrived, (std::vector<std::uint8_t> steps)) {
  AckTracker t(1, 1);
  std::set<std::uint64_t> all, told;
  std::uint64_t next = 1000;
  bool forgot = false;
  for (const std::uint8_t s : steps) {
    // Forward by up to three, or back into what was left out.
    const std::uint64_t counter = s < 200 ? next += 1 + s % 3 : next - s % 24;
    t.on_received(counter, true, false, kStart);
    all.insert(counter);
    if (const auto ack = t.poll(kStart + 5ms)) {
      const auto said = received(*ack);
      RC_ASSERT(ack->largest == *all.rbegin());
      for (const std::uint64_t c : said) RC_ASSERT(all.count(c) == 1);
      forgot = forgot || ack->run_count == packet::Ack::kMaxRuns;
      // What was said in several acks is not repeated for ever; what came just now is in this one.
      told.insert(said.begin(), said.end());
      if (!forgot) RC_ASSERT(told == all);
    }
  }
}

}  // namespace
}  // namespace qanat::path
