// Tenants' packets: addresses and prefixes, the bounded header walk, the symmetric flow hash, checksums.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <set>

#include "dataplane/packet/checksum.hh"
#include "dataplane/packet/ip_view.hh"
#include "tests/unit/dataplane/packet/packet_maker.hh"

namespace qanat::packet {
namespace {

using test::Octets;
using test::over_v6;
using test::PacketMaker;
using test::some_bytes;

TEST(IpAddress, TextRoundTrips) {
  for (const char* text : {"0.0.0.0", "100.96.1.1", "fd71::1:1", "::1", "2001:db8::ff"})
    EXPECT_EQ(to_string(*parse_ip_address(text)), text);
  for (const char* text : {"", "1.2.3", "1.2.3.4.5", "fd71::1::1", "example", "1.2.3.4 "})
    EXPECT_FALSE(parse_ip_address(text).has_value()) << text;
  EXPECT_FALSE(parse_ip_address(std::string_view("1.2.3.4\0x", 9)).has_value());
}

TEST(IpPrefix, TextRoundTripsAndHostBitsAreRefused) {
  for (const char* text : {"0.0.0.0/0", "10.1.0.0/16", "100.96.1.1/32", "fd71::/16", "::/0", "fd71::1:1/128"})
    EXPECT_EQ(to_string(*parse_ip_prefix(text)), text);
  EXPECT_EQ(to_string(*parse_ip_prefix("10.0.0.1")), "10.0.0.1/32");
  for (const char* text : {"10.0.0.1/8", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8x"})
    EXPECT_FALSE(parse_ip_prefix(text).has_value()) << text;
  EXPECT_EQ(to_string(*parse_interface_address("10.0.0.1/8")), "10.0.0.1/8");
}

TEST(IpPrefix, ContainsAndOverlaps) {
  const auto ten = *parse_ip_prefix("10.0.0.0/8");
  EXPECT_TRUE(ten.contains(*parse_ip_address("10.255.1.2")));
  EXPECT_FALSE(ten.contains(*parse_ip_address("11.0.0.0")));
  EXPECT_FALSE(parse_ip_prefix("::/0")->contains(*parse_ip_address("10.0.0.1")));
  EXPECT_TRUE(ten.overlaps(*parse_ip_prefix("10.1.0.0/16")));
  EXPECT_TRUE(parse_ip_prefix("10.1.0.0/16")->overlaps(ten));
  EXPECT_FALSE(ten.overlaps(*parse_ip_prefix("11.0.0.0/8")));
}

TEST(UdpAddress, TextHasBracketsForIpv6) {
  EXPECT_EQ(to_string(UdpAddress{*parse_ip_address("192.0.2.1"), 7700}), "192.0.2.1:7700");
  EXPECT_EQ(to_string(UdpAddress{*parse_ip_address("2001:db8::1"), 7700}), "[2001:db8::1]:7700");
}

TEST(IpView, ReadsTcpOverIpv4) {
  PacketMaker p;
  p.traffic_class = 46 << 2 | 1;
  p.payload = some_bytes(100);
  const auto v = IpView::parse(p.make());
  ASSERT_TRUE(v.has_value());
  EXPECT_EQ(v->dscp(), 46);
  EXPECT_EQ(v->ecn(), 1);
  EXPECT_EQ(v->protocol, 6);
  EXPECT_EQ(v->source_port, 40000);
  EXPECT_EQ(v->destination_port, 9000);
  EXPECT_EQ(v->transport_offset, 20);
  EXPECT_EQ(v->total_bytes, 140);
  EXPECT_EQ(v->source, p.source);
}

TEST(IpView, ReadsUdpOverIpv6) {
  PacketMaker p = over_v6({});
  p.protocol = 17;
  p.traffic_class = 0x88;
  p.payload = some_bytes(5);
  const auto v = IpView::parse(p.make());
  ASSERT_TRUE(v.has_value());
  EXPECT_EQ(v->traffic_class, 0x88);
  EXPECT_EQ(v->transport_offset, 40);
  EXPECT_EQ(v->transport_bytes(), 13);
  EXPECT_EQ(v->destination, p.destination);
}

TEST(IpView, TrailingPaddingIsNotThePacket) {
  auto bytes = PacketMaker{}.make();
  bytes.resize(bytes.size() + 6);
  EXPECT_EQ(IpView::parse(bytes)->total_bytes, 40);
}

// An IPv6 packet whose extension headers are `chain` (type of the first in `first`).
Octets with_extensions(std::uint8_t first, const Octets& chain, Octets rest = Octets(20, 0x50)) {
  Octets p(40);
  p[0] = 0x60;
  const auto length = chain.size() + rest.size();
  p[4] = static_cast<std::uint8_t>(length >> 8);
  p[5] = static_cast<std::uint8_t>(length);
  p[6] = first;
  p[7] = 64;
  p[8] = p[24] = 0xfd;
  p.insert(p.end(), chain.begin(), chain.end());
  p.insert(p.end(), rest.begin(), rest.end());
  return p;
}

TEST(IpView, WalksExtensionHeadersToTheTransport) {
  const auto p = with_extensions(0, {43, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0});
  const auto v = IpView::parse(p);
  ASSERT_TRUE(v.has_value());
  EXPECT_EQ(v->protocol, 6);
  EXPECT_EQ(v->transport_offset, 56);
  EXPECT_TRUE(v->has_extensions);
}

TEST(IpView, UnknownNextHeaderIsNotTakenForTransport) {
  const auto v = IpView::parse(with_extensions(59, {}));
  ASSERT_TRUE(v.has_value());
  EXPECT_EQ(v->protocol, 59);
  EXPECT_EQ(v->source_port, 0);
}

TEST(IpView, ExtensionHeadersThatOverrunOrNeverEndAreRefused) {
  EXPECT_EQ(IpView::parse(with_extensions(0, {6, 255, 0, 0, 0, 0, 0, 0})).error(),
            DropReason::InnerMalformed);
  Octets endless;
  for (unsigned i = 0; i <= kMaxExtensionHeaders; ++i)
    endless.insert(endless.end(), {60, 0, 0, 0, 0, 0, 0, 0});
  EXPECT_EQ(IpView::parse(with_extensions(60, endless)).error(), DropReason::InnerMalformed);
  EXPECT_EQ(IpView::parse(with_extensions(0, {}, Octets(4))).error(), DropReason::InnerMalformed);
}

TEST(IpView, LaterFragmentsHaveNoPorts) {
  const auto v6 = IpView::parse(with_extensions(44, {6, 0, 0, 9, 0, 0, 0, 1}));
  ASSERT_TRUE(v6.has_value());
  EXPECT_TRUE(v6->fragment);
  EXPECT_EQ(v6->source_port, 0);
  PacketMaker p;
  p.fragment = 0x2000;
  EXPECT_TRUE(IpView::parse(p.make())->fragment);
  EXPECT_EQ(IpView::parse(p.make())->source_port, 0);
}

TEST(IpView, LyingHeadersAreRefused) {
  const auto spoilt = [](std::size_t at, std::uint8_t value) {
    auto p = PacketMaker{}.make();
    p[at] = value;
    return IpView::parse(p).has_value();
  };
  EXPECT_FALSE(spoilt(0, 0x55));   // version
  EXPECT_FALSE(spoilt(0, 0x44));   // header shorter than a header
  EXPECT_FALSE(spoilt(3, 200));    // longer than what came
  EXPECT_FALSE(spoilt(3, 19));     // shorter than its header
  EXPECT_FALSE(spoilt(3, 39));     // TCP header cut
  EXPECT_FALSE(spoilt(32, 0xf0));  // TCP options overrun
  EXPECT_FALSE(spoilt(32, 0x40));  // TCP header shorter than a header
  EXPECT_FALSE(IpView::parse({}).has_value());
}

TEST(IpView, MappedAddressesNeverTravel) {
  PacketMaker p = over_v6({});
  p.source = *parse_ip_address("::ffff:100.96.1.1");
  EXPECT_EQ(IpView::parse(p.make()).error(), DropReason::InnerMalformed);
}

TEST(FlowHash, BothDirectionsMeetAndFlowsSpread) {
  std::set<std::uint8_t> buckets;
  for (std::uint16_t port = 1; port <= 2000; ++port) {
    PacketMaker there;
    there.source_port = port;
    PacketMaker back;
    std::swap(back.source, back.destination);
    back.source_port = there.destination_port;
    back.destination_port = port;
    const auto a = *IpView::parse(there.make());
    EXPECT_EQ(flow_hash(a), flow_hash(*IpView::parse(back.make())));
    EXPECT_NE(bucket_of(a), kControlBucket);
    buckets.insert(bucket_of(a));
  }
  EXPECT_GT(buckets.size(), 240u);
}

TEST(FlowHash, FragmentsOfOneDatagramShareABucket) {
  PacketMaker first;
  first.protocol = 17;
  first.fragment = 0x2000;
  PacketMaker later = first;
  later.fragment = 0x0010;
  later.source_port = 1;
  EXPECT_EQ(bucket_of(*IpView::parse(first.make())), bucket_of(*IpView::parse(later.make())));
}

TEST(Checksum, AgreesWithTheExampleOfRfc1071) {
  const Octets example{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
  EXPECT_EQ(checksum_fold(checksum_add(0, example)), 0xddf2);
}

RC_GTEST_PROP(ChecksumProperty, SumsLikeTheReference, (Octets bytes, std::uint16_t start)) {
  const Octets even(bytes);
  RC_ASSERT(checksum_fold(checksum_add(start, even)) % 0xffff == PacketMaker::sum(even, 0, start) % 0xffff);
}

TEST(Checksum, CompletingAPartialOneGivesTheCompleteOne) {
  for (const bool v6 : {false, true})
    for (const std::uint8_t protocol : {6, 17})
      for (const std::size_t size : {0u, 1u, 33u, 1300u}) {
        PacketMaker p = v6 ? over_v6({}) : PacketMaker{};
        p.protocol = protocol;
        p.payload = some_bytes(size);
        const auto complete = p.make();
        EXPECT_TRUE(transport_checksum_valid(*IpView::parse(complete), complete));
        p.checksum = PacketMaker::Checksum::Partial;
        auto partial = p.make();
        const auto view = *IpView::parse(partial);
        EXPECT_FALSE(transport_checksum_valid(view, partial));
        ASSERT_TRUE(complete_checksum(view, partial));
        EXPECT_EQ(partial, complete);
        p.checksum = PacketMaker::Checksum::Wrong;
        const auto wrong = p.make();
        EXPECT_FALSE(transport_checksum_valid(view, wrong));
      }
}

TEST(Checksum, VirtioRequestsOutsideThePacketAreRefused) {
  Octets p(40);
  EXPECT_FALSE(complete_checksum(VirtioHeader{.flags = 1, .checksum_start = 41}, p));
  EXPECT_FALSE(complete_checksum(VirtioHeader{.flags = 1, .checksum_start = 30, .checksum_offset = 9}, p));
  EXPECT_TRUE(complete_checksum(VirtioHeader{.flags = 1, .checksum_start = 30, .checksum_offset = 8}, p));
}

RC_GTEST_PROP(IpViewProperty, TotalOnAnyBytes, (Octets bytes, bool v6, bool super_packet)) {
  bytes.insert(bytes.begin(), v6 ? 0x60 : 0x45);
  const auto v = IpView::parse(bytes, super_packet);
  if (v.has_value()) {
    RC_ASSERT(v->total_bytes <= bytes.size());
    RC_ASSERT(v->transport_offset <= v->total_bytes);
    (void)bucket_of(*v);
    (void)transport_checksum_valid(*v, bytes);
  }
}

// The packet after one of the same flow: what parse() says, or a request to ask it.
TEST(IpViewFollow, NeighboursOfOneFlow) {
  for (const bool v6 : {false, true})
    for (const std::uint8_t protocol : {std::uint8_t{6}, std::uint8_t{17}}) {
      PacketMaker p = v6 ? over_v6({}) : PacketMaker{};
      p.protocol = protocol;
      p.payload = some_bytes(900);
      const Octets before = p.make();
      ++p.id;
      p.sequence += 900;
      p.payload = some_bytes(301);
      Octets next = p.make();
      IpView view = *IpView::parse(before);
      EXPECT_TRUE(view.follow(before, next));
      EXPECT_EQ(view, *IpView::parse(next));
      next.resize(next.size() - 1);
      EXPECT_FALSE(view.follow(before, next)) << "shorter than it says";
    }
}

TEST(IpViewFollow, AnythingElseIsParsed) {
  PacketMaker p;
  p.payload = some_bytes(100);
  const Octets before = p.make();
  const auto follows = [&](auto change) {
    PacketMaker other = p;
    change(other);
    IpView view = *IpView::parse(before);
    return view.follow(before, other.make());
  };
  EXPECT_TRUE(follows([](PacketMaker& o) { o.ack = 9, o.window = 1, o.options = Octets(8, 1), o.id = 500; }));
  EXPECT_FALSE(follows([](PacketMaker& o) { o.source_port = 1; }));
  EXPECT_FALSE(follows([](PacketMaker& o) { o.destination_port = 1; }));
  EXPECT_FALSE(follows([](PacketMaker& o) { o.source.high += std::uint64_t{1} << 32; }));
  EXPECT_FALSE(follows([](PacketMaker& o) { o.destination.high += std::uint64_t{1} << 32; }));
  EXPECT_FALSE(follows([](PacketMaker& o) { o.protocol = 17; }));
  EXPECT_FALSE(follows([](PacketMaker& o) { o.traffic_class = 3; }));
  EXPECT_FALSE(follows([](PacketMaker& o) { o.hop_limit = 3; }));
  EXPECT_FALSE(follows([](PacketMaker& o) { o.fragment = 0x2000; }));
  EXPECT_FALSE(follows([](PacketMaker& o) { o = over_v6(o); }));
  Octets torn = p.make();
  torn[32] = 0x40;  // a TCP header of 16 bytes
  IpView view = *IpView::parse(before);
  EXPECT_FALSE(view.follow(before, torn));
  EXPECT_EQ(view, *IpView::parse(before)) << "and is left as it was";
}

RC_GTEST_PROP(IpViewProperty, FollowSaysWhatParseSays,
              (Octets tail, bool v6, bool udp, std::uint8_t where, std::uint8_t what)) {
  PacketMaker p = v6 ? over_v6({}) : PacketMaker{};
  p.protocol = udp ? 17 : 6;
  p.payload = tail;
  const Octets before = p.make();
  Octets next = before;
  next[where % next.size()] = what;
  IpView view = *IpView::parse(before);
  if (!view.follow(before, next)) return;
  const auto parsed = IpView::parse(next);
  RC_ASSERT(parsed.has_value());
  RC_ASSERT(view == *parsed);
}

}  // namespace
}  // namespace qanat::packet
