// Chaos, as values: the same seed plans the same faults, overlapping faults undo themselves alone, the auditor and the
// map of who must reach whom can find something wrong. The soak itself is tests/chaos.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/config.hh"
#include "gateway/meter/ledger.hh"
#include "tools/lab/chaos/auditor.hh"
#include "tools/lab/chaos/link_faults.hh"
#include "tools/lab/chaos/loop_judge.hh"
#include "tools/lab/chaos/reachability.hh"
#include "tools/lab/chaos/soak_plan.hh"

namespace qanat::chaos {
namespace {

using namespace std::chrono_literals;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

lab::Topology topology() {
  lab::Topology t;
  t.name = "t";
  t.planes = {{1, "private"}, {2, "internet"}};
  int number = 0;
  for (const char* name : {"city", "relay1", "far1"}) {
    lab::Node node;
    node.name = name;
    node.number = ++number;
    node.planes = {1, 2};
    node.domain = 1;
    node.relay = node.name == "relay1";
    t.nodes.push_back(node);
  }
  const auto link = [&](int plane, const char* a, const char* b) {
    t.links.push_back({std::string(a) + "-" + b + "-p" + std::to_string(plane), plane, a, b,
                       *linkem::parse_spec("100mbit,delay=20ms"), *linkem::parse_spec("100mbit,delay=20ms")});
  };
  for (const int plane : {1, 2}) link(plane, "city", "relay1"), link(plane, "relay1", "far1");
  link(1, "city", "far1");
  t.controllers = {{"domain1", "city", false, 1}};
  t.tenants = {{"lab", 100, {"city", "far1"}, false}};
  return t;
}

Scenario read(const std::string& text, std::string* problems = nullptr) {
  base::ConfigReader reader(text, "s.toml");
  auto root = reader.root();
  Scenario scenario = read_scenario(root);
  std::string all;
  for (const auto& problem : reader.problems()) all += to_string(problem) + "\n";
  if (problems)
    *problems = all;
  else
    EXPECT_EQ(all, "");
  return scenario;
}

const char* const kCut = R"(name = "cut"
[pick]
x = "link"
[[step]]
do = "cut"
on = "$x"
direction = "any"
[[step]]
after = "1s..4s"
do = "clear"
on = "$x"
)";
const char* const kKill = R"(name = "kill"
[pick]
x = "qanatd"
[[step]]
do = "kill"
on = "$x"
[[step]]
after = "1s..3s"
do = "restart"
on = "$x"
)";

TEST(ScenarioTest, MistakesNameLineAndKey) {
  std::string problems;
  read(
      "name = \"x\"\n[[step]]\ndo = \"cutt\"\non = \"$y\"\n[[step]]\ndo = \"set\"\non = \"l\"\nspec = "
      "\"loss=\"\n"
      "after = \"4s..1s\"\n",
      &problems);
  EXPECT_THAT(problems, HasSubstr("s.toml:3: step[0].do"));
  EXPECT_THAT(problems, HasSubstr("s.toml:4: step[0].on"));
  EXPECT_THAT(problems, HasSubstr("s.toml:8: step[1].spec"));
  EXPECT_THAT(problems, HasSubstr("s.toml:9: step[1].after"));
}

TEST(ScenarioTest, NamesThatTheTopologyLacksAreTold) {
  Dice dice(1);
  const auto expansion =
      expand(read("name = \"x\"\n[[step]]\ndo = \"kill\"\non = \"qanatd-mars\"\n"), topology(), dice);
  EXPECT_THAT(expansion.actions, IsEmpty());
  EXPECT_THAT(expansion.problem, HasSubstr("qanatd-mars"));
}

TEST(ScenarioTest, APartitionHealsWhatItCut) {
  Dice dice(7);
  const auto text = "name = \"p\"\n[[step]]\ndo = \"partition\"\n[[step]]\nafter = \"1s\"\ndo = \"heal\"\n";
  for (int i = 0; i < 50; ++i) {
    const auto expansion = expand(read(text), topology(), dice);
    ASSERT_EQ(expansion.actions.size(), 2u);
    EXPECT_FALSE(expansion.actions[0].links.empty());
    EXPECT_EQ(expansion.actions[0].links, expansion.actions[1].links);
  }
}

