// Linger: it looks where looking pays, and what it costs stays within its budget.
#include "dataplane/io/linger.hh"

#include <gtest/gtest.h>

namespace qanat::io {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

// A worker to which work comes at given pauses; counts what it spends looking.
struct Story {
  explicit Story(LingerOptions options) : linger(options) {}

  // Work comes `pause` after the last was done; each turn of looking takes a microsecond.
  void comes_after(base::Duration pause) {
    const base::Time at = now + pause;
    bool looked = false;
    while (now < at && linger.looks(now)) {
      looked = true;
      now += microseconds{1};
      looking += microseconds{1};
    }
    (looked && now >= at ? caught : slept)++;
    now = at;
    linger.on_work(now);
  }

  Linger linger;
  base::Time now{milliseconds{1000}};
  base::Duration looking{};
  unsigned caught = 0, slept = 0;
};

TEST(Linger, LooksWhereAnswersFollow) {
  Story story({});
  for (int i = 0; i < 200; ++i) {
    story.comes_after(microseconds{60});
    story.comes_after(microseconds{940});
  }
  EXPECT_GT(story.caught, 180u) << "every answer but the first few";
  EXPECT_LT(story.looking, (story.now.time_since_epoch() - milliseconds{1000}) / 4);
}

TEST(Linger, SleepsWhereNothingFollows) {
  Story story({});
  for (int i = 0; i < 200; ++i) story.comes_after(milliseconds{2});
  EXPECT_EQ(story.caught, 0u);
  EXPECT_EQ(story.looking, base::Duration{});
}

TEST(Linger, CostsAQuarterOfACpuAtMost) {
  Story story({});
  for (int i = 0; i < 20'000; ++i) story.comes_after(microseconds{95});
  const base::Duration all = story.now.time_since_epoch() - milliseconds{1000};
  EXPECT_LE(story.looking, all / 4 + 2 * Linger::kBudget);
  EXPECT_GT(story.looking, all / 8) << "and what it may, it does";
}

TEST(Linger, ZeroNeverLooks) {
  Story story({.adaptive = {}});
  for (int i = 0; i < 100; ++i) story.comes_after(microseconds{5});
  EXPECT_EQ(story.looking, base::Duration{});
}

TEST(Linger, BusyPollingLooksWhateverItCosts) {
  Story story({.adaptive = {}, .always = microseconds{500}});
  for (int i = 0; i < 100; ++i) story.comes_after(microseconds{400});
  EXPECT_EQ(story.caught, 100u - 1u) << "it begins with the first work";
  story.comes_after(milliseconds{3});
  EXPECT_EQ(story.slept, 2u);
}

}  // namespace
}  // namespace qanat::io
