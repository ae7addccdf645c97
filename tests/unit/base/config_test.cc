// ConfigReader: one run reports every problem, each with its line, key and what was expected.
#include "base/config.hh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace qanat::base {
namespace {
using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<std::string> texts(const ConfigReader& reader) {
  std::vector<std::string> out;
  for (const ConfigProblem& problem : reader.problems()) out.push_back(to_string(problem));
  return out;
}

constexpr std::string_view kGood = R"(
name = "city"
workers = 2
share = 0.5
relay = false
wait = "1.5s"
addresses = ["a", "b"]
ports = [1, 2]
[controller]
role = "domain"
[[line]]
plane = 1
[[line]]
plane = 2
[tenant.100]
device = "qt100"
[tenant.200]
)";

TEST(Config, ReadsEveryType) {
  ConfigReader reader{kGood, "good.toml"};
  ConfigTable root = reader.root();
  EXPECT_EQ(root.string("name"), "city");
  EXPECT_EQ(root.integer("workers", {1, 64}), 2);
  EXPECT_EQ(root.number("share", {0, 1}), 0.5);
  EXPECT_FALSE(root.boolean("relay", true));
  EXPECT_EQ(root.duration("wait", 1ms, 10s), 1500ms);
  EXPECT_THAT(root.strings("addresses", true), ElementsAre("a", "b"));
  EXPECT_THAT(root.integers("ports", {1, 65535}), ElementsAre(1, 2));
  auto controller = root.table("controller", true);
  ASSERT_TRUE(controller);
  EXPECT_EQ(controller->one_of("role", {"global", "domain"}), "domain");
  std::vector<std::int64_t> planes;
  for (ConfigTable& line : root.tables("line")) planes.push_back(line.integer("plane", {1, 15}));
  EXPECT_THAT(planes, ElementsAre(1, 2));
  std::vector<std::string> tenants;
  for (auto& [name, table] : root.named_tables("tenant"))
    tenants.push_back(name + table.string("device", "-"));
  EXPECT_THAT(tenants, ElementsAre("100qt100", "200-"));
  EXPECT_EQ(root.optional_string("absent"), std::nullopt);
  EXPECT_EQ(root.integer("absent_number", {0, 9}, 7), 7);
  EXPECT_THAT(texts(reader), IsEmpty());
}

TEST(Config, ReportsAllProblemsAtOnce) {
  ConfigReader reader{R"(nmae = "city"
workers = 0
relay = "no"
wait = "soon"
[controller]
role = "king"
colour = "red"
[[line]]
plane = 99
[[line]]
plain = 1
[extra]
x = 1
)",
                      "bad.toml"};
  ConfigTable root = reader.root();
  root.string("name");
  root.integer("workers", {1, 64});
  root.boolean("relay");
  root.duration("wait", 1ms, 10s);
  root.strings("addresses", true);
  if (auto controller = root.table("controller")) controller->one_of("role", {"global", "domain"});
  for (ConfigTable& line : root.tables("line")) line.integer("plane", {1, 15});
  EXPECT_THAT(texts(reader), testing::UnorderedElementsAre(
                                 "bad.toml:1: name: missing, expected a string",
                                 "bad.toml:1: addresses: missing, expected an array of strings",
                                 "bad.toml:1: nmae: unknown key, expected one of addresses, controller, "
                                 "line, name, relay, wait, workers",
                                 "bad.toml:2: workers: 0, expected an integer from 1 to 64",
                                 "bad.toml:3: relay: a string, expected true or false",
                                 R"(bad.toml:4: wait: "soon", expected a duration from "1ms" to "10s")",
                                 R"(bad.toml:6: controller.role: "king", expected one of global, domain)",
                                 "bad.toml:7: controller.colour: unknown key, expected one of role",
                                 "bad.toml:9: line[0].plane: 99, expected an integer from 1 to 15",
                                 "bad.toml:10: line[1].plane: missing, expected an integer from 1 to 15",
                                 "bad.toml:11: line[1].plain: unknown key, expected one of plane",
                                 "bad.toml:12: extra: unknown key, expected one of addresses, controller, "
                                 "line, name, relay, wait, workers"));
}

TEST(Config, TextThatIsNotTomlIsOneProblemWithItsLine) {
  ConfigReader reader{"a = 1\nb = = 2\n", "broken.toml"};
  ConfigTable root = reader.root();
  root.string("name");
  const auto problems = reader.problems();
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_EQ(problems[0].line, 2);
}

TEST(Config, CallersAddProblemsOfTheirOwn) {
  ConfigReader reader{"\nlisten = \"nowhere\"\n", "f.toml"};
  ConfigTable root = reader.root();
  root.string("listen");
  root.problem("listen", "\"nowhere\"", "ADDRESS:PORT");
  EXPECT_THAT(texts(reader), ElementsAre("f.toml:2: listen: \"nowhere\", expected ADDRESS:PORT"));
}

TEST(Config, WrongContainersAreProblemsNotCrashes) {
  ConfigReader reader{"a = 1\nb = [1, \"x\"]\nc = [[1]]\nd = \"t\"\n", "f.toml"};
  ConfigTable root = reader.root();
  EXPECT_FALSE(root.table("a"));
  EXPECT_THAT(root.strings("b"), ElementsAre("x"));
  EXPECT_THAT(root.tables("c"), IsEmpty());
  EXPECT_THAT(root.named_tables("d"), IsEmpty());
  EXPECT_EQ(reader.problems().size(), 4u);
}

TEST(Config, Durations) {
  EXPECT_EQ(parse_duration("250us"), 250us);
  EXPECT_EQ(parse_duration("1.5s"), 1500ms);
  EXPECT_EQ(parse_duration("7d"), 168h);
  EXPECT_EQ(parse_duration("0ms"), 0ms);
  for (const char* bad : {"", "5", "s", "-1s", "1 s", "1sx", "1e3s", "inf", "99999999999d"})
    EXPECT_EQ(parse_duration(bad), std::nullopt) << bad;
}

}  // namespace
}  // namespace qanat::base
