// Paths that carry less than Ethernet's 1500, and paths that change, in virtual time (DESIGN §3, "MTU").
#include <gtest/gtest.h>

#include "dataplane/packet/byte_order.hh"
#include "dataplane/packet/checksum.hh"
#include "dataplane/packet/icmp_too_big.hh"
#include "tests/sim/network.hh"
#include "tests/unit/dataplane/packet/packet_maker.hh"

namespace qanat::test {
namespace {

using forwarder::Counter;
using ids::NodeId;
using ids::Sid;
using packet::DropReason;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint32_t kVni = 100;
constexpr std::size_t kNarrow4 = 1280 - 28;  // UDP payload of an IPv4 underlay with an MTU of 1280
constexpr std::size_t kNarrow6 = 1280 - 48;

class Mtu : public ::testing::Test {
 protected:
  Mtu() {
    overlay.add_node(1, false, {1});
    overlay.add_node(2, true, {1});
    overlay.add_node(3, true, {1});
    overlay.add_node(4, false, {1});
    overlay.add_tenant(kVni, {1, 4});
  }
  void start_all() {
    for (const std::uint32_t n : {1u, 2u, 3u, 4u}) net.start(n);
    net.run_for(seconds{3});
  }
  void narrow(std::uint32_t a, std::uint32_t b, std::size_t bytes) {
    net.set_mtu(a, b, 1, bytes);
    net.set_mtu(b, a, 1, bytes);
  }
  // The largest datagram of the path in use from 1 to 4, as 1 sees it.
  std::uint16_t mtu() {
    for (const auto& p : net.at(1).status(net.now()).paths)
      if (p.endpoint == NodeId{4} && p.tier == ids::Tier::Bulk && p.active) return p.mtu;
    return 0;
  }
  static Octets udp(std::size_t bytes, bool v6, bool dont_fragment = true) {
    PacketMaker p;
    p.source = v6 ? Overlay::tenant_address6(1) : Overlay::tenant_address(1);
    p.destination = v6 ? Overlay::tenant_address6(4) : Overlay::tenant_address(4);
    p.protocol = 17;
    p.payload = some_bytes(bytes - (v6 ? 40 : 20) - 8);
    p.dont_fragment = dont_fragment;
    return p.make();
  }
  // Sends it from 1; what reached the tenant at 4 (empty: nothing).
  Octets carried(const Octets& packet) {
    net.received(4).clear();
    net.received(1).clear();
    net.send(1, kVni, packet);
    net.run_for(milliseconds{50});
    return net.received(4).empty() ? Octets{} : net.received(4).front().bytes;
  }
  // A TCP super-packet of ten segments of `mss`, sent from 1; its payload as it came out at 4.
  Octets carried_super(std::size_t mss, Octets& payload) {
    PacketMaker p;
    p.source = Overlay::tenant_address(1);
    p.destination = Overlay::tenant_address(4);
    p.checksum = PacketMaker::Checksum::Partial;
    p.payload = payload = some_bytes(mss * 10);
    packet::VirtioHeader virtio;
    virtio.flags = packet::VirtioHeader::kNeedsChecksum;
    virtio.gso_type = static_cast<std::uint8_t>(packet::GsoType::Tcp4);
    virtio.header_bytes = 40;
    virtio.gso_size = static_cast<std::uint16_t>(mss);
    virtio.checksum_start = 20;
    virtio.checksum_offset = 16;
    net.received(4).clear();
    net.send(1, kVni, p.make(), virtio);
    net.run_for(milliseconds{50});
    Octets out;
    for (const auto& r : net.received(4)) out.insert(out.end(), r.bytes.begin() + 40, r.bytes.end());
    return out;
  }
  std::string drops() { return net.drops_text(1) + "| " + net.drops_text(2) + "| " + net.drops_text(4); }

