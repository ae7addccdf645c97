// The resequencer: in order, never longer than `hold`, every packet once, within its memory.
#include "dataplane/path/resequencer.hh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <map>
#include <random>

namespace qanat::path {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;

const base::Time kStart{seconds{100}};
const base::Time kKeys{seconds{90}};

// Packets whose bytes repeat their number; what comes out is read at once and checked.
class Story {
 public:
  explicit Story(const Resequencer::Options& options = {}) : r(options) {}
  base::Time now = kStart;
  base::Time keys = kKeys;
  Resequencer r;
  std::uint32_t peer = 1;
  std::uint64_t duplicates = 0;

  std::vector<std::uint64_t> packet(std::uint64_t n, std::uint8_t hold = 10, std::size_t size = 100) {
    std::vector<std::uint8_t> bytes(size, static_cast<std::uint8_t>(n * 31 + 7));
    Opened p;
    p.stream = {ids::NodeId{peer}, ids::Tier::Bulk, 9};
    p.header.sequence = n & kSequenceMask;
    p.header.hold = hold;
    p.session = keys;
    p.bytes = bytes;
    const auto out = r.on_packet(p, now);
    if (!out) {
      EXPECT_EQ(out.error(), packet::DropReason::Duplicate);
      ++duplicates;
      return {};
    }
    return read(*out);
  }
  std::vector<std::uint64_t> timer() { return read(r.on_timer(now)); }

 private:
  std::vector<std::uint64_t> read(std::span<const Opened> out) {
    std::vector<std::uint64_t> numbers;
    for (const Opened& p : out) {
      numbers.push_back(p.header.sequence);
      for (const std::uint8_t b : p.bytes)
        EXPECT_EQ(b, static_cast<std::uint8_t>(p.header.sequence * 31 + 7));
    }
    r.clear();
    return numbers;
  }
};

TEST(Resequencer, InOrderGoesStraightThrough) {
  Story s;
  for (std::uint64_t n = 40; n < 50; ++n) EXPECT_THAT(s.packet(n), ElementsAre(n));
  EXPECT_EQ(s.r.memory_bytes(), 0u) << "nothing was copied";
}

TEST(Resequencer, AGapHoldsWhatComesAfterUntilItCloses) {
  Story s;
  s.packet(1);
  EXPECT_THAT(s.packet(3), IsEmpty());
  EXPECT_THAT(s.packet(4), IsEmpty());
  EXPECT_THAT(s.packet(6), IsEmpty());
  EXPECT_EQ(s.r.held(), 3u);
  EXPECT_THAT(s.packet(2), ElementsAre(2, 3, 4));
  EXPECT_THAT(s.packet(5), ElementsAre(5, 6));
  EXPECT_EQ(s.r.held(), 0u);
}

TEST(Resequencer, HoldBoundsTheWaitAndTheLateOneStillComesOnce) {
  Story s;
  s.packet(1);
  s.packet(3, 10);  // 40 ms
  s.now += milliseconds{20};
  s.packet(5, 10);
  EXPECT_EQ(s.r.next_timeout(), kStart + milliseconds{40});
  s.now = kStart + milliseconds{39};
  EXPECT_THAT(s.timer(), IsEmpty());
  s.now = kStart + milliseconds{40};
  EXPECT_THAT(s.timer(), ElementsAre(3)) << "5 waits behind a gap of its own";
  EXPECT_THAT(s.packet(2), ElementsAre(2));
  EXPECT_EQ(s.r.counts().late, 1u);
  s.now = kStart + milliseconds{60};
  EXPECT_THAT(s.timer(), ElementsAre(5));
  EXPECT_EQ(s.r.counts().given_up, 2u);
}

TEST(Resequencer, AShorterHoldBehindALongerOneTakesItAlong) {
  Story s;
  s.packet(1);
  s.packet(3, 100);
  s.packet(4, 2);
  EXPECT_EQ(s.r.next_timeout(), kStart + milliseconds{8});
  s.now += milliseconds{8};
  EXPECT_THAT(s.timer(), ElementsAre(3, 4));
}

TEST(Resequencer, HoldZeroIsDeliveredAtOnceAndPassedOver) {
  Story s;
  s.packet(1);
  s.packet(4);
  EXPECT_THAT(s.packet(3, 0), ElementsAre(3));
  EXPECT_THAT(s.packet(2), ElementsAre(2, 4));
  EXPECT_THAT(s.packet(3, 0), ElementsAre(3)) << "copies are the eliminator's";
}

// The sender's part: the first striped packets go by the way the others took; hold > 0 until all is back on one way.
TEST(Resequencer, OrderHoldsOverASwitchToManyPathsAndBack) {
  Story s;
  std::vector<std::uint64_t> order;
  const auto take = [&](const std::vector<std::uint64_t>& out) {
    order.insert(order.end(), out.begin(), out.end());
  };
  take({0, 1, 2});    // unmanaged: around the resequencer
  take(s.packet(3));  // still by the old way: begins the stream
  take(s.packet(5));  // by the fast one
  take(s.packet(6));
  take(s.packet(4));  // by the slow one
  take(s.packet(8));  // back on the fast one, while 7 is on its way
  take(s.packet(7));
  take(s.packet(9, 0));  // one way again
  EXPECT_THAT(order, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9));
}

