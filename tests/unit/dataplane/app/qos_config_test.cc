// Quality of service in qanatd's file: what it says, and every problem at once with its line and key.
#include "dataplane/app/qos_config.hh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/config.hh"
#include "dataplane/app/box_config.hh"

namespace qanat::app {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// A box's file of which only these parts matter.
struct Read {
  BoxConfig config;
  std::vector<std::string> problems;
  explicit Read(const std::string& text) {
    base::ConfigReader reader(text, "box.toml");
    auto root = reader.root();
    read(root, config);
    for (const auto& problem : reader.problems()) problems.push_back(to_string(problem));
  }
};

const std::string kBox = R"(name = "city"
state_dir = "/var/lib/qanat/city"
socket = "/run/qanat/qanatd.sock"
[controller]
addresses = ["192.0.2.1:7443"]
)";

TEST(QosConfig, RatesHaveUnits) {
  EXPECT_EQ(parse_rate("50mbit"), 50'000'000u);
  EXPECT_EQ(parse_rate("1.5gbit"), 1'500'000'000u);
  EXPECT_EQ(parse_rate("800kbit"), 800'000u);
  EXPECT_EQ(parse_rate("9600bit"), 9600u);
  for (const char* wrong :
       {"", "50", "mbit", "50 mbit", "50mb", "-1mbit", "0mbit", "nanmbit", "1e30gbit", "50mbits"})
    EXPECT_FALSE(parse_rate(wrong)) << wrong;
}

TEST(QosConfig, TheSamplePassesItsOwnCheck) {
  EXPECT_THAT(Read(std::string(kSampleConfig)).problems, IsEmpty());
}

// Whoever takes the comment signs away gets a file that works.
TEST(QosConfig, SoDoesTheSampleWithAllOfItSwitchedOn) {
  std::string text(kSampleConfig);
  text.erase(text.find("# An SRv6 edge"));
  for (const char* key : {"rate", "committed", "burst", "critical_rate", "bulk", "[[tenant.100.window]]",
                          "days", "hours", "[[classify]]", "tenant", "destination_port", "pcap", "tier"}) {
    const std::string commented = "\n# " + std::string(key);
    for (std::size_t at = 0; (at = text.find(commented, at)) != std::string::npos;) text.erase(at + 1, 2);
  }
  const Read r(text);
  EXPECT_THAT(r.problems, IsEmpty());
  EXPECT_EQ(r.config.qos.policy.line_bps, (std::vector<std::uint64_t>{50'000'000}));
  EXPECT_EQ(r.config.lines.at(0).in_bps, 200'000'000u);
  ASSERT_EQ(r.config.qos.policy.rules.size(), 1u);
  const qos::Rule& rule = r.config.qos.policy.rules[0];
  EXPECT_EQ(rule.tenant, ids::Vni{100});
  EXPECT_EQ(rule.destination_ports.first, 9000);
  EXPECT_EQ(rule.destination_ports.last, 9100);
  EXPECT_FALSE(rule.program.empty());
  EXPECT_EQ(rule.tier, ids::Tier::Interactive);
}

TEST(QosConfig, ATenantsRatesChangeWithItsWindows) {
  const Read r(kBox + R"([[line]]
plane = 1
address = "10.1.0.1"
rate = "50mbit"
[[line]]
plane = 2
address = "192.0.2.7"
rate_in = "80mbit"
[tenant.100]
committed = "5mbit"
burst = "40mbit"
critical_rate = "1mbit"
bulk = "none"
[[tenant.100.window]]
days = ["mon-fri"]
hours = "22:00-06:00"
bulk = "30mbit"
[[tenant.100.window]]
days = ["sat", "sun"]
)");
  EXPECT_THAT(r.problems, IsEmpty());
  EXPECT_EQ(r.config.qos.policy.line_bps, (std::vector<std::uint64_t>{50'000'000, 0}));
  const auto at = [&](unsigned day, unsigned hour, unsigned minute = 0) {
    return r.config.qos.at({day, hour * 60 + minute}).tenants.at(100);
  };
  EXPECT_TRUE(at(0, 12).bulk_closed);
  EXPECT_FALSE(at(0, 22).bulk_closed);
  EXPECT_EQ(at(0, 22).bulk_bps, 30'000'000u);
  EXPECT_EQ(at(1, 5, 59).bulk_bps, 30'000'000u) << "Monday night";
  EXPECT_TRUE(at(1, 6).bulk_closed);
  EXPECT_TRUE(at(0, 5).bulk_closed) << "Sunday's night belongs to nobody";
  EXPECT_EQ(at(5, 3).bulk_bps, 30'000'000u) << "Friday night";
  EXPECT_FALSE(at(5, 12).bulk_closed);
  EXPECT_EQ(at(5, 12).bulk_bps, 0u) << "without limit";
  EXPECT_EQ(at(0, 12).committed_bps, 5'000'000u);
  EXPECT_EQ(at(0, 12).critical_bps, 1'000'000u);
}

TEST(QosConfig, EveryProblemAtOnceWithLineAndKey) {
  const Read r(kBox + R"([[line]]
plane = 1
address = "10.1.0.1"
rate = "fast"
[forwarding]
adaptive = "maybe"
[qos]
critical_share = 1.5
interactive_queue = "10us"
bulk_queue = "20"
[tenant.100]
committed = "50mbit"
burst = "40mbit"
[[tenant.100.window]]
days = ["someday"]
hours = "22-6"
[[classify]]
tier = "fastest"
pcap = "tcp port port"
source = "10.0.0.1/8"
destination_port = "9100-9000"
[[classify]]
dscp = 64
protocol = "carrier-pigeon"
)");
  EXPECT_THAT(
      r.problems,
      ElementsAre(
          testing::StartsWith("box.toml:9: line[0].rate: 'fast' is no rate"),
          testing::HasSubstr(":11: forwarding.adaptive:"), testing::HasSubstr(":13: qos.critical_share:"),
          testing::HasSubstr(":14: qos.interactive_queue:"), testing::HasSubstr(":15: qos.bulk_queue:"),
          testing::HasSubstr(":17: tenant.100.committed: is more than burst"),
          testing::HasSubstr(":20: tenant.100.window[0].days: 'someday' is no day"),
          testing::HasSubstr(":21: tenant.100.window[0].hours: '22-6' is no time of day"),
          testing::HasSubstr("classify[0].tier"), testing::HasSubstr(":24: classify[0].pcap:"),
          testing::HasSubstr(":25: classify[0].source:"),
          testing::HasSubstr(":26: classify[0].destination_port:"), testing::HasSubstr("classify[1].tier"),
          testing::HasSubstr(":28: classify[1].dscp:"), testing::HasSubstr(":29: classify[1].protocol:")))
      << testing::PrintToString(r.problems);
}

TEST(BoxConfigFile, AfXdpIsForRelaysOfOneWorker) {
  std::string sample(kSampleConfig);
  const auto put = [&sample](std::string_view old, std::string_view now) {
    sample.replace(sample.find(old), old.size(), now);
  };
  put("# af_xdp = true ", "af_xdp = true #");
  EXPECT_THAT(Read(sample).problems,
              ElementsAre(testing::HasSubstr("line[0].af_xdp: is on, expected relay = true")));
  put("relay = false", "relay = true");
  EXPECT_THAT(Read(sample).problems, IsEmpty());
  put("workers = 1 ", "workers = 2 ");
  EXPECT_THAT(Read(sample).problems, ElementsAre(testing::HasSubstr("workers = 1 beside it")));
}

}  // namespace
}  // namespace qanat::app
