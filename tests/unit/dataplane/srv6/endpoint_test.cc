// An SRv6 node's endpoint behaviours (RFC 8986 §4): {packet in, disposition, packet out}, one test per drop reason.
#include <gmock/gmock.h>

#include "dataplane/packet/byte_order.hh"
#include "dataplane/srv6/counters.hh"
#include "tests/unit/dataplane/srv6/outer_maker.hh"

namespace qanat::test {
namespace {

using packet::DropReason;
using srv6::IcmpError;
using Action = srv6::Disposition::Action;

class Srv6Endpoint : public Edge {
 protected:
  // fc00:a::SID, then fc00:b::e, then fc00:c::d6; at the first.
  static OuterMaker travelling(const char* sid) {
    OuterMaker o;
    o.destination = ip(sid);
    o.list = {ip("fc00:c::d6"), ip("fc00:b::e"), ip(sid)};
    o.segments_left = 2;
    o.inner = inner6();
    return o;
  }
  // Through fc00:b::e to fc00:a::SID, where it has arrived.
  static OuterMaker arrived(const char* sid, std::uint8_t next, Octets inner) {
    OuterMaker o;
    o.destination = ip(sid);
    o.list = {ip(sid), ip("fc00:b::e")};
    o.next_header = next;
    o.inner = std::move(inner);
    return o;
  }
  static Octets echo_request(const packet::IpAddress& from, const packet::IpAddress& to) {
    Octets message{128, 0, 0, 0, 0, 7, 0, 1, 'q', 'a', 'n'};
    Octets pseudo(32);
    from.to_bytes(pseudo.data());
    to.to_bytes(pseudo.data() + 16);
    const auto start = PacketMaker::sum(pseudo, 0, static_cast<std::uint32_t>(message.size()) + 58);
    packet::store_be16(&message[2], static_cast<std::uint16_t>(~PacketMaker::sum(message, 0, start)));
    return message;
  }
  void expect_drop(const Octets& packet, DropReason reason, std::optional<IcmpError> error = {}) {
    const auto d = give(packet);
    EXPECT_EQ(d.action, Action::Drop);
    EXPECT_EQ(d.reason, reason) << packet::to_string(d.reason);
    EXPECT_EQ(d.error, error);
    EXPECT_EQ(after, packet) << "a dropped packet is as it came";
  }
};

TEST_F(Srv6Endpoint, EndMovesOn) {
  OuterMaker o = travelling("fc00:a::e");
  const auto d = give(o.make());
  EXPECT_EQ(d.action, Action::Forward);
  EXPECT_EQ(d.link, 0);
  o.destination = ip("fc00:b::e");
  o.segments_left = 1;
  o.hop_limit = 63;
  EXPECT_EQ(after, o.make());
}

TEST_F(Srv6Endpoint, EndTakesTheFirstOfAReducedList) {
  OuterMaker o = travelling("fc00:a::e");
  o.list.pop_back();  // the destination was not listed: segments left is last entry + 1
  EXPECT_EQ(give(o.make()).action, Action::Forward);
  o.destination = ip("fc00:b::e");
  o.segments_left = 1;
  o.hop_limit = 63;
  EXPECT_EQ(after, o.make());
}

TEST_F(Srv6Endpoint, PspTakesTheHeaderOffBeforeTheLastSegment) {
  OuterMaker o = travelling("fc00:a::e1");
  o.list = {ip("fc00:c::d6"), ip("fc00:a::e1")};
  o.segments_left = 1;
  EXPECT_EQ(give(o.make()).action, Action::Forward);
  o.srh = false;
  o.destination = ip("fc00:c::d6");
  o.hop_limit = 63;
  EXPECT_EQ(after, o.make());
  // Not earlier.
  give(travelling("fc00:a::e1").make());
  EXPECT_EQ(after.size(), travelling("fc00:a::e1").make().size());
}

TEST_F(Srv6Endpoint, UsdForwardsWhatIsInside) {
  const auto d = give(arrived("fc00:a::e2", srv6::kNextIpv6, inner6()).make());
  EXPECT_EQ(d.action, Action::Forward);
  EXPECT_EQ(after, inner6());
}

TEST_F(Srv6Endpoint, EndXNamesItsLink) {
  const auto d = give(travelling("fc00:a::e6").make());
  EXPECT_EQ(d.action, Action::Forward);
  EXPECT_EQ(d.link, 1);
}

TEST_F(Srv6Endpoint, DecapsulatesForATable) {
  for (const char* sid : {"fc00:a::d6", "fc00:a::d46"}) {
    const auto d = give(arrived(sid, srv6::kNextIpv6, inner6()).make());
    EXPECT_EQ(d.action, Action::Table) << sid;
    EXPECT_EQ(d.vni, ids::Vni{100});
    EXPECT_EQ(after, inner6());
  }
  for (const char* sid : {"fc00:a::d4", "fc00:a::d46"}) {
    EXPECT_EQ(give(arrived(sid, srv6::kNextIpv4, inner4()).make()).action, Action::Table) << sid;
    EXPECT_EQ(after, inner4());
  }
}

TEST_F(Srv6Endpoint, ASidNamesItsTier) {
  EXPECT_EQ(give(arrived("fc00:a::d6", srv6::kNextIpv6, inner6()).make()).tier, ids::Tier::Critical);
  EXPECT_EQ(give(arrived("fc00:a::d4", srv6::kNextIpv4, inner4()).make()).tier, std::nullopt);
}

TEST_F(Srv6Endpoint, DecapsulatesWithoutAnSrh) {
  OuterMaker o = arrived("fc00:a::d6", srv6::kNextIpv6, inner6());
  o.srh = false;
  EXPECT_EQ(give(o.make()).action, Action::Table);
  EXPECT_EQ(after, inner6());
}

TEST_F(Srv6Endpoint, DecapsulatesForACrossConnect) {
  EXPECT_EQ(give(arrived("fc00:a::c4", srv6::kNextIpv4, inner4()).make()).action, Action::CrossConnect);
  EXPECT_EQ(after, inner4());
  EXPECT_EQ(give(arrived("fc00:a::c6", srv6::kNextIpv6, inner6()).make()).action, Action::CrossConnect);
  EXPECT_EQ(after, inner6());
}

TEST_F(Srv6Endpoint, CongestionOfTheWayReachesTheInnerPacket) {
  PacketMaker ect;
  ect.traffic_class = 2;
  ect.protocol = 17;
  OuterMaker o = arrived("fc00:a::d4", srv6::kNextIpv4, ect.make());
  o.traffic_class = 3;
  EXPECT_EQ(give(o.make()).action, Action::Table);
  ect.traffic_class = 3;
  EXPECT_EQ(after, ect.make()) << "marked, with its checksum";
  ect.traffic_class = 0;
  o.inner = ect.make();
  expect_drop(o.make(), DropReason::Shed);
  PacketMaker six = over_v6(ect);
  six.traffic_class = 1;
  o = arrived("fc00:a::d6", srv6::kNextIpv6, six.make());
  o.traffic_class = 3;
  EXPECT_EQ(give(o.make()).action, Action::Table);
  six.traffic_class = 3;
  EXPECT_EQ(after, six.make());
}

TEST_F(Srv6Endpoint, BindingSidPutsThePacketIntoItsPolicy) {
  OuterMaker o = travelling("fc00:a::b6");
  o.traffic_class = 0xb8;
  const auto d = give(o.make());
  EXPECT_EQ(d.action, Action::Forward);
  ASSERT_NE(d.policy, srv6::Tables::kNone);
  o.destination = ip("fc00:b::e");
  o.segments_left = 1;
  o.hop_limit = 63;
  OuterMaker around;
  around.source = ip("fc00:a::1");
  around.destination = ip("fc00:b::e");
  around.traffic_class = 0xb8;
  around.list = {ip("fc00:d::d6"), ip("fc00:c::e"), ip("fc00:b::e")};
  around.segments_left = 2;
  around.inner = o.make();
  EXPECT_EQ(after, around.make());
}

TEST_F(Srv6Endpoint, BindingSidOfTheOverlayGoesToItsTable) {
  OuterMaker o = travelling("fc00:a::b0");
  const auto d = give(o.make());
  EXPECT_EQ(d.action, Action::Table);
  EXPECT_EQ(d.vni, ids::Vni{100});
  o.destination = ip("fc00:b::e");
  o.segments_left = 1;
  o.hop_limit = 63;
  EXPECT_EQ(after, o.make()) << "the SRv6 packet itself is what the overlay carries";
}

TEST_F(Srv6Endpoint, AnswersAPing) {
  OuterMaker o = arrived("fc00:a::e", srv6::kNextIcmpV6, {});
  o.inner = echo_request(o.source, o.destination);
  EXPECT_EQ(give(o.make()).action, Action::Reply);
  OuterMaker reply;
  reply.source = o.destination;
  reply.destination = o.source;
  reply.srh = false;
  reply.next_header = srv6::kNextIcmpV6;
  reply.inner = echo_request(o.destination, o.source);
  reply.inner[0] = 129;
  packet::store_be16(&reply.inner[2], static_cast<std::uint16_t>(packet::load_be16(&o.inner[2]) - 0x100));
  EXPECT_EQ(after, reply.make());
  o.inner[8] ^= 1;
  expect_drop(o.make(), DropReason::Srv6UpperLayer, IcmpError{IcmpError::kParameterProblem, 4, 40 + 8 + 32});
}

TEST_F(Srv6Endpoint, DropsAnUnknownSid) {
  OuterMaker o = travelling("fc00:a::e");
  o.destination = ip("fc00:a::77");
  expect_drop(o.make(), DropReason::Srv6NoSid);
}

TEST_F(Srv6Endpoint, DropsASourceOutsideTheDomain) {
  OuterMaker o = travelling("fc00:a::e");
  o.source = ip("2001:db8::1");
  expect_drop(o.make(), DropReason::Srv6Source);
}

TEST_F(Srv6Endpoint, DropsALoop) {
  OuterMaker o = travelling("fc00:a::e");
  o.list = {ip("fc00:c::d6"), ip("fc00:b::e"), ip("fc00:a::e"), ip("fc00:b::e"), ip("fc00:a::e")};
  o.segments_left = 4;
  expect_drop(o.make(), DropReason::Srv6Loop);
}

TEST_F(Srv6Endpoint, DropsAUsedUpHopLimitAndSaysSo) {
  for (const std::uint8_t hops : {0, 1}) {
    OuterMaker o = travelling("fc00:a::e");
    o.hop_limit = hops;
    expect_drop(o.make(), DropReason::Srv6HopLimit, IcmpError{IcmpError::kTimeExceeded, 0, 0});
  }
  OuterMaker o = arrived("fc00:a::d6", srv6::kNextIpv6, inner6());
  o.hop_limit = 1;
  EXPECT_EQ(give(o.make()).action, Action::Table) << "it has arrived: its hop limit is not looked at";
}

TEST_F(Srv6Endpoint, DropsSegmentsLeftThatCannotBe) {
  OuterMaker o = travelling("fc00:a::e");
  o.segments_left = 4;
  const IcmpError at{IcmpError::kParameterProblem, 0, 43};
  expect_drop(o.make(), DropReason::Srv6SegmentsLeft, at);
  o = arrived("fc00:a::d6", srv6::kNextIpv6, inner6());
  o.segments_left = 1;
  expect_drop(o.make(), DropReason::Srv6SegmentsLeft, at);
}

TEST_F(Srv6Endpoint, DropsAnUpperLayerThatTheSidDoesNotTake) {
  const IcmpError at{IcmpError::kParameterProblem, 4, 80};
  expect_drop(arrived("fc00:a::d6", srv6::kNextIpv4, inner4()).make(), DropReason::Srv6UpperLayer, at);
  expect_drop(arrived("fc00:a::d4", srv6::kNextIpv6, inner6()).make(), DropReason::Srv6UpperLayer, at);
  expect_drop(arrived("fc00:a::e", srv6::kNextIpv6, inner6()).make(), DropReason::Srv6UpperLayer, at);
  expect_drop(arrived("fc00:a::e", 17, Octets(20)).make(), DropReason::Srv6UpperLayer, at);
}

TEST_F(Srv6Endpoint, DropsWhatIsNotWhatItSays) {
  expect_drop(arrived("fc00:a::d6", srv6::kNextIpv6, inner4()).make(), DropReason::InnerMalformed);
  expect_drop(arrived("fc00:a::d4", srv6::kNextIpv4, {}).make(), DropReason::InnerMalformed);
  expect_drop(arrived("fc00:a::d4", srv6::kNextIpv4, {0x45, 0}).make(), DropReason::InnerMalformed);
}

TEST_F(Srv6Endpoint, DropsMalformedHeaders) {
  const Octets good = travelling("fc00:a::e").make();
  Octets version = good;
  version[0] = 0x45;
  expect_drop(version, DropReason::Srv6Malformed);
  expect_drop(Octets(good.begin(), good.begin() + 39), DropReason::Srv6Malformed);
  expect_drop(Octets(good.begin(), good.end() - 1), DropReason::Srv6Malformed);
  OuterMaker o = travelling("fc00:a::e");
  o.last_entry = 3;  // overruns the header
  expect_drop(o.make(), DropReason::Srv6Malformed);
  o = travelling("fc00:a::e");
  o.routing_type = 0;  // RFC 5095
  expect_drop(o.make(), DropReason::Srv6Malformed);
  o = travelling("fc00:a::e");
  o.tlvs = {4, 7, 0, 0, 0, 0, 0, 0};  // PadN of 7 in a header with room for 6
  expect_drop(o.make(), DropReason::Srv6Malformed);
  o.tlvs = {4, 6, 0, 0, 0, 0, 0, 0};
  EXPECT_EQ(give(o.make()).action, Action::Forward);
  o = travelling("fc00:a::e");
  while (o.list.size() <= srv6::kMaxListSegments)
    o.list.insert(o.list.begin(), packet::IpAddress{packet::IpFamily::V6, 0xfc00000d00000000, o.list.size()});
  expect_drop(o.make(), DropReason::Srv6Malformed);
}

class Srv6Hmac : public Srv6Endpoint {
 protected:
  static Octets keyed(const char* sid, std::uint32_t key = 17, const char* secret = "sesame") {
    OuterMaker o = travelling(sid);
    o.tlvs.assign(srv6::kHmacTlvBytes, 0);
    o.tlvs[0] = 5;
    o.tlvs[1] = 38;
    Octets packet = o.make();
    const auto srh = srv6::Srh::parse(packet, 40);
    if (!srh) throw std::logic_error("the maker's own header");
    srv6::write_hmac({key, {secret, secret + std::strlen(secret)}}, packet, *srh, false);
    return packet;
  }
};

TEST_F(Srv6Hmac, AValidOnePasses) {
  EXPECT_EQ(give(keyed("fc00:a::e5")).action, Action::Forward);
  EXPECT_EQ(give(keyed("fc00:a::e")).action, Action::Forward);
}

TEST_F(Srv6Hmac, IsWhatASecondImplementationComputes) {
  // printf 'source ‖ last entry ‖ flags ‖ key id ‖ list' | openssl dgst -sha256 -hmac sesame
  const Octets packet = keyed("fc00:a::e");
  const Octets digest(packet.begin() + 40 + 8 + 48 + 8, packet.begin() + 40 + 8 + 48 + 40);
  std::string hex;
  for (const auto b : digest) {
    hex += "0123456789abcdef"[b >> 4];
    hex += "0123456789abcdef"[b & 15];
  }
  EXPECT_EQ(hex, "497a39dff844f5bd0423d2ae6fc80c23094c8f273fd122d24d8d372e88f2d660");
}

TEST_F(Srv6Hmac, WrongUnknownOrMissingOnesAreDropped) {
  for (const char* sid : {"fc00:a::e", "fc00:a::e5"}) {
    expect_drop(keyed(sid, 17, "open"), DropReason::Srv6Hmac);
    expect_drop(keyed(sid, 18), DropReason::Srv6Hmac);
    // Everything that it covers: source, last entry's flags, key id, list, digest.
    for (const std::size_t at : {23u, 45u, 103u, 50u, 64u, 130u}) {
      Octets altered = keyed(sid);
      altered[at] ^= 1;
      expect_drop(altered, DropReason::Srv6Hmac);
    }
  }
  expect_drop(travelling("fc00:a::e5").make(), DropReason::Srv6Hmac);
  OuterMaker bare = arrived("fc00:a::e5", srv6::kNextIpv6, inner6());
  bare.srh = false;
  expect_drop(bare.make(), DropReason::Srv6Hmac);
}

TEST_F(Srv6Hmac, TheDestinationIsTheListsUnlessItIsReduced) {
  Octets elsewhere = keyed("fc00:a::e5");
  elsewhere[43] = 1;  // segments left: the list says fc00:b::e, the packet is at fc00:a::e5
  expect_drop(elsewhere, DropReason::Srv6Hmac);
}

TEST_F(Srv6Endpoint, ErrorsQuoteThePacketAndNeverAnswerErrors) {
  OuterMaker o = travelling("fc00:a::e");
  o.inner = some_bytes(1400);
  const Octets packet = o.make();
  Octets out(srv6::kIcmpErrorBytes);
  const IcmpError error{IcmpError::kTimeExceeded, 0, 0};
  ASSERT_EQ(srv6::make_icmp_error(tables->address(), packet, error, out), 1280u);
  EXPECT_EQ(packet::IpAddress::from_bytes(packet::IpFamily::V6, &out[8]), ip("fc00:a::1"));
  EXPECT_EQ(packet::IpAddress::from_bytes(packet::IpFamily::V6, &out[24]), o.source);
  EXPECT_TRUE(std::equal(packet.begin(), packet.begin() + 1232, out.begin() + 48));
  const auto start = PacketMaker::sum(Octets(out.begin() + 8, out.begin() + 40), 0, 1240 + 58);
  EXPECT_EQ(PacketMaker::sum(out, 40, start), 0xffff);
  OuterMaker about = travelling("fc00:a::e");
  about.next_header = srv6::kNextIcmpV6;
  about.inner = {1, 0, 0, 0, 0, 0, 0, 0};
  EXPECT_EQ(srv6::make_icmp_error(tables->address(), about.make(), error, out), 0u);
  about.inner[0] = 128;
  EXPECT_GT(srv6::make_icmp_error(tables->address(), about.make(), error, out), 0u);
  about.source = ip("ff02::1");
  EXPECT_EQ(srv6::make_icmp_error(tables->address(), about.make(), error, out), 0u);
}

TEST(IcmpLimiter, AllowsABurstAndARate) {
  srv6::IcmpLimiter limiter;
  base::Time now{std::chrono::hours{1}};
  unsigned allowed = 0;
  for (int i = 0; i < 1000; ++i) allowed += limiter.allows(now);
  EXPECT_EQ(allowed, srv6::IcmpLimiter::kBurst);
  for (int i = 0; i < 1000; ++i) allowed += limiter.allows(now += std::chrono::milliseconds{1});
  EXPECT_NEAR(allowed, srv6::IcmpLimiter::kBurst + srv6::IcmpLimiter::kPerSecond, 1);
}

TEST_F(Srv6Endpoint, CountsPerSid) {
  srv6::EdgeCounters counters(*tables);
  const Octets good = travelling("fc00:a::e").make();
  counters.count(give(good), good.size());
  OuterMaker o = travelling("fc00:a::e");
  o.hop_limit = 1;
  counters.count(give(o.make()), good.size());
  const auto index = tables->sid(ip("fc00:a::e"));
  EXPECT_EQ(counters.sid(index).packets, 1u);
  EXPECT_EQ(counters.sid(index).bytes, good.size());
  EXPECT_EQ(counters.sid(index).drops, 1u);
}

}  // namespace
}  // namespace qanat::test
