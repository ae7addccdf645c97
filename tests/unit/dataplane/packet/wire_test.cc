// The five headers of wire.md: layouts byte by byte, round trips, refusals, and totality on any bytes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <numeric>
#include <set>

#include "dataplane/packet/inner_header.hh"
#include "dataplane/packet/link_header.hh"
#include "dataplane/packet/probe.hh"
#include "dataplane/packet/route_header.hh"
#include "dataplane/packet/sealed_header.hh"

namespace qanat::packet {
namespace {

using Octets = std::vector<std::uint8_t>;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

RouteHeader three_segments() {
  RouteHeader h;
  h.tier = ids::Tier::Interactive;
  h.count = 3;
  h.pointer = 1;
  h.headend = ids::NodeId{1};
  h.expiry_unix_s = 0x65000000;
  h.token_epoch = 7;
  h.segments = {ids::Sid::end_x(ids::NodeId{2}, ids::PlaneId{1}), ids::Sid::end(ids::NodeId{3}),
                ids::Sid::end(ids::NodeId{0x010204})};
  h.tokens = {0x1111111111111111, 0x2222222222222222};
  return h;
}

Octets bytes_of(const RouteHeader& h) {
  Octets out(h.bytes());
  h.serialize(out);
  return out;
}

TEST(SealedHeader, LayoutIsThatOfTheSpecification) {
  Octets datagram(kMinSealedBytes);
  SealedHeader{.bucket = 9, .receiver = 0x01020304, .space = make_space(5, 6), .counter = 0x1122334455667788}
      .serialize(datagram);
  const Octets expected{4, 9, 0, 0, 1, 2, 3, 4, 0, 5, 0, 6, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88};
  EXPECT_THAT(Octets(datagram.begin(), datagram.begin() + 20), ElementsAreArray(expected));
  EXPECT_EQ(SealedHeader::parse(datagram)->counter, 0x1122334455667788u);
}

TEST(SealedHeader, ShortOrForeignDatagramsAreMalformed) {
  Octets datagram(kMinSealedBytes);
  datagram[0] = 4;
  EXPECT_TRUE(SealedHeader::parse(datagram).has_value());
  EXPECT_EQ(SealedHeader::parse(Bytes(datagram).first(kMinSealedBytes - 1)).error(), DropReason::Malformed);
  datagram[0] = 5;
  EXPECT_EQ(SealedHeader::parse(datagram).error(), DropReason::Malformed);
  EXPECT_EQ(SealedHeader::parse({}).error(), DropReason::Malformed);
}

TEST(InnerHeader, LayoutIsThatOfTheSpecification) {
  Octets out(InnerHeader::kBytes);
  InnerHeader{.kind = InnerKind::Packet,
              .checksum_partial = true,
              .ack_wanted = true,
              .copied = true,
              .tier = ids::Tier::Scavenger,
              .hop_count = 2,
              .vni = ids::Vni{0x0a0b0c},
              .sequence = 0x010203040506,
              .hold = 25}
      .serialize(out);
  EXPECT_THAT(out, ElementsAreArray(Octets{0, 7, 3, 2, 0x0a, 0x0b, 0x0c, 1, 2, 3, 4, 5, 6, 25}));
}

TEST(InnerHeader, UnknownKindTierOrShortIsRefused) {
  Octets bytes(InnerHeader::kBytes);
  EXPECT_TRUE(InnerHeader::parse(bytes).has_value());
  bytes[0] = 9;
  EXPECT_TRUE(InnerHeader::parse(bytes).has_value());
  bytes[0] = 10;
  EXPECT_EQ(InnerHeader::parse(bytes).error(), DropReason::InnerMalformed);
  bytes[0] = 0;
  bytes[2] = 4;
  EXPECT_EQ(InnerHeader::parse(bytes).error(), DropReason::InnerMalformed);
  EXPECT_EQ(InnerHeader::parse(Bytes(bytes).first(13)).error(), DropReason::InnerMalformed);
}

TEST(InnerHeader, ReservedBitsAreIgnored) {
  Octets bytes(InnerHeader::kBytes);
  bytes[1] = 0xf8;
  InnerHeader expected;
  expected.tier = ids::Tier::Critical;
  EXPECT_EQ(*InnerHeader::parse(bytes), expected);
}

TEST(LinkHeader, LayoutIsThatOfTheSpecification) {
  Octets out(LinkHeader::kBytes);
  LinkHeader{.bucket = 255, .route_bytes = 32, .receiver = 0x01020304, .counter = 5}.serialize(out);
  EXPECT_THAT(out, ElementsAreArray(Octets{5, 255, 32, 0, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 5}));
}

// A type 5 datagram around an inner one of `type` and `inner_bytes`.
Octets routed(std::uint8_t route_bytes, std::uint8_t type, std::size_t inner_bytes) {
  Octets d(16u + route_bytes + 16 + inner_bytes);
  d[0] = 5;
  d[2] = route_bytes;
  if (inner_bytes > 0) d[32u + route_bytes] = type;
  return d;
}

TEST(LinkHeader, OnlyWholeDatagramsOfTypes124MayTravelInside) {
  EXPECT_TRUE(LinkHeader::parse(routed(32, 4, kMinSealedBytes)).has_value());
  EXPECT_TRUE(LinkHeader::parse(routed(104, 1, kHandshakeInitBytes)).has_value());
  EXPECT_TRUE(LinkHeader::parse(routed(44, 2, kHandshakeResponseBytes)).has_value());
  for (const auto& bad : {routed(32, 4, kMinSealedBytes - 1), routed(32, 3, kCookieReplyBytes),
                          routed(32, 5, 200), routed(32, 1, 147), routed(32, 0, 100), routed(32, 4, 0)})
    EXPECT_EQ(LinkHeader::parse(bad).error(), DropReason::Malformed);
}

TEST(LinkHeader, RouteBytesMustBeARouteHeadersSize) {
  for (unsigned r = 0; r < 256; ++r) {
    const bool possible = r >= 32 && r <= 104 && (r - 8) % 12 == 0;
    EXPECT_EQ(LinkHeader::parse(routed(static_cast<std::uint8_t>(r), 4, kMinSealedBytes)).has_value(),
              possible)
        << r;
  }
}

TEST(RouteHeader, LayoutIsThatOfTheSpecification) {
  const Octets expected{0x11, 3,    1,    16,   0,    0,    0,    1,    0x65, 0, 0, 0, 7, 0, 0, 0,  //
                        0,    0,    2,    1,    0,    0,    3,    0,    1,    2, 4, 0,              //
                        0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11,                             //
                        0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22};
  EXPECT_THAT(bytes_of(three_segments()), ElementsAreArray(expected));
  EXPECT_EQ(*RouteHeader::parse(expected), three_segments());
  EXPECT_EQ(route_header_bytes(3), 44u);
}

TEST(RouteHeader, WalksFromHeadendToEndpoint) {
  RouteHeader h = three_segments();
  h.pointer = 0;
  EXPECT_EQ(h.previous_hop(), ids::NodeId{1});
  h.pointer = 2;
  EXPECT_EQ(h.previous_hop(), ids::NodeId{3});
  EXPECT_TRUE(h.at_endpoint());
}

TEST(RouteHeader, EveryFaultHasItsReason) {
  struct Case {
    const char* what;
    void (*spoil)(RouteHeader&);
    DropReason reason;
  };
  const Case cases[] = {
      {"one segment", [](RouteHeader& h) { h.count = 1; }, DropReason::RouteMalformed},
      {"headend zero", [](RouteHeader& h) { h.headend = {}; }, DropReason::RouteMalformed},
      {"headend beyond 24 bits", [](RouteHeader& h) { h.headend.value = 1u << 24; },
       DropReason::RouteMalformed},
      {"segment of no node", [](RouteHeader& h) { h.segments[1] = ids::Sid{}; }, DropReason::RouteMalformed},
      {"unknown function", [](RouteHeader& h) { h.segments[1].value |= 0x10; }, DropReason::RouteMalformed},
      {"a node twice", [](RouteHeader& h) { h.segments[2] = ids::Sid::end(ids::NodeId{2}); },
       DropReason::RouteLoop},
      {"the headend in its list", [](RouteHeader& h) { h.headend = ids::NodeId{3}; }, DropReason::RouteLoop},
      {"pointer past the end", [](RouteHeader& h) { h.pointer = 3; }, DropReason::Pointer},
      {"hop limit spent", [](RouteHeader& h) { h.hop_limit = 0; }, DropReason::HopLimit},
  };
  for (const auto& c : cases) {
    RouteHeader h = three_segments();
    c.spoil(h);
    EXPECT_EQ(RouteHeader::parse(bytes_of(h)).error(), c.reason) << c.what;
  }
  Octets version = bytes_of(three_segments());
  version[0] = 0x21;
  EXPECT_EQ(RouteHeader::parse(version).error(), DropReason::RouteMalformed);
  Octets tier = bytes_of(three_segments());
  tier[0] = 0x14;
  EXPECT_EQ(RouteHeader::parse(tier).error(), DropReason::RouteMalformed);
  EXPECT_EQ(RouteHeader::parse(Octets(43)).error(), DropReason::RouteMalformed);
}

TEST(Probe, KeepsItsReportsAndIgnoresPadding) {
  Probe p;
  p.path = ids::PathId{12};
  p.sequence = 3;
  p.transmit_us = 99;
  ASSERT_TRUE(p.add({.path = ids::PathId{4}, .last_sequence = 8, .one_way_raw_us = -5}));
  Octets body(p.bytes() + 1000);
  p.serialize(body);
  EXPECT_EQ(*Probe::parse(body), p);
  EXPECT_EQ(Probe::parse(Bytes(body).first(p.bytes() - 1)).error(), DropReason::InnerMalformed);
  body[1] = Probe::kMaxReports + 1;
  EXPECT_EQ(Probe::parse(body).error(), DropReason::InnerMalformed);
  EXPECT_THAT(to_string(p), HasSubstr("raw=-5us"));
}

TEST(Probe, HoldsABoundedNumberOfReports) {
  Probe p;
  for (std::size_t i = 0; i < Probe::kMaxReports; ++i) EXPECT_TRUE(p.add({}));
  EXPECT_FALSE(p.add({}));
}

TEST(Probe, DirectPathIdsNameBothPlanes) {
  EXPECT_EQ(direct_path_id(ids::PlaneId{1}, ids::PlaneId{2}).value, 0xff000012u);
  EXPECT_TRUE(is_direct_path_id(ids::PathId{0xff000021}));
  EXPECT_FALSE(is_direct_path_id(ids::PathId{0xff000121}));
}

TEST(DropReason, NamesAreUniqueAndNeverEmpty) {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < kDropReasonCount; ++i) names.insert(to_string(static_cast<DropReason>(i)));
  EXPECT_EQ(names.size(), kDropReasonCount);
  EXPECT_FALSE(names.contains(""));
  EXPECT_FALSE(names.contains("unnamed"));
}

TEST(DropReason, CountersCountApart) {
  DropCounters c;
  c.count(DropReason::Token);
  c.count(DropReason::Mtu, 3);
  EXPECT_EQ(c[DropReason::Token], 1u);
  EXPECT_EQ(c[DropReason::Mtu], 3u);
  EXPECT_EQ(c.total(), 4u);
}

RC_GTEST_PROP(WireProperty, RouteHeadersRoundTrip, ()) {
  RouteHeader h;
  h.tier = ids::kTiers[*rc::gen::inRange<std::size_t>(0, 4)];
  h.count = *rc::gen::inRange<std::uint8_t>(2, 9);
  h.pointer = *rc::gen::inRange<std::uint8_t>(0, h.count);
  h.hop_limit = *rc::gen::inRange<std::uint8_t>(1, 17);
  h.expiry_unix_s = *rc::gen::arbitrary<std::uint32_t>();
  h.token_epoch = *rc::gen::arbitrary<std::uint8_t>();
  const auto nodes =
      *rc::gen::unique<std::vector<std::uint32_t>>(h.count + 1u, rc::gen::inRange(1u, 1u << 24));
  h.headend = ids::NodeId{nodes[h.count]};
  for (std::size_t i = 0; i < h.count; ++i) {
    const auto plane = *rc::gen::inRange<std::uint8_t>(0, 16);
    h.segments[i] = ids::Sid::end_x(ids::NodeId{nodes[i]}, ids::PlaneId{plane});
  }
  for (std::size_t i = 0; i + 1 < h.count; ++i) h.tokens[i] = *rc::gen::arbitrary<std::uint64_t>();
  RC_ASSERT(*RouteHeader::parse(bytes_of(h)) == h);
}

RC_GTEST_PROP(WireProperty, InnerHeadersRoundTrip,
              (std::uint8_t hops, bool partial, bool wanted, bool copied, std::uint64_t sequence,
               std::uint8_t hold)) {
  const InnerHeader h{.kind = static_cast<InnerKind>(*rc::gen::inRange(0, 10)),
                      .checksum_partial = partial,
                      .ack_wanted = wanted,
                      .copied = copied,
                      .tier = ids::kTiers[*rc::gen::inRange<std::size_t>(0, 4)],
                      .hop_count = hops,
                      .vni = ids::Vni{*rc::gen::inRange(0u, 1u << 24)},
                      .sequence = sequence & InnerHeader::kMaxSequence,
                      .hold = hold};
  Octets bytes(InnerHeader::kBytes);
  h.serialize(bytes);
  RC_ASSERT(*InnerHeader::parse(bytes) == h);
}

RC_GTEST_PROP(WireProperty, ParsersAreTotalAndStable, (Octets bytes, std::uint8_t type)) {
  if (!bytes.empty()) bytes[0] = type % 6;
  (void)classify(bytes);
  (void)classify(bytes, true);
  (void)InnerHeader::parse(bytes);
  (void)Probe::parse(bytes);
  if (const auto h = RouteHeader::parse(bytes); h.has_value())
    RC_ASSERT(*RouteHeader::parse(bytes_of(*h)) == *h);
}

}  // namespace
}  // namespace qanat::packet
