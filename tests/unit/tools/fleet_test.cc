// An upgrade of a fleet: canaries, then shares, relays last and alone; what is worse stops it.
#include "tools/qanat/fleet.hh"

#include <gtest/gtest.h>

#include <set>

namespace qanat::cli {
namespace {

using std::chrono::seconds;
using Stages = std::vector<std::vector<std::string>>;

FleetView fleet(std::size_t leaves, std::initializer_list<const char*> relays) {
  FleetView view;
  for (std::size_t i = 0; i < leaves; ++i) {
    std::string name = "b";
    name += static_cast<char>('a' + i);
    view[name] = {false, true, true, 20};
  }
  for (const char* relay : relays) view[relay] = {true, true, true, 40};
  return view;
}

TEST(FleetStages, CanariesThenSharesThenEachRelayAlone) {
  EXPECT_EQ(fleet_stages(fleet(5, {"r1", "a0"}), {1, {50, 100}}),
            (Stages{{"ba"}, {"bb", "bc"}, {"bd", "be"}, {"a0"}, {"r1"}}));
  EXPECT_EQ(fleet_stages(fleet(2, {}), {1, {10, 50, 100}}), (Stages{{"ba"}, {"bb"}}));
  EXPECT_EQ(fleet_stages(fleet(0, {"r1"}), {}), (Stages{{"r1"}}));
  EXPECT_TRUE(fleet_stages({}, {}).empty());
}

TEST(FleetStages, EveryBoxThatIsThereOnceAndNobodyElse) {
  for (std::size_t leaves = 0; leaves < 26; ++leaves)
    for (const std::size_t canaries : {1u, 3u, 100u}) {
      FleetView view = fleet(leaves, {"r1", "r2"});
      view["away"] = {false, false, true, 0};
      std::multiset<std::string> seen;
      for (const auto& stage : fleet_stages(view, {canaries, {5, 30}})) {
        EXPECT_FALSE(stage.empty());
        seen.insert(stage.begin(), stage.end());
      }
      EXPECT_EQ(seen.size(), leaves + 2);
      EXPECT_EQ(std::set<std::string>(seen.begin(), seen.end()).size(), leaves + 2);
      EXPECT_EQ(seen.count("away"), 0u);
    }
}

TEST(FleetProblems, AreWhatIsWorseThanBeforeOfAnyBox) {
  const FleetView before = fleet(3, {"r1"});
  FleetView now = before;
  now["ba"].links = 18;  // nine tenths
  EXPECT_TRUE(fleet_problems(before, now).empty());
  now["ba"].links = 17;
  now["bb"].configured = false;
  now["bc"].connected = false;
  now.erase("r1");
  EXPECT_EQ(
      fleet_problems(before, now),
      (std::vector<std::string>{"ba: 17 usable links, 20 before", "bb: its configuration is not in force",
                                "bc: not connected", "r1: not connected"}));
  FleetView away = before;
  away["ba"].connected = false;
  EXPECT_TRUE(fleet_problems(away, away).empty()) << "what was away already stops nobody";
}

TEST(StageWatch, PassesAfterTheSoakAndStopsAfterTheSettlingTime) {
  using Verdict = StageWatch::Verdict;
  const base::Time begun{};
  StageWatch watch(begun, seconds(60), seconds(10));
  EXPECT_EQ(watch.look(false, begun + seconds(1)), Verdict::Wait);
  EXPECT_EQ(watch.look(true, begun + seconds(50)), Verdict::Wait);
  EXPECT_EQ(watch.look(false, begun + seconds(55)), Verdict::Wait) << "a break";
  EXPECT_EQ(watch.look(true, begun + seconds(59)), Verdict::Wait);
  EXPECT_EQ(watch.look(true, begun + seconds(68)), Verdict::Wait)
      << "the soak may end after the settling time";
  EXPECT_EQ(watch.look(true, begun + seconds(69)), Verdict::Passed);
  StageWatch other(begun, seconds(60), seconds(10));
  EXPECT_EQ(other.look(true, begun + seconds(58)), Verdict::Wait);
  EXPECT_EQ(other.look(false, begun + seconds(61)), Verdict::Stop);
}

}  // namespace
}  // namespace qanat::cli
