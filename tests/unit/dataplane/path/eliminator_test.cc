// The eliminator: every packet once, whatever the copies' order, the wrap of the numbers and the sender's restarts.
#include "dataplane/path/eliminator.hh"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <random>
#include <set>

namespace qanat::path {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

const StreamId kStream{ids::NodeId{7}, ids::Tier::Critical, 3};
const base::Time kStart{seconds{100}};
const base::Time kKeys{seconds{90}};

TEST(Eliminator, FirstCopyWinsOncePerStream) {
  Eliminator e;
  EXPECT_TRUE(e.first(kStream, 5, kKeys, kStart));
  EXPECT_FALSE(e.first(kStream, 5, kKeys, kStart));
  EXPECT_TRUE(e.first(kStream, 6, kKeys, kStart));
  EXPECT_TRUE(e.first(kStream, 4, kKeys, kStart));  // earlier, by the slow path
  EXPECT_FALSE(e.first(kStream, 4, kKeys, kStart));
  StreamId other = kStream;
  other.bucket = 4;
  EXPECT_TRUE(e.first(other, 5, kKeys, kStart));
  other = kStream;
  other.tier = ids::Tier::Bulk;
  EXPECT_TRUE(e.first(other, 5, kKeys, kStart));
  EXPECT_EQ(e.streams(), 3u);
}

TEST(Eliminator, NumbersWrapAt48Bits) {
  Eliminator e;
  std::uint64_t n = kSequenceMask - 100;
  for (int i = 0; i < 200; ++i, n = (n + 1) & kSequenceMask) {
    EXPECT_TRUE(e.first(kStream, n, kKeys, kStart));
    EXPECT_FALSE(e.first(kStream, n, kKeys, kStart));
  }
  EXPECT_FALSE(e.first(kStream, kSequenceMask, kKeys, kStart));
}

TEST(Eliminator, WhatIsTooOldToTellIsNotDeliveredTwice) {
  Eliminator e;
  ASSERT_TRUE(e.first(kStream, 1'000'000, kKeys, kStart));
  EXPECT_TRUE(e.first(kStream, 1'000'000 - Eliminator::kLeastWindow + 1, kKeys, kStart));
  EXPECT_FALSE(e.first(kStream, 1'000'000 - Eliminator::kLeastWindow, kKeys, kStart));
  EXPECT_FALSE(e.first(kStream, 1, kKeys, kStart));
}

TEST(Eliminator, AJumpForwardForgetsTheWindow) {
  Eliminator e;
  for (std::uint64_t n = 0; n < 100; ++n) ASSERT_TRUE(e.first(kStream, n, kKeys, kStart));
  EXPECT_TRUE(e.first(kStream, 500'000, kKeys, kStart));
  EXPECT_FALSE(e.first(kStream, 50, kKeys, kStart));
  EXPECT_TRUE(e.first(kStream, 499'999, kKeys, kStart));
  EXPECT_FALSE(e.first(kStream, 500'000, kKeys, kStart));
}

TEST(Eliminator, ARestartedSenderIsToldByItsNewerKeys) {
  Eliminator e;
  const base::Time newer = kKeys + seconds{5};
  for (std::uint64_t n = 0; n < 100; ++n) ASSERT_TRUE(e.first(kStream, 9'000'000 + n, kKeys, kStart));
  EXPECT_TRUE(e.first(kStream, 1000, newer, kStart));
  EXPECT_FALSE(e.first(kStream, 1000, newer, kStart));
  EXPECT_TRUE(e.first(kStream, 1001, newer, kStart));
  EXPECT_FALSE(e.first(kStream, 9'000'100, kKeys, kStart))
      << "the former life's stragglers do not move the window";
  EXPECT_TRUE(e.first(kStream, 1002, newer, kStart));
  EXPECT_FALSE(e.first(kStream, 1001, newer, kStart));
}

TEST(Eliminator, NumbersRunOnOverRekeying) {
  Eliminator e;
  const base::Time newer = kKeys + seconds{5};
  ASSERT_TRUE(e.first(kStream, 10, kKeys, kStart));
  ASSERT_TRUE(e.first(kStream, 12, newer, kStart));
  EXPECT_FALSE(e.first(kStream, 12, kKeys, kStart));
  EXPECT_TRUE(e.first(kStream, 11, kKeys, kStart));
  EXPECT_FALSE(e.first(kStream, 10, newer, kStart)) << "sent again under the new keys";
}

TEST(Eliminator, AFastStreamGetsAWindowAsWideAsItsPathsLieApart) {
  Eliminator e;
  // 200,000 packets a second; the copy comes 200 ms after the first.
  const std::uint64_t behind = 40'000;
  std::uint64_t lost = 0, twice = 0;
  for (std::uint64_t n = 0; n < 400'000; ++n) {
    const base::Time now = kStart + microseconds{5} * static_cast<int>(n);
    lost += !e.first(kStream, n, kKeys, now);
    if (n >= behind) twice += e.first(kStream, n - behind, kKeys, now);
  }
  EXPECT_EQ(lost, 0u);
  EXPECT_EQ(twice, 0u);
  EXPECT_EQ(e.window(kStream), Eliminator::kMostWindow);
}

TEST(Eliminator, ASlowStreamKeepsTheLeastWindow) {
  Eliminator e;
  for (std::uint64_t n = 0; n < 20'000; ++n)
    e.first(kStream, n, kKeys, kStart + milliseconds{1} * static_cast<int>(n));
  EXPECT_EQ(e.window(kStream), Eliminator::kLeastWindow);
}

TEST(Eliminator, MemoryIsBounded) {
  Eliminator::Options options;
  options.streams = 10;
  Eliminator e(options);
  base::Time now = kStart;
  for (std::uint32_t peer = 1; peer <= 100; ++peer, now += milliseconds{1}) {
    e.first({ids::NodeId{peer}, ids::Tier::Critical, 0}, 1, kKeys, now);
    EXPECT_LE(e.streams(), 10u);
  }
  EXPECT_FALSE(e.first({ids::NodeId{91}, ids::Tier::Critical, 0}, 1, kKeys, now));
  EXPECT_TRUE(e.first({ids::NodeId{90}, ids::Tier::Critical, 0}, 1, kKeys, now))
      << "forgotten, the longest idle";
}

TEST(Eliminator, IdleStreamsAreForgottenAndPeersThatAreGone) {
  Eliminator e;
  EXPECT_EQ(e.next_timeout(), base::Time::max());
  e.first(kStream, 1, kKeys, kStart);
  e.first({ids::NodeId{8}, ids::Tier::Bulk, 0}, 1, kKeys, kStart + seconds{5});
  EXPECT_EQ(e.next_timeout(), kStart + seconds{10});
  e.on_timer(kStart + seconds{10});
  EXPECT_EQ(e.streams(), 1u);
  e.forget(ids::NodeId{8});
  EXPECT_EQ(e.streams(), 0u);
  EXPECT_TRUE(e.first(kStream, 1, kKeys, kStart + seconds{11}))
      << "802.1CB: after the reset timer any number is new";
}

// Against a set: any mix of copies that lie apart less than the window.
TEST(Eliminator, EqualsASet) {
  EXPECT_TRUE(rc::check("each number once", [](std::uint64_t start, std::uint32_t seed) {
    std::mt19937 random(seed);
    std::vector<std::pair<std::uint64_t, std::uint64_t>> arrivals;  // when, number
    for (std::uint64_t n = 0; n < 800; ++n) {
      const unsigned copies = 1 + random() % 3;
      for (unsigned c = 0; c < copies; ++c)
        arrivals.push_back({n + random() % 300, (start + n) & kSequenceMask});
    }
    std::sort(arrivals.begin(), arrivals.end());
    Eliminator e;
    std::set<std::uint64_t> seen;
    for (const auto& [at, number] : arrivals)
      RC_ASSERT(e.first(kStream, number, kKeys, kStart + milliseconds{at}) == seen.insert(number).second);
    RC_ASSERT(seen.size() == 800u);
  }));
}

}  // namespace
}  // namespace qanat::path
