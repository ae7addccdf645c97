// Topology files: what the lab understands, and that every mistake is named with its line.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/config.hh"
#include "tools/lab/daemon_config.hh"
#include "tools/lab/topology.hh"

namespace qanat::lab {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::string_view kGood = R"(name = "two"
[[plane]]
id = 1
name = "private"
[[plane]]
id = 2
name = "internet"
[[node]]
name = "city"
planes = [1, 2]
domain = 1
[[node]]
name = "far"
planes = [2, 1]
domain = 1
[[node]]
name = "a-node-of-long-name"
planes = [2]
box = false
[[link]]
plane = 1
a = "city"
b = "far"
up = "100mbit,delay=20ms"
down = "50mbit,delay=30ms"
[[link]]
plane = 2
a = "city"
b = "a-node-of-long-name"
[[controller]]
name = "global"
node = "a-node-of-long-name"
role = "global"
[[controller]]
name = "d1"
node = "a-node-of-long-name"
role = "domain"
domain = 1
[[tenant]]
name = "lab"
vni = 100
members = ["city", "far"]
[[pool]]
node = "far"
cards = "H20"
count = 8
models = ["m"]
price = { input = 400, output = 1600 }
[[gateway]]
node = "city"
)";

struct Read {
  Topology topology;
  std::vector<std::string> problems;
};

Read read(std::string_view text) {
  base::ConfigReader reader(text, "lab.toml");
  auto root = reader.root();
  Read out{read_topology(root), {}};
  for (const auto& problem : reader.problems()) out.problems.push_back(to_string(problem));
  return out;
}

// kGood with one line replaced.
std::string with(std::string_view line, std::string_view instead) {
  std::string text(kGood);
  const auto at = text.find(line);
  EXPECT_NE(at, text.npos) << line;
  return text.replace(at, line.size(), instead);
}

TEST(LabTopology, ReadsAWholeFile) {
  const auto [topology, problems] = read(kGood);
  EXPECT_THAT(problems, ElementsAre());
  ASSERT_EQ(topology.nodes.size(), 3u);
  EXPECT_EQ(topology.node("far")->number, 2);
  ASSERT_NE(topology.link("city-far-p1"), nullptr);
  EXPECT_EQ(topology.link("city-far-p1")->up.rate_bps, 100'000'000u);
  EXPECT_EQ(topology.pools.at(0).id, "far-h20");
  EXPECT_THAT(topology.gateways.at(0).pools, ElementsAre("far-h20"));
  EXPECT_EQ(underlay_address(2, *topology.node("far")), "10.2.0.2");
}

TEST(LabTopology, LinksBecomeDevicesAndRoutes) {
  const auto file = links_file(read(kGood).topology, "ql7-");
  ASSERT_EQ(file.links.size(), 2u);
  const auto& a = file.links[0].a;
  EXPECT_EQ(a.netns, "ql7-city");
  EXPECT_EQ(a.device, "p1-far");
  EXPECT_EQ(a.routes.at(0).destination, "10.1.0.2/32");
  EXPECT_EQ(a.routes.at(0).source, "10.1.0.1");
  EXPECT_EQ(a.routes.at(0).table, 101u) << "planes are separate networks";
  EXPECT_EQ(file.links[1].a.device, "p2-n3") << "a device's name has at most 15 characters";
}

TEST(LabTopology, ControllersOfOneNodeGetPortsOfTheirOwn) {
  const auto topology = read(kGood).topology;
  EXPECT_THAT(southbound_addresses(topology, 0), ElementsAre("10.2.0.3:7443"));
  EXPECT_THAT(southbound_addresses(topology, 1), ElementsAre("10.2.0.3:7444"));
  const auto text = controller_toml(topology, 1, Files{"/run/x"});
  EXPECT_THAT(text, HasSubstr("[parent]\naddresses = [\"10.2.0.3:7443\"]"));
}

struct Mistake {
  std::string_view line, instead, says;
};
class LabTopologyMistakes : public testing::TestWithParam<Mistake> {};