std::string told(const std::vector<PlannedAction>& plan) {
  std::string out;
  for (const auto& p : plan)
    out += std::to_string(p.at.count()) + " " + std::to_string(p.run) + " " + to_string(p.action) + "\n";
  return out;
}

TEST(SoakPlanTest, TheSameSeedPlansTheSameAndAnotherSeedAnother) {
  const std::vector<Scenario> scenarios = {read(kCut), read(kKill)};
  const SoakPlanOptions options{10min, 1200ms, 6s, 1};
  const auto plan = plan_soak(scenarios, topology(), 5, options);
  EXPECT_EQ(told(plan), told(plan_soak(scenarios, topology(), 5, options)));
  EXPECT_NE(told(plan), told(plan_soak(scenarios, topology(), 6, options)));
  EXPECT_GT(plan.size(), 200u);
}

TEST(SoakPlanTest, NothingIsTouchedTwiceAtOnceAndEverythingIsUndone) {
  const auto plan = plan_soak({read(kCut), read(kKill)}, topology(), 9, {10min, 500ms, 3s, 1});
  std::map<std::string, std::uint64_t> held;
  std::size_t down = 0;
  for (const auto& p : plan) {
    EXPECT_LE(p.at, base::Duration(10min));
    auto& holder = held[p.action.target];
    if (is_fault(p.action.verb)) {
      EXPECT_EQ(holder, 0u) << p.action.target;
      holder = p.run;
      down += p.action.verb == Verb::Kill;
    } else {
      EXPECT_EQ(holder, p.run);
      holder = 0;
      down -= p.action.verb == Verb::Restart;
    }
    EXPECT_LE(down, 1u);
  }
  for (const auto& [target, holder] : held) EXPECT_EQ(holder, 0u) << target;
}

TEST(LinkFaultsTest, OverlappingFaultsUndoThemselvesAlone) {
  const auto t = topology();
  LinkFaults faults(t);
  const std::string link = "city-far1-p1";
  faults.set(1, link, "both", "loss=10%");
  faults.set(2, link, "up", "down");
  EXPECT_TRUE(faults.specs(link).up.down);
  EXPECT_FALSE(faults.specs(link).down.down);
  faults.clear(2, link);
  EXPECT_EQ(linkem::to_string(faults.specs(link).up),
            linkem::to_string(*linkem::parse_spec("100mbit,delay=20ms,loss=10%")));
  EXPECT_TRUE(faults.disturbed(link));
  faults.clear(1, link);
  EXPECT_FALSE(faults.disturbed(link));
  EXPECT_EQ(faults.specs(link).up, t.links.back().up);
}

TEST(ReachabilityTest, IsOwedSinceTheBestPathIsSound) {
  const auto t = topology();
  const base::Time start{1h};
  Reachability r(t, start);
  EXPECT_EQ(r.since("city", "far1"), start);
  r.link("city-far1-p1", false, start + 1s);
  EXPECT_EQ(r.since("city", "far1"), start) << "the relay's path was sound all the time";
  r.daemon("qanatd-relay1", false, start + 2s);
  EXPECT_EQ(r.since("city", "far1"), std::nullopt);
  r.daemon("qanatd-relay1", true, start + 5s);
  EXPECT_EQ(r.since("city", "far1"), start + 5s);
  r.daemon("controller-domain1", false, start + 6s);
  EXPECT_EQ(r.since("city", "far1"), std::nullopt) << "without a controller only the direct path is owed";
  r.link("city-far1-p1", true, start + 7s);
  EXPECT_EQ(r.since("city", "far1"), start + 7s);
  r.daemon("qanatd-far1", false, start + 8s);
  EXPECT_EQ(r.since("city", "far1"), std::nullopt);
}

