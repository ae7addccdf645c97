// A tenant's policy: labels, first fit, default deny, and flows that were opened are answered: at both ends of the way.
#include "dataplane/forwarder/flow_table.hh"

#include <gtest/gtest.h>

#include "dataplane/packet/byte_order.hh"
#include "tests/unit/dataplane/forwarder/neighbour.hh"
#include "tests/unit/dataplane/packet/packet_maker.hh"

namespace qanat::test {
namespace {

using fib::Acl;
using forwarder::FlowTable;
using ids::NodeId;
using packet::DropReason;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr NodeId kWeb{1};
constexpr NodeId kDb{4};
constexpr NodeId kOther{5};
constexpr ids::Vni kVni{100};
constexpr std::uint8_t kFin = 0x11;
constexpr std::uint8_t kSyn = 0x02;
constexpr std::uint8_t kAck = 0x10;
constexpr std::uint8_t kRst = 0x04;

std::vector<fib::AclRule> rules(std::initializer_list<const char*> texts) {
  std::vector<fib::AclRule> out;
  for (const char* text : texts) {
    const auto rule = ids::parse_acl_rule(text);
    EXPECT_TRUE(rule) << text;
    if (rule) out.push_back(*rule);
  }
  return out;
}

Acl acl(std::initializer_list<const char*> texts) {
  return Acl(rules(texts), {{kWeb, {"web", "edge"}}, {kDb, {"db"}}, {kOther, {}}});
}

TEST(AclRule, RoundTripsAndRefuses) {
  for (const char* text : {"allow web -> db tcp/5432", "deny * -> db", "allow * -> * udp/1000-2000",
                           "allow a -> b icmp", "allow a -> b 47", "allow a_b -> c-d icmpv6"}) {
    const auto rule = ids::parse_acl_rule(text);
    ASSERT_TRUE(rule) << text;
    EXPECT_EQ(ids::to_string(*rule), text);
  }
  for (const char* text : {"", "allow web db", "permit a -> b", "allow A -> b", "allow a -> b tcp/",
                           "allow a -> b tcp/9-1", "allow a -> b icmp/8", "allow a -> b tcp/70000",
                           "allow a -> b 300", "allow a -> b tcp 5", "allow  -> b"})
    EXPECT_FALSE(ids::parse_acl_rule(text)) << text;
}

TEST(Acl, TheFirstRuleThatFitsDecidesAndNoneDenies) {
  const Acl a =
      acl({"deny web -> db tcp/22", "allow web -> db tcp", "allow edge -> * udp/53", "allow db -> nobody"});
  EXPECT_FALSE(a.opens(kWeb, kDb, 6, 22));
  EXPECT_TRUE(a.opens(kWeb, kDb, 6, 5432));
  EXPECT_FALSE(a.opens(kDb, kWeb, 6, 5432));
  EXPECT_FALSE(a.opens(kWeb, kDb, 17, 54));
  EXPECT_TRUE(a.opens(kWeb, kOther, 17, 53));
  EXPECT_FALSE(a.opens(kWeb, kOther, 17, 53, false)) << "a fragment has no ports";
  EXPECT_TRUE(a.opens(kWeb, kDb, 6, 0, false)) << "a rule over all ports takes fragments";
  EXPECT_FALSE(a.opens(kDb, kWeb, 6, 1)) << "a label that nobody has fits nobody";
  EXPECT_FALSE(acl({}).opens(kWeb, kDb, 6, 1));
  EXPECT_FALSE(a.opens(NodeId{77}, kDb, 6, 5432));
}

class Flows : public ::testing::Test {
 protected:
  Flows() { table.advance(now); }
  void pass(base::Duration time) { table.advance(now += time); }
  static PacketMaker tcp(std::uint8_t flags) {
    PacketMaker p;
    p.source_port = 40000;
    p.destination_port = 5432;
    p.flags = flags;
    return p;
  }
  static PacketMaker answer(PacketMaker p) {
    std::swap(p.source, p.destination);
    std::swap(p.source_port, p.destination_port);
    return p;
  }
  bool admits(const Acl& by, NodeId from, NodeId to, const Octets& packet, ids::Vni vni = kVni) {
    const auto view = packet::IpView::parse(packet);
    EXPECT_TRUE(view.has_value());
    return table.admits(vni, by, from, to, *view, packet);
  }
  base::Time now{std::chrono::hours{1}};
  FlowTable table{7};
  Acl policy = acl({"allow web -> db tcp/5432", "allow web -> db udp"});
};

TEST_F(Flows, AnswersPassAndNothingElseDoes) {
  EXPECT_FALSE(admits(policy, kDb, kWeb, answer(tcp(kSyn | kAck)).make())) << "an answer to nothing";
  EXPECT_TRUE(admits(policy, kWeb, kDb, tcp(kSyn).make()));
  EXPECT_TRUE(admits(policy, kDb, kWeb, answer(tcp(kSyn | kAck)).make()));
  EXPECT_TRUE(admits(policy, kDb, kWeb, answer(tcp(kAck)).make()));
  EXPECT_FALSE(admits(policy, kDb, kWeb, answer(tcp(kSyn)).make()))
      << "a connection the other way on the same ports";
  PacketMaker other = answer(tcp(kAck));
  other.destination_port = 40001;
  EXPECT_FALSE(admits(policy, kDb, kWeb, other.make()));
  EXPECT_FALSE(admits(policy, kDb, kWeb, answer(tcp(kAck)).make(), ids::Vni{200})) << "another tenant's flow";
  PacketMaker elsewhere = tcp(kSyn);
  elsewhere.destination = packet::IpAddress::v4(0x64600501);
  EXPECT_FALSE(admits(policy, kWeb, kOther, elsewhere.make()));
}

TEST_F(Flows, IdleAndClosedFlowsAreForgotten) {
  PacketMaker udp = tcp(0);
  udp.protocol = 17;
  admits(policy, kWeb, kDb, udp.make());
  pass(minutes{2});
  EXPECT_TRUE(admits(policy, kDb, kWeb, answer(udp).make())) << "and that keeps it";
  pass(minutes{2});
  EXPECT_TRUE(admits(policy, kDb, kWeb, answer(udp).make()));
  pass(FlowTable::kOtherIdle + seconds{1});
  EXPECT_FALSE(admits(policy, kDb, kWeb, answer(udp).make()));

  for (const std::uint8_t end : {kFin, kRst}) {
    admits(policy, kWeb, kDb, tcp(kSyn).make());
    pass(minutes{30});
    EXPECT_TRUE(admits(policy, kDb, kWeb, answer(tcp(kAck)).make()));
    EXPECT_TRUE(admits(policy, kDb, kWeb, answer(tcp(end)).make()));
    EXPECT_TRUE(admits(policy, kDb, kWeb, answer(tcp(kAck)).make())) << "the last words";
    pass(FlowTable::kClosing + seconds{1});
    EXPECT_FALSE(admits(policy, kDb, kWeb, answer(tcp(kAck)).make()));
  }
}

TEST_F(Flows, ANewPolicyCutsWhatItNoLongerAllows) {
  admits(policy, kWeb, kDb, tcp(kSyn).make());
  table.renew();
  EXPECT_TRUE(admits(policy, kDb, kWeb, answer(tcp(kAck)).make())) << "the same rules: it goes on";
  table.renew();
  const Acl closed = acl({"allow web -> db udp"});
  EXPECT_FALSE(admits(closed, kDb, kWeb, answer(tcp(kAck)).make()));
  EXPECT_FALSE(admits(closed, kWeb, kDb, tcp(kAck).make()));
}

TEST_F(Flows, IcmpErrorsAboutKnownFlowsPass) {
  for (const bool v4 : {true, false}) {
    PacketMaker about = v4 ? tcp(kSyn) : over_v6(tcp(kSyn));
    const Octets quoted = about.make();
    PacketMaker error = v4 ? PacketMaker{} : over_v6({});
    std::swap(error.source, error.destination);
    error.protocol = v4 ? 1 : 58;
    Octets packet = error.make();
    packet.resize(v4 ? 20 : 40);
    const Octets head{static_cast<std::uint8_t>(v4 ? 3 : 2), 4, 0, 0, 0, 0, 5, 0};
    packet.insert(packet.end(), head.begin(), head.end());
    packet.insert(packet.end(), quoted.begin(), quoted.end());
    packet::store_be16(&packet[v4 ? 2 : 4], static_cast<std::uint16_t>(packet.size() - (v4 ? 0 : 40)));
    EXPECT_FALSE(admits(policy, kDb, kWeb, packet)) << "about nothing";
    EXPECT_TRUE(admits(policy, kWeb, kDb, quoted));
    EXPECT_TRUE(admits(policy, kDb, kWeb, packet));
    packet[v4 ? 20 : 40] = v4 ? 8 : 128;
    EXPECT_FALSE(admits(policy, kDb, kWeb, packet)) << "a ping is no error";
  }
}

TEST_F(Flows, IsBoundedAndForgetsTheStalest) {
  PacketMaker p = tcp(0);
  p.protocol = 17;
  constexpr std::uint32_t kMany = FlowTable::kSets * FlowTable::kWays * 2;
  for (std::uint32_t i = 0; i < kMany; ++i) {
    p.source = packet::IpAddress::v4(0x0a000000 + i);
    ASSERT_TRUE(admits(policy, kWeb, kDb, p.make()));
    if (i % 1024 == 0) pass(std::chrono::milliseconds{1});
  }
  EXPECT_GE(table.evictions(), kMany / 2);
  EXPECT_TRUE(admits(policy, kDb, kWeb, answer(p).make())) << "the newest is known";
}

// Both ends hold to the policy: a box's own tenant, and an enrolled headend that does not care for it.
class Policy : public ::testing::Test {
 protected:
  Policy() {
    for (const std::uint32_t id : {1u, 4u}) overlay.add_node(id, false, {1});
    overlay.add_tenant(100, {1, 4});
    box = std::make_unique<forwarder::Forwarder>(overlay.options(4));
    box->set_unix_time(1'800'000'000);
    set({"allow db -> web udp/53"});
    one = std::make_unique<Neighbour>(overlay, 1, 4);
    EXPECT_TRUE(one->meet(*box, now));
  }
  void set(std::initializer_list<const char*> texts) {
    box->set_snapshot(overlay.snapshot(4, 1,
                                       [&](SnapshotParts& parts) {
                                         parts.tenants[0].rules = rules(texts);
                                         parts.tenants[0].members[0].labels = {"web"};
                                         parts.tenants[0].members[1].labels = {"db"};
                                       }),
                      now);
  }
  static Octets udp(std::uint32_t from, std::uint32_t to, std::uint16_t source, std::uint16_t destination) {
    PacketMaker p;
    p.source = Overlay::tenant_address(from);
    p.destination = Overlay::tenant_address(to);
    p.protocol = 17;
    p.source_port = source;
    p.destination_port = destination;
    p.payload.assign(50, 1);
    return p.make();
  }
  bool arrives(const Octets& inner) {
    packet::InnerHeader header;
    header.vni = kVni;
    one->give(*box, one->sealed(header, inner), now);
    const bool delivered = !box->deliver().empty();
    box->delivered();
    return delivered;
  }
  void send(const Octets& inner) {
    Octets frame(packet::VirtioHeader::kBytes);
    frame.insert(frame.end(), inner.begin(), inner.end());
    box->on_tun_packet(kVni, frame, now);
    box->transmitted();
  }
  base::Time now{std::chrono::hours{1}};
  Overlay overlay{12};
  std::unique_ptr<forwarder::Forwarder> box;
  std::unique_ptr<Neighbour> one;
};

TEST_F(Policy, TheEgressDropsWhatAHeadendShouldNotHaveSent) {
  EXPECT_FALSE(arrives(udp(1, 4, 53, 40000)));
  EXPECT_EQ(box->drops()[DropReason::AclDenied], 1u);
  send(udp(4, 1, 40000, 53));
  EXPECT_EQ(box->drops()[DropReason::AclDenied], 1u);
  EXPECT_TRUE(arrives(udp(1, 4, 53, 40000))) << "the answer";
  EXPECT_FALSE(arrives(udp(1, 4, 53, 40001)));
  EXPECT_EQ(box->drops()[DropReason::AclDenied], 2u);
}

TEST_F(Policy, TheIngressDropsWhatItsTenantMayNotSend) {
  send(udp(4, 1, 40000, 54));
  EXPECT_EQ(box->drops()[DropReason::AclDenied], 1u);
}

TEST_F(Policy, RulesThatGoTakeTheirFlowsWithThem) {
  send(udp(4, 1, 40000, 53));
  EXPECT_TRUE(arrives(udp(1, 4, 53, 40000)));
  set({});
  EXPECT_FALSE(arrives(udp(1, 4, 53, 40000)));
  EXPECT_EQ(box->drops()[DropReason::AclDenied], 1u);
}

}  // namespace
}  // namespace qanat::test