  Overlay overlay{41};
  Network net{overlay};
};

TEST_F(Mtu, AnOrdinaryPathIsFoundWholeWithItsFirstProbe) {
  start_all();
  EXPECT_EQ(mtu(), path::kLargestDatagram4);
  EXPECT_EQ(carried(udp(packet::kInnerMtu, false)).size(), packet::kInnerMtu) << drops();
  EXPECT_EQ(net.at(1).counters()[Counter::PacketsInPieces], 0u);
}

TEST_F(Mtu, ANarrowPathIsMeasuredToWithinAStep) {
  for (const std::size_t bytes : {1252u, 1300u, 1372u, 1392u, 1432u, 1464u}) {
    SCOPED_TRACE(bytes);
    narrow(1, 4, bytes);
    start_all();
    net.send(1, kVni, udp(100, false));
    net.run_for(seconds{8});
    EXPECT_LE(mtu(), bytes);
    EXPECT_GT(mtu() + path::kSearchStep, bytes);
    for (const auto& peer : net.at(1).status(net.now()).peers)
      if (peer.node == NodeId{4}) {
        EXPECT_LT(peer.adjacencies.front().loss_ppm, 10'000u)
            << "the search's own losses are none of the path's";
      }
  }
}

TEST_F(Mtu, Ipv6s1280PassesAnUnderlayOf1280InTwoPieces) {
  for (const bool v6_under : {false, true}) {
    if (v6_under)
      for (const std::uint32_t n : {1u, 2u, 3u, 4u})
        overlay.set_line_address(n, 1, {{packet::IpFamily::V6, 0x20010db8ULL << 32, n}, 7700});
    narrow(1, 4, v6_under ? kNarrow6 : kNarrow4);
    start_all();
    for (const bool v6 : {false, true}) {
      const Octets packet = udp(1280, v6);
      EXPECT_EQ(carried(packet), packet) << drops();
    }
    EXPECT_GE(net.at(1).counters()[Counter::PacketsInPieces], 2u);
    // IPv4 that may be cut travels so at any size up to the TUN's.
    const Octets free = udp(packet::kInnerMtu, false, false);
    EXPECT_EQ(carried(free), free) << drops();
  }
}

// What comes from a link of jumbo frames, say: a host at the far end is given RFC 791's fragments.
// Past the queue it would fill the line that the queue is there for, and with it the probes that measure its MTU.
TEST_F(Mtu, WhatIsTooWideWaitsLikeEverythingElse) {
  net.options_edit = [](std::uint32_t node, forwarder::ForwarderOptions& o) {
    qos::PolicyConfig config;
    if (node == 1) config.line_bps = {20'000'000};
    o.policy = std::make_shared<const qos::Policy>(config);
  };
  narrow(1, 4, kNarrow4);
  start_all();
  net.received(4).clear();
  for (int i = 0; i < 100; ++i) net.send(1, kVni, udp(1240, false));
  net.run_for(milliseconds{20});
  EXPECT_LT(net.received(4).size(), 60u) << "20 Mbit/s for 20 ms and a burst of 10";
  net.run_for(milliseconds{300});
  EXPECT_EQ(net.received(4).size(), 100u);
  EXPECT_EQ(net.at(1).counters()[Counter::PacketsInPieces], 100u);
}

TEST_F(Mtu, Ipv4ThatMayBeCutIsFragmentedWhereTwoPiecesAreTooFew) {
  narrow(1, 4, kNarrow4);
  start_all();
  for (const auto checksum : {PacketMaker::Checksum::Complete, PacketMaker::Checksum::Partial}) {
    PacketMaker p;
    p.source = Overlay::tenant_address(1);
    p.destination = Overlay::tenant_address(4);
    p.protocol = 17;
    p.payload = some_bytes(8000);
    p.dont_fragment = false;
    const Octets complete = p.make();
    packet::VirtioHeader virtio;
    if (checksum == PacketMaker::Checksum::Partial) {
      virtio.flags = packet::VirtioHeader::kNeedsChecksum;
      virtio.checksum_start = 20;
      virtio.checksum_offset = 6;
    }
    p.checksum = checksum;
    net.received(4).clear();
    net.send(1, kVni, p.make(), virtio);
    net.run_for(milliseconds{50});
    Octets payload;
    for (const auto& r : net.received(4)) {
      EXPECT_EQ(packet::load_be16(&r.bytes[6]) & 0x1fff, payload.size() / 8) << "in order";
      payload.insert(payload.end(), r.bytes.begin() + 20, r.bytes.end());
    }
    EXPECT_GE(net.received(4).size(), 7u) << drops();
    EXPECT_EQ(payload, Octets(complete.begin() + 20, complete.end()));
  }
  EXPECT_EQ(net.drops(1, DropReason::Mtu), 0u);
}

TEST_F(Mtu, WhatIsTooLargeIsAnswered) {
  narrow(1, 4, kNarrow4);
  start_all();
  for (const bool v6 : {false, true}) {
    const Octets packet = udp(packet::kInnerMtu, v6);
    const auto dropped = net.drops(1, DropReason::Mtu);
    EXPECT_TRUE(carried(packet).empty());
    EXPECT_EQ(net.drops(1, DropReason::Mtu), dropped + 1);
    ASSERT_EQ(net.received(1).size(), 1u);
    const Octets answer = net.received(1).front().bytes;
    const auto view = packet::IpView::parse(answer);
    ASSERT_TRUE(view.has_value());
    EXPECT_EQ(view->destination, v6 ? Overlay::tenant_address6(1) : Overlay::tenant_address(1));
    const std::uint8_t* icmp = answer.data() + view->transport_offset;
    EXPECT_EQ(icmp[0], v6 ? 2 : 3);
    const std::size_t asked = packet::load_be16(icmp + 6);
    EXPECT_EQ(asked, v6 ? 1280u : mtu() - packet::kSealedOverheadBytes);
    // What it asks for arrives.
    const Octets smaller = udp(asked, v6);
    EXPECT_EQ(carried(smaller), smaller);
    // ICMP errors are not answered with errors.
    EXPECT_TRUE(packet::make_too_big(answer, *view, 1280).empty());
  }
}

TEST_F(Mtu, SuperPacketsAreCutSmallerAndASynPromisesLess) {
  narrow(1, 4, kNarrow4);
  start_all();
  Octets payload;
  EXPECT_EQ(carried_super(1300 - 12, payload), payload) << drops();
  EXPECT_EQ(net.at(1).counters()[Counter::PacketsInPieces], 0u);
  PacketMaker p;
  p.source = Overlay::tenant_address(1);
  p.destination = Overlay::tenant_address(4);
  p.flags = 0x02;
  p.options = {1, 2, 4, 0x05, 0xb4, 0, 0, 0};  // the MSS of 1460 stands at an odd offset
  const Octets got = carried(p.make());
  ASSERT_FALSE(got.empty());
  EXPECT_EQ(packet::load_be16(&got[43]), mtu() - packet::kSealedOverheadBytes - 40);
  const auto view = packet::IpView::parse(got);
  EXPECT_TRUE(packet::transport_checksum_valid(*view, got));
}

// The path narrows under a flow: its large packets are missed for a fraction of a second, then all is cut to fit; and
// when it widens again nothing changes for a minute, then everything.
TEST_F(Mtu, DownAtOnceUpSlowly) {
  start_all();
  Octets payload;
  ASSERT_EQ(carried_super(1288, payload), payload);
  for (int i = 0; i < 40; ++i) carried_super(1288, payload);
  narrow(1, 4, kNarrow4);
  const base::Time cut = net.now();
  while (carried_super(1288, payload) != payload && net.now() - cut < seconds{5}) {
  }
  EXPECT_LE(net.now() - cut, milliseconds{600}) << drops();
  for (int i = 0; i < 200; ++i) EXPECT_EQ(carried_super(1288, payload), payload) << i;
  EXPECT_GT(mtu() + path::kSearchStep, kNarrow4);
  narrow(1, 4, 0);
  net.run_for(seconds{30});
  EXPECT_LE(mtu(), kNarrow4);
  net.run_for(seconds{60});
  EXPECT_EQ(mtu(), path::kLargestDatagram4);
  const auto& path = net.at(1).status(net.now());
  EXPECT_GE(path.paths.size(), 1u);
}

// Inner MTU = the least over active and backup lists: a flow never has to shrink because of a switch.
TEST_F(Mtu, ANarrowBackupCountsBeforeItIsNeeded) {
  overlay.add_lists({100, 1, {}, 0, 1, {Sid::end(NodeId{4})}});
  overlay.add_lists({110, 1, {}, 1, 1, {Sid::end(NodeId{2}), Sid::end(NodeId{4})}});
  overlay.add_lists({200, 4, {}, 0, 1, {Sid::end(NodeId{1})}});
  overlay.add_lists({210, 4, {}, 1, 1, {Sid::end(NodeId{2}), Sid::end(NodeId{1})}});
  narrow(2, 4, 1352);
  start_all();
  net.send(1, kVni, udp(100, false));
  net.run_for(seconds{8});
  EXPECT_EQ(mtu(), path::kLargestDatagram4) << "the list in use is whole";
  Octets payload;
  EXPECT_EQ(carried_super(1288, payload), payload);
  std::size_t largest = 0;
  net.tap = [&](Crossing& c) {
    if (c.bytes[0] == 4 && c.bytes[1] != packet::kControlBucket) largest = std::max(largest, c.bytes.size());
    return true;
  };
  EXPECT_EQ(carried_super(1288, payload), payload);
  EXPECT_LE(largest, 1352u - packet::routed_overhead_bytes(2)) << "already fits the backup";
  EXPECT_GT(largest, 1352u - packet::routed_overhead_bytes(2) - 3 * path::kSearchStep);
}

// The relay knows its next link: the headend hears of it, sealed by that relay, at the first padded probe.
TEST_F(Mtu, ARelayTellsTheHeadend) {
  overlay.add_lists({110, 1, {}, 0, 1, {Sid::end(NodeId{2}), Sid::end(NodeId{4})}});
  overlay.add_lists({210, 4, {}, 0, 1, {Sid::end(NodeId{2}), Sid::end(NodeId{1})}});
  narrow(2, 4, 1352);
  for (const std::uint32_t n : {2u, 3u, 4u}) net.start(n);
  net.run_for(seconds{20});
  net.start(1);
  net.send(1, kVni, udp(100, false));
  net.run_for(milliseconds{500});
  EXPECT_GE(net.drops(2, DropReason::Mtu), 1u);
  EXPECT_LE(mtu(), 1352u);
  EXPECT_GT(mtu() + path::kSearchStep, 1352u) << "without three lost probes a step";
}

}  // namespace
}  // namespace qanat::test