TEST(LoopJudgeTest, CountsTheProbeAndNotSteadyTraffic) {
  LoopJudge judge;
  std::uint64_t most = 0;
  for (std::int64_t window = 0; window < 20; ++window) {
    Lengths seen = {{1418, 20}, {1250 + window, 3}};
    if (window >= 8) seen[1300] = 17;  // a daemon's own, from now on
    most = std::max(most, judge.next(seen));
  }
  EXPECT_EQ(most, 3u);
}

TEST(LoopJudgeTest, SeesALoopThatEndsLate) {
  LoopJudge judge;
  judge.next({{1418, 20}});
  judge.next({{1418, 20}, {1290, 9}});
  judge.next({{1418, 20}, {1290, 7}});
  EXPECT_EQ(judge.next({{1418, 20}}), 16u);
}

class AuditorTest : public testing::Test {
 protected:
  void SetUp() override {
    file_ = std::filesystem::temp_directory_path() / ("qanat-audit-" + std::to_string(getpid()) + ".db");
    remove();
  }
  void TearDown() override { remove(); }
  void remove() {
    for (const char* end : {"", "-wal", "-shm"}) std::filesystem::remove(file_.string() + end);
  }
  static meter::Settlement call(const std::string& id, std::uint64_t tokens) {
    meter::Settlement s;
    s.call = {.id = id,
              .tenant = "lab",
              .project = "default",
              .key = "k",
              .model = "m",
              .pool = "p",
              .path = "",
              .price = {"CNY", 400, 1600},
              .started_unix_ms = 1};
    s.prompt_tokens = 7;
    s.delivered_tokens = tokens;
    return s;
  }
  std::vector<std::string> findings(const std::vector<CallSeen>& seen) {
    std::vector<std::string> out;
    audit(file_, seen, [&](const char* invariant, const std::string& what) {
      out.push_back(std::string(invariant) + " " + what);
    });
    return out;
  }
  std::filesystem::path file_;
};

TEST_F(AuditorTest, PassesBooksThatAreRightAndFindsEachWayToBeWrong) {
  {
    meter::Ledger ledger(file_);
    ledger.settle(std::vector{call("a", 40), call("b", 12)});
    const std::vector<meter::PoolUsage> records = {{1, "a", 7, 40, ""}, {2, "b", 7, 15, ""}};
    ledger.reconcile("p", {"CNY", 400, 1600}, records);
  }
  EXPECT_THAT(findings({{"a", 40, true}, {"b", 13, false}}), IsEmpty())
      << "the frame in doubt is the tenant's";
  EXPECT_THAT(findings({{"a", 41, true}, {"b", 12, false}}), Contains(HasSubstr("billed_once a")));
  EXPECT_THAT(findings({{"a", 40, true}, {"b", 11, false}}), Contains(HasSubstr("billed_once b")))
      << "too much";
  EXPECT_THAT(findings({{"a", 40, true}, {"b", 14, false}}), Contains(HasSubstr("billed_once b")))
      << "too little";
  EXPECT_THAT(findings({{"a", 40, true}}), Contains(HasSubstr("no client had it")));
  EXPECT_THAT(findings({{"a", 40, true}, {"b", 12, false}, {"c", 5, true}}),
              Contains(HasSubstr("billed_once c")));
  {
    meter::Ledger ledger(file_);
    ledger.store().execute(
        "UPDATE entries SET amount_nano = amount_nano + 1 WHERE call = 'a' AND account LIKE 'pool:%'");
    ledger.store().execute("UPDATE pool_usage SET completion_tokens = 39 WHERE call = 'a'");
  }
  const auto broken = findings({{"a", 40, true}, {"b", 12, false}});
  EXPECT_THAT(broken, Contains(HasSubstr("books_balance a: the entries")));
  EXPECT_THAT(broken, Contains(HasSubstr("signed 39 tokens")));
}

}  // namespace
}  // namespace qanat::chaos
