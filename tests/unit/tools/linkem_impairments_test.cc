// The other impairments, each by what it promises: traces, queue disciplines, delays, MTU, flaps, NAT.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/unit/tools/linkem_packets.hh"
#include "tools/linkem/capacity_trace.hh"

namespace qanat::linkem {
namespace {

using base::Duration;
using base::Time;

Spec spec(std::string_view text, const std::string& file = "") {
  Spec out = *parse_spec(text);
  load_files(out, [&](const std::string&) { return file; });
  return out;
}

std::vector<Packet> drain(Direction& link, Time until = kStart + 1h) {
  std::vector<Packet> out;
  while (auto p = link.pop(until)) out.push_back(std::move(*p));
  return out;
}

TEST(LinkemTrace, EachLineCarries1500BytesAndTheTraceRepeats) {
  // Opportunities at 2, 2, 5 ms; again at 7, 7, 10.
  Direction link(spec("trace(t)", "2\n2\n5\n"), 1, kStart);
  for (int i = 0; i < 5; ++i) link.push(std::vector<std::uint8_t>(1500), kStart);
  std::vector<Duration> at;
  for (const auto& p : drain(link)) at.push_back(p.at - kStart);
  EXPECT_EQ(at, (std::vector<Duration>{2ms, 2ms, 5ms, 7ms, 7ms}));
}

TEST(LinkemTrace, SmallPacketsShareAnOpportunityAndLargeOnesTakeTwo) {
  Direction link(spec("trace(t)", "1\n2\n3\n"), 1, kStart);
  for (const std::size_t size : {500, 500, 500, 1000, 2000})
    link.push(std::vector<std::uint8_t>(size), kStart);
  std::vector<Duration> at;
  for (const auto& p : drain(link)) at.push_back(p.at - kStart);
  EXPECT_EQ(at, (std::vector<Duration>{1ms, 1ms, 1ms, 2ms, 3ms}));
}

TEST(LinkemTrace, AnOpportunityThatFindsNothingIsLost) {
  Direction link(spec("trace(t)", "1\n10\n"), 1, kStart);
  link.push(std::vector<std::uint8_t>(1500), kStart + 1ms + 1ns);
  EXPECT_EQ(drain(link).at(0).at, kStart + 10ms);
}

TEST(LinkemTrace, ErrorsNameTheLine) {
  const auto problem = [](std::string_view text) -> std::string {
    try {
      CapacityTrace::parse(text);
    } catch (const std::invalid_argument& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_EQ(problem("1\nx\n"), "line 2: 'x', expected a whole number of milliseconds");
  EXPECT_EQ(problem("5\n3\n"), "line 2: 3 is before 5, expected times that never fall");
  EXPECT_NE(problem("0\n").find("last one is the trace's length"), std::string::npos);
  EXPECT_NE(problem(""), "");
}

TEST(LinkemQueue, LimitInTimeIsTheBacklogAtTheLinksRate) {
  Direction link(spec("8mbit,limit=5ms"), 1, kStart);  // 1,000 B a millisecond
  for (int i = 0; i < 10; ++i) link.push(std::vector<std::uint8_t>(1000), kStart);
  EXPECT_EQ(drain(link).size(), 5u);
}

TEST(LinkemQueue, DropHeadKeepsTheNewest) {
  Direction link(spec("8mbit,limit=3p,queue=headdrop"), 1, kStart);
  for (std::uint16_t i = 0; i < 6; ++i) link.push(std::vector<std::uint8_t>(1000 + i), kStart);
  std::vector<std::size_t> sizes;
  for (const auto& p : drain(link)) sizes.push_back(p.bytes().size());
  EXPECT_EQ(sizes, (std::vector<std::size_t>{1000, 1004, 1005})) << "the one being sent, then the newest";
}

// Offers 1.2 times the rate for 20 s and returns the sojourn times of the second half, in ms.
std::vector<double> sojourns(Direction& link) {
  std::vector<double> out;
  for (Time now = kStart; now < kStart + 20s; now += 833us) {
    link.push(std::vector<std::uint8_t>(1000), now);
    while (auto p = link.pop(now))
      if (p->at > kStart + 10s) out.push_back(static_cast<double>((p->at - p->entered).count()) / 1e6);
  }
  return out;
}

double mean(const std::vector<double>& v) {
  double sum = 0;
  for (const double x : v) sum += x;
  return sum / static_cast<double>(v.size());
}

TEST(LinkemQueue, DropTailFillsUpWhereCoDelAndPieKeepTheDelayDown) {
  Direction tail(spec("8mbit"), 1, kStart), codel(spec("8mbit,queue=codel"), 1, kStart),
      pie(spec("8mbit,queue=pie"), 1, kStart);
  EXPECT_GT(mean(sojourns(tail)), 900) << "a thousand packets of a millisecond";
  EXPECT_LT(mean(sojourns(codel)), 250)
      << "slow to find the rate of a source that doesn't listen (RFC 8289 §5.3)";
  EXPECT_LT(mean(sojourns(pie)), 40);
  EXPECT_GT(dropped(codel, DropReason::Aqm), 500u);
  EXPECT_GT(dropped(pie, DropReason::Aqm), 1000u);
  expect_all_accounted_for(codel);
  expect_all_accounted_for(pie);
}

TEST(LinkemQueue, EcnMarksThoseWhoCanAndDropsTheOthers) {
  for (const std::uint8_t tos : {0, 2}) {
    Direction link(spec("8mbit,queue=codel(5ms,100ms,ecn)"), 1, kStart);
    std::uint64_t marked = 0;
    for (Time now = kStart; now < kStart + 5s; now += 833us) {
      link.push(ip4({.payload = 972, .tos = tos}), now);
      while (const auto p = link.pop(now)) {
        if (!p->congested) continue;
        Rendered r;
        render(*p, r);
        marked += (r.header[1] & 3) == 3 && packet::ipv4_header_checksum({r.header.data(), 20}) ==
                                                packet::load_be16(r.header.data() + 10);
      }
    }
    EXPECT_EQ(marked, link.counters().marked);
    EXPECT_EQ(marked > 0, tos == 2);
    EXPECT_EQ(dropped(link, DropReason::Aqm) > 0, tos == 0);
  }
}

struct Moments {
  double mean, deviation;
};
Moments delays(const Spec& s) {
  Direction link(s, 9, kStart);
  double sum = 0, squares = 0;
  constexpr int kPackets = 20'000;
  for (int i = 0; i < kPackets; ++i) {
    const Time now = kStart + i * 1us;
    link.push(std::vector<std::uint8_t>(40), now);
  }
  for (const auto& p : drain(link)) {
    const double ms = static_cast<double>((p.at - p.entered).count()) / 1e6;
    sum += ms, squares += ms * ms;
  }
  return {sum / kPackets, std::sqrt(squares / kPackets - sum / kPackets * sum / kPackets)};
}

TEST(LinkemDelay, DistributionsHaveTheirMoments) {
  const auto normal = delays(spec("delay=50ms~normal(3ms),unordered"));
  EXPECT_NEAR(normal.mean, 50, 2.576 * 3 / std::sqrt(20'000));
  EXPECT_NEAR(normal.deviation, 3, 2.576 * 3 / std::sqrt(40'000));
  const auto uniform = delays(spec("delay=10ms~uniform(6ms),unordered"));
  EXPECT_NEAR(uniform.mean, 10, 2.576 * 6 / std::sqrt(3.0 * 20'000));
  // Lomax, scale 4 ms, tail 5: mean 1 ms, deviation sqrt(5/3) ms.
  const auto pareto = delays(spec("delay=10ms~pareto(4ms,5),unordered"));
  EXPECT_NEAR(pareto.mean, 11, 2.576 * std::sqrt(5.0 / 3) / std::sqrt(20'000));
  const auto file = delays(spec("delay=1ms~file(d),unordered", "2.5\n7.5\n"));
  EXPECT_NEAR(file.mean, 6, 2.576 * 2.5 / std::sqrt(20'000));
  EXPECT_NEAR(file.deviation, 2.5, 0.01);
}

TEST(LinkemFlap, FollowsItsPatternInBothWays) {
  Direction link(spec("flap=(100ms,20ms)"), 1, kStart);
  int arrived = 0;
  for (int ms = 0; ms < 1200; ++ms) {
    link.push(std::vector<std::uint8_t>(40), kStart + ms * 1ms);
    arrived += link.pop(kStart + ms * 1ms).has_value();
  }
  EXPECT_EQ(arrived, 1000);
  EXPECT_EQ(dropped(link, DropReason::Down), 200u);
}

TEST(LinkemFlap, RandomOnesAreDownForTheirShare) {
  Direction link(spec("flap=exp(90ms,10ms)"), 5, kStart);
  for (int ms = 0; ms < 200'000; ++ms) {
    link.push(std::vector<std::uint8_t>(40), kStart + ms * 1ms);
    link.pop(kStart + ms * 1ms);
  }
  EXPECT_NEAR(static_cast<double>(dropped(link, DropReason::Down)), 20'000, 2.576 * 600);
}

TEST(LinkemMtu, TellsTheSenderUnlessSilent) {
  Direction loud(spec("mtu=1000"), 1, kStart), silent(spec("mtu=silent(1000)"), 1, kStart);
  for (Direction* link : {&loud, &silent}) {
    link->push(ip4({.payload = 972}), kStart);  // 1,000 B
    link->push(ip4({.payload = 973}), kStart);
    EXPECT_EQ(drain(*link).size(), 1u);
    EXPECT_EQ(dropped(*link, DropReason::Mtu), 1u);
  }
  EXPECT_FALSE(silent.pop_reply());
  const auto reply = loud.pop_reply();
  ASSERT_TRUE(reply);
  const auto ip = reply->bytes();
  const auto view = packet::IpView::parse(ip);
  ASSERT_TRUE(view.has_value());
  EXPECT_EQ(packet::to_string(view->destination), "10.0.0.1");
  EXPECT_EQ(ip[20], 3);
  EXPECT_EQ(ip[21], 4);
  EXPECT_EQ(packet::load_be16(&ip[26]), 1000);
  EXPECT_EQ(packet::checksum_fold(packet::checksum_add(0, ip.subspan(20))), 0xffff) << "ICMP checksum";
  EXPECT_EQ(ip[28], 0x45) << "quotes what was too big";
}

TEST(LinkemMtu, ASuperPacketOfLargeSegmentsIsAnsweredOnce) {
  Direction link(spec("mtu=1000"), 1, kStart);
  link.push(super_packet(*link.pool(), {.protocol = packet::kProtocolTcp, .payload = 1400}, 8), kStart);
  EXPECT_EQ(dropped(link, DropReason::Mtu), 8u);
  EXPECT_TRUE(link.pop_reply());
  EXPECT_FALSE(link.pop_reply());
}

struct NatLink {
  explicit NatLink(std::string_view text) : nat(*parse_nat(text), 1), up({}, 1, kStart), down({}, 2, kStart) {
    up.attach(nat, true);
    down.attach(nat, false);
  }
  // What comes out at the far end, checked to have right checksums.
  std::optional<packet::IpView> pass(Direction& link, const Ip4& p, Time now) {
    link.push(ip4(p), now);
    const auto out = link.pop(now);
    if (!out) return {};
    const auto view = packet::IpView::parse(out->bytes());
    EXPECT_TRUE(packet::transport_checksum_valid(*view, out->bytes()));
    EXPECT_EQ(packet::ipv4_header_checksum(out->bytes().first(20)), packet::load_be16(&out->bytes()[10]));
    return *view;
  }
  Nat nat;
  Direction up, down;
};

constexpr std::uint32_t kExternal = 0xcb007101, kPeer = 0x0a000002, kOther = 0x0a000009;  // 203.0.113.1 …

TEST(LinkemNat, AConeLetsAnybodyBackInThroughOneMapping) {
  NatLink link("cone(203.0.113.1,udp=30s)");
  const auto out = link.pass(link.up, {.source_port = 4000}, kStart);
  ASSERT_TRUE(out);
  EXPECT_EQ(packet::to_string(out->source), "203.0.113.1");
  EXPECT_EQ(out->source_port, 4000) << "kept where it is free";
  EXPECT_EQ(link.pass(link.up, {.destination = kOther, .source_port = 4000}, kStart)->source_port, 4000);
  const auto back = link.pass(
      link.down, {.source = kOther, .destination = kExternal, .source_port = 9, .destination_port = 4000},
      kStart + 1s);
  ASSERT_TRUE(back) << "a stranger, too";
  EXPECT_EQ(packet::to_string(back->destination), "10.0.0.1");
  EXPECT_FALSE(link.pass(link.down, {.source = kPeer, .destination = kExternal, .destination_port = 4001},
                         kStart + 1s));
  EXPECT_FALSE(link.pass(link.down, {.source = kPeer, .destination = kExternal, .destination_port = 4000},
                         kStart + 31s))
      << "forgotten after 30 s without a packet from inside";
  EXPECT_EQ(dropped(link.down, DropReason::Nat), 2u);
}

TEST(LinkemNat, ASymmetricOneAnswersOnlyWhomItAsked) {
  NatLink link("symmetric(203.0.113.1)");
  const auto first = link.pass(link.up, {.source_port = 4000, .destination_port = 53}, kStart);
  const auto second = link.pass(link.up, {.destination = kOther, .source_port = 4000}, kStart);
  ASSERT_TRUE(first && second);
  EXPECT_NE(first->source_port, second->source_port) << "another mapping for another destination";
  const Ip4 answer{
      .source = kPeer, .destination = kExternal, .source_port = 53, .destination_port = first->source_port};
  const auto back = link.pass(link.down, answer, kStart);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->destination_port, 4000);
  Ip4 stranger = answer;
  stranger.source = kOther;
  EXPECT_FALSE(link.pass(link.down, stranger, kStart));
  stranger = answer;
  stranger.source_port = 54;
  EXPECT_FALSE(link.pass(link.down, stranger, kStart));
}

TEST(LinkemNat, SuperPacketsKeepTheirPartialChecksumsRight) {
  NatLink link("cone(203.0.113.1)");
  link.up.push(super_packet(*link.up.pool(), {.protocol = packet::kProtocolTcp, .payload = 1000}, 4), kStart);
  const auto whole = link.up.pop(kStart);
  ASSERT_TRUE(whole);
  FrameRef complete = link.up.pool()->copy(whole->bytes());
  ASSERT_TRUE(packet::complete_checksum(whole->frame->virtio, complete->span()));
  const auto view = packet::IpView::parse(complete->span());
  EXPECT_EQ(packet::to_string(view->source), "203.0.113.1");
  EXPECT_TRUE(packet::transport_checksum_valid(*view, complete->span()));
}

TEST(LinkemNat, TextRoundTripsAndErrorsPoint) {
  for (const char* text : {"none", "cone(203.0.113.1)", "symmetric(192.0.2.7,udp=30s,tcp=60s,icmp=5s)"})
    EXPECT_EQ(to_string(*parse_nat(text)), text);
  EXPECT_EQ(parse_nat("cone(fd00::1)").error().offset, 5u);
  EXPECT_EQ(parse_nat("full(1.2.3.4)").error().offset, 0u);
  EXPECT_EQ(parse_nat("cone(1.2.3.4,udp=30)").error().offset, 19u);
}

// Packets come from whatever runs behind the link.
TEST(LinkemHostileBytes, AnyBytesPassOrAreDroppedAndAllAreAccountedFor) {
  const Chance chance(1, Chance::Purpose::Scenario);
  Nat nat(*parse_nat("symmetric(203.0.113.1)"), 1);
  const auto all =
      spec("1mbit,queue=codel(1ms,5ms,ecn),limit=200p,mtu=600,corrupt=fixed(50%),duplicate=10%,loss=1%");
  Direction up(all, 1, kStart), down(all, 2, kStart);
  up.attach(nat, true);
  down.attach(nat, false);
  Time now = kStart;
  for (std::uint64_t i = 0; i < 20'000; ++i, now += 2ms) {
    // Half of them are a good packet with a few bytes changed, half are noise; all may be cut short.
    std::vector<std::uint8_t> bytes =
        ip4({.protocol = static_cast<std::uint8_t>(i % 3 == 0   ? packet::kProtocolTcp
                                                   : i % 3 == 1 ? packet::kProtocolUdp
                                                                : packet::kProtocolIcmp),
             .destination = kExternal,
             .payload = chance.bits(i, 1) % 900,
             .tos = 2});
    const bool noise = i % 2 == 0;
    for (std::size_t k = 0; k < (noise ? bytes.size() : 6); ++k)
      bytes[noise ? k : chance.bits(i * 64 + k, 2) % bytes.size()] =
          static_cast<std::uint8_t>(chance.bits(i * 1024 + k, 3));
    if (noise && !bytes.empty())
      bytes[0] = static_cast<std::uint8_t>((i % 4 ? 0x40 : 0x60) | (bytes[0] & 15));
    bytes.resize(chance.bits(i, 4) % (bytes.size() + 1));
    for (Direction* link : {&up, &down}) {
      link->push(bytes, now);
      while (const auto out = link->pop_batch(now)) {
        Rendered r;
        render(*out, r);
        ASSERT_LE(r.header_bytes + r.rest.size(), 1000u);
      }
      while (link->pop_reply()) {
      }
    }
  }
  expect_all_accounted_for(up);
  expect_all_accounted_for(down);
  EXPECT_GT(up.counters().out_packets, 5000u);
}

}  // namespace
}  // namespace qanat::linkem