TEST(Resequencer, HeldDuplicatesAreDropped) {
  Story s;
  s.packet(1);
  s.packet(3);
  s.packet(3);
  EXPECT_EQ(s.duplicates, 1u);
  EXPECT_THAT(s.packet(2), ElementsAre(2, 3));
}

TEST(Resequencer, NumbersWrapAt48Bits) {
  Story s;
  s.packet(kSequenceMask - 1);
  EXPECT_THAT(s.packet(0), IsEmpty());
  EXPECT_THAT(s.packet(kSequenceMask), ElementsAre(kSequenceMask, 0));
}

TEST(Resequencer, TheWindowSlidesAndALeapStartsAnew) {
  Resequencer::Options options;
  options.window = 64;
  Story s(options);
  s.packet(0);
  for (std::uint64_t n = 2; n < 65; ++n) EXPECT_THAT(s.packet(n), IsEmpty());
  const auto slid = s.packet(65);
  EXPECT_EQ(slid.size(), 64u) << "1 is given up; the run goes out whole";
  s.packet(67);
  EXPECT_THAT(s.packet(1000), ElementsAre(67, 1000));
  EXPECT_THAT(s.packet(1001), ElementsAre(1001));
}

TEST(Resequencer, ARestartedSenderIsToldByItsNewerKeys) {
  Story s;
  s.packet(500'000);
  s.packet(500'002);
  s.keys = kKeys + seconds{3};
  EXPECT_THAT(s.packet(17), ElementsAre(500'002, 17));
  EXPECT_THAT(s.packet(19), IsEmpty());
  s.keys = kKeys;
  EXPECT_THAT(s.packet(500'001), ElementsAre(500'001)) << "the former life's: late";
  s.keys = kKeys + seconds{3};
  EXPECT_THAT(s.packet(18), ElementsAre(18, 19));
}

TEST(Resequencer, WithoutMemoryTheGapDueFirstIsGivenUp) {
  Resequencer::Options options;
  options.packets = 3;
  Story s(options);
  s.packet(1);
  s.packet(3, 50);
  s.packet(5, 50);
  s.packet(7, 50);
  EXPECT_THAT(s.packet(9, 50), ElementsAre(3));
  EXPECT_EQ(s.r.held(), 3u);
  EXPECT_THAT(s.packet(4, 50), ElementsAre(4, 5)) << "its place is next";
  EXPECT_EQ(s.r.counts().crowded, 1u);
}

TEST(Resequencer, ThePacketThatFindsNoRoomBeforeHeldOnesStaysInOrder) {
  Resequencer::Options options;
  options.packets = 2;
  Story s(options);
  s.packet(1);
  s.packet(5);
  s.packet(6);
  EXPECT_THAT(s.packet(3), ElementsAre(3));
  EXPECT_THAT(s.packet(4), ElementsAre(4, 5, 6));
}

TEST(Resequencer, APacketLargerThanASlotIsNotHeld) {
  Story s;
  s.packet(1);
  s.packet(3);
  EXPECT_THAT(s.packet(5, 10, PacketSlab::kSlotBytes + 1), ElementsAre(3, 5));
}

TEST(Resequencer, StreamsAreBoundedAndIdleOnesForgotten) {
  Resequencer::Options options;
  options.streams = 4;
  Story s(options);
  for (s.peer = 1; s.peer <= 20; ++s.peer) {
    s.packet(1);
    s.packet(3);
    EXPECT_LE(s.r.streams(), 4u);
    s.now += milliseconds{1};
  }
  EXPECT_EQ(s.r.held(), 4u);
  EXPECT_THAT(s.r.forget(ids::NodeId{20}).size(), 1u);
  s.r.clear();
  s.now += seconds{61};
  EXPECT_EQ(s.timer().size(), 3u);
  EXPECT_TRUE(s.r.idle());
  EXPECT_EQ(s.r.next_timeout(), base::Time::max());
  s.timer();
  EXPECT_EQ(s.r.memory_bytes(), 0u);
}

TEST(Resequencer, SteadyStateTakesNoNewMemory) {
  Story s;
  s.packet(0);
  for (std::uint64_t n = 1; n < 100; n += 2) s.packet(n + 1), s.packet(n);
  const std::size_t before = s.r.memory_bytes();
  for (std::uint64_t n = 101; n < 20'000; n += 2) s.packet(n + 1), s.packet(n);
  EXPECT_EQ(s.r.memory_bytes(), before);
  EXPECT_EQ(before, PacketSlab::kSlotBytes * PacketSlab::kSlotsPerChunk);
}

// Whatever the paths do: what goes in comes out once; what came out before its place was given up is in order; nobody
// waits longer than his hold; memory stays within bounds.
TEST(Resequencer, ConservesOrdersAndBounds) {
  EXPECT_TRUE(rc::check("any arrival order", [](std::uint64_t start, std::uint32_t seed, bool tight) {
    std::mt19937 random(seed);
    Resequencer::Options options;
    if (tight) options.packets = 20, options.window = 64;
    Story s(options);
    struct Arrival {
      std::uint64_t at_us;
      std::uint64_t index;
    };
    std::vector<Arrival> arrivals;
    const unsigned skew_us = 1 + random() % 60'000;
    for (std::uint64_t n = 0; n < 400; ++n)
      if (n == 0 || random() % 20 != 0)
        arrivals.push_back({n * 500 + (n == 0 ? 0 : random() % 2 * skew_us + random() % 300), n});
    std::stable_sort(arrivals.begin(), arrivals.end(), [](auto& a, auto& b) { return a.at_us < b.at_us; });
    std::map<std::uint64_t, base::Time> came;
    std::vector<std::uint64_t> order;
    const auto take = [&](const std::vector<std::uint64_t>& out) {
      for (const std::uint64_t n : out) {
        const auto it = came.find(n);
        RC_ASSERT(it != came.end());  // once, and only what was put in
        RC_ASSERT(s.now - it->second <= milliseconds{40});
        came.erase(it);
        order.push_back(sequence_distance(n, start) & 0xffff);
      }
      RC_ASSERT(s.r.held() <= options.packets);
      RC_ASSERT(s.r.held() == came.size());
    };
    for (const Arrival& a : arrivals) {
      const base::Time at = kStart + std::chrono::microseconds{a.at_us};
      while (s.r.next_timeout() <= at) {
        s.now = s.r.next_timeout();
        take(s.timer());
      }
      s.now = at;
      const std::uint64_t number = (start + a.index) & kSequenceMask;
      came[number] = s.now;
      take(s.packet(number));
    }
    for (; s.r.held() != 0; take(s.timer())) s.now = s.r.next_timeout();
    RC_ASSERT(came.empty());
    RC_ASSERT(order.size() == arrivals.size());
    std::size_t inversions = 0;
    for (std::size_t i = 1; i < order.size(); ++i) inversions += order[i] < order[i - 1];
    RC_ASSERT(inversions <= s.r.counts().late);
    if (!tight && skew_us + 300 < 40'000) RC_ASSERT(inversions == 0u);
  }));
}

}  // namespace
}  // namespace qanat::path
