// The replay window against its model: the set of all counters ever accepted.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <set>

#include "dataplane/crypto/replay_window.hh"

namespace qanat::crypto {
namespace {

TEST(ReplayWindow, AcceptsEachCounterOnce) {
  ReplayWindow w;
  EXPECT_TRUE(w.accept(0));
  EXPECT_FALSE(w.accept(0));
  EXPECT_TRUE(w.accept(2));
  EXPECT_TRUE(w.fresh(1));
  EXPECT_TRUE(w.accept(1));
  EXPECT_FALSE(w.fresh(1));
}

TEST(ReplayWindow, ForgetsWhatIsTooOldByRefusingIt) {
  ReplayWindow w(2048);
  EXPECT_EQ(w.width(), 1984u);
  EXPECT_TRUE(w.accept(100000));
  EXPECT_TRUE(w.fresh(100000 - 1983));
  EXPECT_FALSE(w.fresh(100000 - 1984));
}

TEST(ReplayWindow, AGreatJumpClearsEverything) {
  ReplayWindow w;
  for (std::uint64_t i = 0; i < 5000; ++i) ASSERT_TRUE(w.accept(i));
  const std::uint64_t far = std::uint64_t{1} << 40;
  EXPECT_TRUE(w.accept(far));
  for (std::uint64_t i = far - w.width() + 1; i < far; ++i) ASSERT_TRUE(w.accept(i));
  EXPECT_FALSE(w.accept(far - w.width()));
}

TEST(ReplayWindow, TheLastCountersCannotWrapIt) {
  ReplayWindow w;
  EXPECT_TRUE(w.accept(5));
  EXPECT_FALSE(w.accept(~std::uint64_t{0}));
  EXPECT_FALSE(w.accept(std::uint64_t{1} << 63));
  EXPECT_FALSE(w.accept(5));
}

TEST(ReplayWindow, WidthIsBounded) {
  EXPECT_EQ(ReplayWindow(1).width(), ReplayWindow::kMinBits - 64);
  EXPECT_EQ(ReplayWindow(3000).width(), 4096u - 64);
  EXPECT_EQ(ReplayWindow(1 << 30).width(), ReplayWindow::kMaxBits - 64);
}

RC_GTEST_PROP(ReplayWindowProperty, EqualsTheSetOfAllAccepted, ()) {
  ReplayWindow w(*rc::gen::element<std::size_t>(2048, 4096, 8192));
  std::set<std::uint64_t> seen;
  std::uint64_t top = 0;  // greatest accepted + 1
  std::uint64_t base = *rc::gen::inRange<std::uint64_t>(0, 1u << 20);
  // Steps around the front, some wide, most of them narrow, as reordering makes them.
  const auto steps = *rc::gen::container<std::vector<int>>(
      400, rc::gen::weightedOneOf<int>({{8, rc::gen::inRange(-40, 60)},
                                        {2, rc::gen::inRange(-9000, 300)},
                                        {1, rc::gen::inRange(0, 9000)}}));
  for (const int step : steps) {
    const auto counter =
        static_cast<std::uint64_t>(std::max<std::int64_t>(0, static_cast<std::int64_t>(base) + step));
    const bool too_old = counter + w.width() < top;
    const bool expected = !too_old && !seen.contains(counter);
    RC_ASSERT(w.fresh(counter) == expected);
    RC_ASSERT(w.accept(counter) == expected);
    if (expected) {
      seen.insert(counter);
      top = std::max(top, counter + 1);
      base = std::max(base, counter);
    }
  }
}

TEST(ReplayWindows, SpacesAreApartAndBounded) {
  ReplayWindows w;
  for (std::uint32_t space = 0; space < ReplayWindows::kMaxWindows; ++space) {
    EXPECT_TRUE(w.accept(space * 7919, 3));
    EXPECT_EQ(w.accept(space * 7919, 3).error(), packet::DropReason::Replayed);
  }
  EXPECT_EQ(w.size(), 256u);
  EXPECT_TRUE(w.fresh(1, 0));
  EXPECT_EQ(w.accept(1, 0).error(), packet::DropReason::SpacesExhausted);
  EXPECT_FALSE(w.fresh(7919, 3));
  EXPECT_TRUE(w.fresh(7919, 4));
}

}  // namespace
}  // namespace qanat::crypto