TEST_P(LabTopologyMistakes, AreNamedWithTheirLine) {
  const auto problems = read(with(GetParam().line, GetParam().instead)).problems;
  ASSERT_FALSE(problems.empty());
  EXPECT_THAT(problems, testing::Contains(HasSubstr(GetParam().says)));
}

INSTANTIATE_TEST_SUITE_P(
    Table, LabTopologyMistakes,
    testing::Values(Mistake{"up = \"100mbit,delay=20ms\"", "up = \"100mbps\"", "lab.toml:24: "},
                    Mistake{"up = \"100mbit,delay=20ms\"", "up = \"100mbps\"", "at character 4"},
                    Mistake{"b = \"far\"", "b = \"fra\"", "lab.toml:23: "},
                    Mistake{"b = \"far\"", "b = \"fra\"", "'fra' is no node"},
                    Mistake{"b = \"far\"", "b = \"city\"", "another node"},
                    Mistake{"planes = [2]", "planes = [3]", "3 is no plane"},
                    Mistake{"name = \"far\"", "name = \"city\"", "given to two nodes"},
                    Mistake{"name = \"far\"", "name = \"f/r\"", "letters, digits and dashes"},
                    Mistake{"plane = 2\na = \"city\"", "plane = 1\na = \"city\"", "is not on plane 1"},
                    Mistake{"box = false", "bocks = false", "bocks"},
                    Mistake{"box = false", "box = \"no\"", "lab.toml:19: "},
                    Mistake{"role = \"domain\"\ndomain = 1", "role = \"domain\"\ndomain = 2",
                            "none for domain 1"},
                    Mistake{"members = [\"city\", \"far\"]", "members = [\"city\", \"a-node-of-long-name\"]",
                            "is no box"},
                    Mistake{"vni = 100", "vni = 16777216", "vni"}, Mistake{"count = 8", "", "count"}));

TEST(LabTopology, ReportsEveryProblemAtOnce) {
  std::string text = with("b = \"far\"", "b = \"fra\"");
  text.replace(text.find("vni = 100"), 9, "vni = 0");
  EXPECT_GE(read(text).problems.size(), 2u);
}

TEST(LabTopology, TheMainJobsTopologyIsSound) {
  Topology topology;
  ASSERT_TRUE(load_topology("tools/lab/three_regions.toml", topology));
  EXPECT_EQ(topology.links.size(), 25u);
  EXPECT_EQ(topology.pools.size(), 3u);
}

// The three forms in which Qanat is deployed: what each is about is in it, and what is leased has a placeholder.
TEST(LabTopology, TheDeploymentFormsAreSound) {
  struct Form {
    const char* file;
    std::size_t local, leased, keep;  // pools: at the gateway's node, leased, with artefacts
    bool data;                        // kept at the gateway
  };
  for (const Form& form : {Form{"no_local_compute", 0, 1, 1, true}, Form{"inference_box", 1, 2, 0, false},
                           Form{"training_box", 1, 1, 2, true}}) {
    Topology topology;
    ASSERT_TRUE(load_topology(std::string("tools/lab/forms/") + form.file + ".toml", topology)) << form.file;
    ASSERT_EQ(topology.gateways.size(), 1u) << form.file;
    const GatewaySpec& gateway = topology.gateways.front();
    const auto count = [&](auto fits) {
      return std::size_t(std::count_if(topology.pools.begin(), topology.pools.end(), fits));
    };
    EXPECT_EQ(count([&](const PoolSpec& p) { return p.node == gateway.node; }), form.local) << form.file;
    EXPECT_EQ(count([](const PoolSpec& p) { return p.leased; }), form.leased) << form.file;
    EXPECT_EQ(count([](const PoolSpec& p) { return p.artefacts; }), form.keep) << form.file;
    EXPECT_EQ(gateway.artefacts, form.data) << form.file;
    const std::string text = gateway_toml(topology, gateway, Files{"/run/lab"});
    std::size_t placeholders = 0;
    for (std::size_t at = 0; (at = text.find("[[valve.placeholder]]", at)) != std::string::npos; ++at)
      ++placeholders;
    EXPECT_EQ(placeholders, form.leased) << form.file << "\n" << text;
  }
}

}  // namespace
}  // namespace qanat::lab
