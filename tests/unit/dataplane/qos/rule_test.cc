// Rules: each condition, their order, expressions as libpcap compiles them, and the flow's memory of what was decided.
#include "dataplane/qos/rule.hh"

#include <gtest/gtest.h>
#include <pcap/pcap.h>

#include "dataplane/qos/flow_classifier.hh"
#include "tests/unit/dataplane/packet/packet_maker.hh"

namespace qanat::qos {
namespace {

using ids::Tier;
using test::PacketMaker;

std::vector<BpfInstruction> compile(const char* expression) {
  pcap_t* const pcap = pcap_open_dead(DLT_RAW, 65535);
  bpf_program program{};
  EXPECT_EQ(pcap_compile(pcap, &program, expression, 1, PCAP_NETMASK_UNKNOWN), 0) << pcap_geterr(pcap);
  std::vector<BpfInstruction> out;
  for (unsigned i = 0; i < program.bf_len; ++i)
    out.push_back(
        {program.bf_insns[i].code, program.bf_insns[i].jt, program.bf_insns[i].jf, program.bf_insns[i].k});
  pcap_freecode(&program);
  pcap_close(pcap);
  return out;
}

std::optional<Tier> match(const Rule& rule, const PacketMaker& maker, std::uint32_t vni = 100) {
  const test::Octets packet = maker.make();
  return RuleSet({rule}).match(ids::Vni{vni}, *packet::IpView::parse(packet), packet);
}

TEST(Rule, EveryConditionThatIsSetHasToHold) {
  PacketMaker p;  // TCP, 100.96.1.1:40000 → 100.96.2.1:9000
  p.traffic_class = 46 << 2;
  struct Case {
    const char* what;
    void (*set)(Rule&);
    bool fits;
  };
  const std::vector<Case> cases{
      {"nothing set", [](Rule&) {}, true},
      {"its tenant", [](Rule& r) { r.tenant = ids::Vni{100}; }, true},
      {"another tenant", [](Rule& r) { r.tenant = ids::Vni{101}; }, false},
      {"its DSCP", [](Rule& r) { r.dscp = 46; }, true},
      {"another DSCP", [](Rule& r) { r.dscp = 10; }, false},
      {"its protocol", [](Rule& r) { r.protocol = 6; }, true},
      {"another protocol", [](Rule& r) { r.protocol = 17; }, false},
      {"its source", [](Rule& r) { r.source = packet::parse_ip_prefix("100.96.0.0/16"); }, true},
      {"another source", [](Rule& r) { r.source = packet::parse_ip_prefix("10.0.0.0/8"); }, false},
      {"its destination", [](Rule& r) { r.destination = packet::parse_ip_prefix("100.96.2.1/32"); }, true},
      {"another destination", [](Rule& r) { r.destination = packet::parse_ip_prefix("100.96.2.2/32"); },
       false},
      {"a source of the other family", [](Rule& r) { r.source = packet::parse_ip_prefix("::/0"); }, false},
      {"its port",
       [](Rule& r) {
         r.destination_ports = {9000, 9000};
       },
       true},
      {"a range around its port",
       [](Rule& r) {
         r.source_ports = {1024, 50000};
       },
       true},
      {"another port",
       [](Rule& r) {
         r.destination_ports = {9001, 65535};
       },
       false},
      {"an expression", [](Rule& r) { r.program = compile("tcp dst port 9000"); }, true},
      {"an expression that does not", [](Rule& r) { r.program = compile("udp or tcp dst port 9001"); },
       false},
      {"one that fits, one that does not",
       [](Rule& r) {
         r.dscp = 46;
         r.destination_ports = {80, 80};
       },
       false},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    Rule rule;
    rule.tier = Tier::Interactive;
    c.set(rule);
    EXPECT_EQ(match(rule, p).has_value(), c.fits);
  }
}

TEST(Rule, PortsAreOfTcpAndUdpAndNoFragment) {
  Rule rule;
  rule.destination_ports = {9000, 9000};
  PacketMaker p;
  p.protocol = 17;
  EXPECT_TRUE(match(rule, p));
  p.fragment = 0x2000;
  EXPECT_FALSE(match(rule, p));
}

TEST(Rule, TheFirstThatFitsDecides) {
  Rule narrow, wide;
  narrow.destination_ports = {9000, 9000};
  narrow.tier = Tier::Interactive;
  wide.tier = Tier::Scavenger;
  const RuleSet rules({narrow, wide});
  PacketMaker p;
  const auto first = p.make();
  p.destination_port = 9001;
  const auto second = p.make();
  EXPECT_EQ(rules.match(ids::Vni{1}, *packet::IpView::parse(first), first), Tier::Interactive);
  EXPECT_EQ(rules.match(ids::Vni{1}, *packet::IpView::parse(second), second), Tier::Scavenger);
}

TEST(Rule, ProgramsThatCouldRunAwayAreNotValid) {
  EXPECT_TRUE(valid_program(compile("ip6 and tcp")));
  EXPECT_TRUE(valid_program(compile("ip[8] * 3 % 7 = 1 or (tcp[13] ^ 3) & 1 != 0 or len > 100")));
  EXPECT_FALSE(valid_program({}));
  EXPECT_FALSE(valid_program({{0x05, 0, 0, 1000}}));                         // ja beyond the end
  EXPECT_FALSE(valid_program({{0x00, 0, 0, 0}}));                            // no return
  EXPECT_FALSE(valid_program({{0x05, 0, 0, 0xffffffff}, {0x06, 0, 0, 1}}));  // ja to itself, for ever
  EXPECT_FALSE(valid_program({{0xff06, 0, 0, 1}}));                          // no such instruction
}

TEST(FlowClassifier, AsksTheRulesOncePerFlow) {
  Rule rule;
  rule.program = compile("dst port 9000");
  rule.tier = Tier::Critical;
  const RuleSet rules({rule});
  FlowClassifier classifier;
  classifier.set_rules(&rules);
  base::Time now{std::chrono::seconds{100}};
  PacketMaker p;
  const auto tier = [&] {
    const auto packet = p.make();
    return classifier.tier(ids::Vni{1}, *packet::IpView::parse(packet), packet, now);
  };
  for (int i = 0; i < 10; ++i) EXPECT_EQ(tier(), Tier::Critical);
  EXPECT_EQ(classifier.asked(), 1u);
  p.destination_port = 9001;
  EXPECT_EQ(tier(), Tier::Bulk);
  EXPECT_EQ(classifier.asked(), 2u);
  p.traffic_class = 1 << 2;  // the same flow, asking for less
  EXPECT_EQ(tier(), Tier::Scavenger);
  now += FlowClassifier::kIdle + std::chrono::seconds{1};
  EXPECT_EQ(tier(), Tier::Scavenger);
  EXPECT_EQ(classifier.asked(), 4u);
}

TEST(FlowClassifier, WithoutRulesItIsTheDscp) {
  FlowClassifier classifier;
  const RuleSet none;
  classifier.set_rules(&none);
  PacketMaker p;
  p.traffic_class = 34 << 2;
  const auto packet = p.make();
  EXPECT_EQ(classifier.tier(ids::Vni{1}, *packet::IpView::parse(packet), packet, {}), Tier::Interactive);
  EXPECT_EQ(classifier.asked(), 0u);
}

}  // namespace
}  // namespace qanat::qos
