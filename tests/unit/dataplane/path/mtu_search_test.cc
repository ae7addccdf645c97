// The search for a path's MTU, by hand: probes go out one by one, a path passes what it passes.
#include "dataplane/path/mtu_search.hh"

#include <gtest/gtest.h>

namespace qanat::path {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class APath : public ::testing::Test {
 protected:
  // Sends probes, 10 ms apart; each report comes back before the next one leaves.
  void probes(int n) {
    for (int i = 0; i < n; ++i, now += milliseconds{10}) {
      const std::uint16_t size = search.on_send(++sequence, now);
      if (size != 0) ++padded;
      const bool lost = size > passes || (lose_padded && size != 0);
      if (!lost) heard = sequence;
      if (!lost && size != 0) heard_padded = sequence;
      search.on_report(heard_padded, heard, now);
    }
  }
  MtuSearch search;
  base::Time now{seconds{100}};
  std::uint16_t passes = kLargestDatagram4;
  bool lose_padded = false;
  std::uint32_t sequence = 0, heard = 0, heard_padded = 0;
  int padded = 0;
};

TEST_F(APath, TheFirstProbeFindsAWholePath) {
  EXPECT_EQ(search.confirmed(), kLeastDatagram);
  EXPECT_FALSE(search.settled());
  probes(1);
  EXPECT_EQ(search.confirmed(), kLargestDatagram4);
  EXPECT_TRUE(search.settled());
}

TEST_F(APath, EveryFifthProbeIsFull) {
  probes(101);
  EXPECT_EQ(padded, 21);
}

TEST_F(APath, ANarrowOneIsFoundToAStepAndItsLossesAreForgiven) {
  for (std::uint16_t size = kLeastDatagram; size <= kLargestDatagram4; size += 17) {
    SCOPED_TRACE(size);
    search = MtuSearch{};
    passes = size;
    sequence = heard = heard_padded = 0;
    probes(300);
    EXPECT_LE(search.confirmed(), size);
    EXPECT_GT(search.confirmed() + kSearchStep, size);
    EXPECT_TRUE(search.settled());
  }
}

TEST_F(APath, ABlackHoleIsLeftAtOnceAndTheTruthFoundBelow) {
  probes(20);
  passes = 1372;
  int needed = 0;
  for (; search.confirmed() == kLargestDatagram4 && needed < 100; ++needed) probes(1);
  EXPECT_LE(needed, 15) << "150 ms at 10 ms a probe";
  EXPECT_EQ(search.confirmed(), kLeastDatagram);
  probes(200);
  EXPECT_GT(search.confirmed() + kSearchStep, 1372);
  EXPECT_LE(search.confirmed(), 1372);
}

TEST_F(APath, OneLostProbeIsNoBlackHole) {
  probes(20);
  for (int i = 0; i < 20; ++i) {
    lose_padded = true;
    probes(6);
    lose_padded = false;
    probes(10);
    ASSERT_EQ(search.confirmed(), kLargestDatagram4);
  }
}

TEST_F(APath, ItIsTriedWiderOnceAMinute) {
  passes = 1300;
  probes(300);
  const auto narrow = search.confirmed();
  passes = kLargestDatagram4;
  probes(500);
  EXPECT_EQ(search.confirmed(), narrow);
  now += kRaiseEvery;
  probes(10);
  EXPECT_EQ(search.confirmed(), kLargestDatagram4);
}

TEST_F(APath, ARelaysWordIsTakenDownwardsAndTestedUpwards) {
  probes(20);
  EXPECT_TRUE(search.on_too_big(1352, now));
  EXPECT_EQ(search.confirmed(), 1352);
  EXPECT_FALSE(search.on_too_big(1400, now)) << "no relay widens a path";
  EXPECT_TRUE(search.on_too_big(100, now));
  EXPECT_EQ(search.confirmed(), kLeastDatagram) << "nor makes it useless";
}

}  // namespace
}  // namespace qanat::path
