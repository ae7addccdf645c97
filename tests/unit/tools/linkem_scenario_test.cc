// Scenarios worked out: times, patterns, undoing, and randomness that is the seed's; and a node's clock.
#include <gtest/gtest.h>

#include "tools/linkem/node_clock.hh"
#include "tools/linkem/scenario.hh"
#include "tools/linkem/spec.hh"

namespace qanat::linkem {
namespace {

using namespace std::chrono_literals;

const std::vector<std::string> kLinks = {"city-far1", "city-far2", "relay-far1"};

TEST(LinkemScenario, AtAndAfterAndForBecomeTimes) {
  Scenario s;
  s.events.push_back({.at = 10s, .link = "city-*", .which = Which::Up, .items = "loss=5%", .lasts = 3s});
  s.events.push_back({.at = 1s, .relative = true, .link = "relay-far1", .items = "down"});
  const auto changes = expand(s, kLinks, 1);
  ASSERT_EQ(changes.size(), 5u);
  EXPECT_EQ(changes[0].link, "city-far1");
  EXPECT_TRUE(changes[0].up && !changes[0].down);
  EXPECT_EQ(changes[1].link, "city-far2");
  EXPECT_EQ(changes[2].at, base::Duration(11s)) << "a second after the event before";
  EXPECT_TRUE(changes[3].undo && changes[4].undo);
  EXPECT_EQ(changes[4].at, base::Duration(13s));
  EXPECT_EQ(changes[3].number, changes[0].number);
}

std::string text(const std::vector<TimedChange>& changes) {
  std::string out;
  for (const auto& c : changes)
    out += std::to_string(c.at.count()) + c.link + c.items + (c.up ? "u" : "") + (c.down ? "d" : "") +
           (c.undo ? "-" : "+");
  return out;
}

TEST(LinkemScenario, RandomEventsAreTheSeeds) {
  Scenario s;
  s.randoms.push_back({.from = 10s,
                       .until = 1010s,
                       .every = 5s,
                       .link = "*far1",
                       .which = Which::Any,
                       .choices = {"down", "loss=30%"},
                       .lasts = {{100ms, 3s}}});
  const auto changes = expand(s, kLinks, 1);
  EXPECT_EQ(text(changes), text(expand(s, kLinks, 1)));
  EXPECT_NE(text(changes), text(expand(s, kLinks, 2)));
  s.seed = 2;
  EXPECT_EQ(text(expand(s, kLinks, 1)), text(expand(s, kLinks, 9))) << "its own seed comes first";
  std::size_t begun = 0;
  for (const auto& c : changes) {
    begun += !c.undo;
    EXPECT_NE(c.link, "city-far2");
    EXPECT_GE(c.at, base::Duration(10s));
  }
  EXPECT_NEAR(static_cast<double>(begun), 200, 2.576 * 14.2) << "1,000 s, one every 5 s";
  EXPECT_EQ(changes.size(), 2 * begun);
}

TEST(LinkemScenario, PatternsMatch) {
  EXPECT_TRUE(matches("*", "anything"));
  EXPECT_TRUE(matches("city-*", "city-far1"));
  EXPECT_TRUE(matches("*-*1", "city-far1"));
  EXPECT_FALSE(matches("city-*2", "city-far1"));
  EXPECT_FALSE(matches("city", "city-far1"));
  EXPECT_FALSE(matches("", "x"));
}

TEST(LinkemScenario, UndoKeepsWhatOthersChanged) {
  const Spec before = *parse_spec("10mbit,delay=5ms"), after = *parse_spec("loss=5%,delay=50ms", before);
  Spec now = *parse_spec("delay=70ms,mtu=1400", after);  // somebody else, meanwhile
  undo(now, before, after);
  EXPECT_EQ(to_string(now), "10mbit,delay=70ms,mtu=1400");
}

TEST(NodeClock, DriftsJumpsAndTellsWhen) {
  const base::Time start{100s};
  NodeClock clock(start, 5s, 100);
  EXPECT_EQ(clock.at(start), base::Time(105s));
  EXPECT_EQ(clock.at(start + 1000s), base::Time(1105s + 100ms)) << "100 ppm of 1,000 s";
  EXPECT_EQ(clock.when(clock.at(start + 1000s)), start + 1000s);
  clock.jump(start + 1000s, -1h);
  EXPECT_EQ(clock.at(start + 1000s), base::Time(1105s + 100ms - 1h));
  clock.set_drift(start + 1000s, 0);
  EXPECT_EQ(clock.at(start + 2000s), base::Time(2105s + 100ms - 1h));
}

}  // namespace
}  // namespace qanat::linkem
