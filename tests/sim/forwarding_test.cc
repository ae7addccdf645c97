// Forwarders together, in virtual time:
//
//   1 ──plane 1── 4      1, 4: boxes with tenant 100; 2, 3: relays
//   1 ──plane 1── 2 ──plane 1── 4      lists n2, n4 and n2, n3, n4 at 1 (and mirrored at 4)
//                 2 ──plane 2── 3 ──plane 1── 4
#include <gtest/gtest.h>

#include "tests/sim/network.hh"
#include "tests/unit/dataplane/packet/packet_maker.hh"

namespace qanat::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint32_t kVni = 100;

Octets datagram(std::uint32_t from, std::uint32_t to, std::uint32_t number, std::size_t size = 200,
                std::uint8_t traffic_class = 0) {
  PacketMaker p;
  p.source = Overlay::tenant_address(from);
  p.destination = Overlay::tenant_address(to);
  p.protocol = 17;
  p.traffic_class = traffic_class;
  p.payload.assign(size, 0x5a);
  for (int i = 0; i < 4; ++i)
    p.payload[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(number >> (24 - 8 * i));
  return p.make();
}

std::uint32_t number_of(const Octets& packet) {
  return std::uint32_t{packet[28]} << 24 | std::uint32_t{packet[29]} << 16 | std::uint32_t{packet[30]} << 8 |
         packet[31];
}

// Who is delivered what, over how many relays: the preference of each list decides.
Overlay square(std::uint32_t direct, std::uint32_t one_relay, std::uint32_t two_relays) {
  using ids::NodeId;
  using ids::PlaneId;
  using ids::Sid;
  Overlay o(7);
  o.add_node(1, false, {1});
  o.add_node(2, true, {1, 2});
  o.add_node(3, true, {1, 2});
  o.add_node(4, false, {1});
  o.add_tenant(kVni, {1, 4});
  for (const auto& [headend, endpoint, near, far] :
       {std::tuple{1u, 4u, 2u, 3u}, std::tuple{4u, 1u, 3u, 2u}}) {
    o.add_lists({headend * 100 + 10, headend, {}, direct, 1, {Sid::end(NodeId{endpoint})}});
    o.add_lists(
        {headend * 100 + 20, headend, {}, one_relay, 1, {Sid::end(NodeId{2}), Sid::end(NodeId{endpoint})}});
    o.add_lists({headend * 100 + 30,
                 headend,
                 {},
                 two_relays,
                 1,
                 {Sid::end_x(NodeId{near}, PlaneId{2}), Sid::end(NodeId{far}), Sid::end(NodeId{endpoint})}});
  }
  return o;
}

class Forwarding : public ::testing::TestWithParam<int> {};

// A packet each way, over 0, 1 or 2 relays; transit is counted at exactly those.
TEST_P(Forwarding, DeliversAcrossRelays) {
  const int relays = GetParam();
  const Overlay overlay = square(relays == 0 ? 0 : 5, relays == 1 ? 0 : 6, relays == 2 ? 0 : 7);
  Network net(overlay);
  for (std::uint32_t n = 1; n <= 4; ++n) net.start(n);
  net.run_for(seconds{5});
  const Octets there = datagram(1, 4, 1);
  const Octets back = datagram(4, 1, 2);
  net.send(1, kVni, there);
  net.send(4, kVni, back);
  net.run_for(milliseconds{100});
  ASSERT_EQ(net.received(4).size(), 1u)
      << net.drops_text(1) << " | " << net.drops_text(2) << " | " << net.drops_text(4);
  ASSERT_EQ(net.received(1).size(), 1u);
  EXPECT_EQ(net.received(4)[0].bytes, there);
  EXPECT_EQ(net.received(4)[0].vni, kVni);
  EXPECT_EQ(net.received(1)[0].bytes, back);
  for (const auto& path : net.at(1).status(net.now()).paths)
    if (path.endpoint == ids::NodeId{4} && path.tier == ids::Tier::Bulk && path.active) {
      EXPECT_EQ(path.segments.size(), static_cast<std::size_t>(relays + 1));
      EXPECT_EQ(path.packets, 1u);
    }
}
INSTANTIATE_TEST_SUITE_P(Relays, Forwarding, ::testing::Values(0, 1, 2));

// The first packet finds no session; it waits for the handshake and is delivered.
TEST(ForwardingStory, FirstPacketWaitsForTheHandshake) {
  const Overlay overlay = square(0, 1, 2);
  Network net(overlay);
  net.start(1);
  net.start(4);
  net.send(1, kVni, datagram(1, 4, 1));
  net.run_for(milliseconds{50});
  EXPECT_EQ(net.received(4).size(), 1u) << net.drops_text(1) << net.drops_text(4);
}

// Two boxes that cannot reach each other at all meet through a relay: handshake inside the list.
TEST(ForwardingStory, HandshakeTravelsInsideTheList) {
  using ids::NodeId;
  using ids::Sid;
  Overlay overlay(8);
  overlay.add_node(1, false, {1});
  overlay.add_node(2, true, {1, 2});
  overlay.add_node(4, false, {2});
  overlay.add_tenant(kVni, {1, 4});
  overlay.add_lists({10, 1, {}, 0, 1, {Sid::end(NodeId{2}), Sid::end(NodeId{4})}});
  overlay.add_lists({20, 4, {}, 0, 2, {Sid::end(NodeId{2}), Sid::end(NodeId{1})}});
  Network net(overlay);
  for (const std::uint32_t n : {1u, 2u, 4u}) net.start(n);
  net.run_for(seconds{10});
  net.send(1, kVni, datagram(1, 4, 1));
  net.run_for(milliseconds{100});
  EXPECT_EQ(net.received(4).size(), 1u)
      << net.drops_text(1) << " | " << net.drops_text(2) << " | " << net.drops_text(4);
}

// A TCP super-packet arrives as one again, byte for byte but for what coalescing may change.
TEST(ForwardingStory, SuperPacketComesOutWhole) {
  const Overlay overlay = square(0, 1, 2);
  Network net(overlay);
  for (std::uint32_t n = 1; n <= 4; ++n) net.start(n);
  net.run_for(seconds{2});
  PacketMaker p;
  p.source = Overlay::tenant_address(1);
  p.destination = Overlay::tenant_address(4);
  p.checksum = PacketMaker::Checksum::Partial;
  p.payload.resize(1288 * 10);
  for (std::size_t i = 0; i < p.payload.size(); ++i) p.payload[i] = static_cast<std::uint8_t>(i * 7);
  const Octets packet = p.make();
  packet::VirtioHeader virtio;
  virtio.flags = packet::VirtioHeader::kNeedsChecksum;
  virtio.gso_type = static_cast<std::uint8_t>(packet::GsoType::Tcp4);
  virtio.header_bytes = 40;
  virtio.gso_size = 1288;
  virtio.checksum_start = 20;
  virtio.checksum_offset = 16;
  net.send(1, kVni, packet, virtio);
  net.run_for(milliseconds{20});
  ASSERT_FALSE(net.received(4).empty());
  Octets payload;
  for (const auto& r : net.received(4)) payload.insert(payload.end(), r.bytes.begin() + 40, r.bytes.end());
  EXPECT_EQ(payload, p.payload);
}

struct Cut {
  bool there;
  bool back;
};
class Repair : public ::testing::TestWithParam<Cut> {};

// The preferred path dies, one way or both: a 1 kpps flow loses at most 100 ms, both directions considered, and returns
// to it some time after it lives again.
TEST_P(Repair, CutIsRepairedWithinTheBound) {
  const Cut cut = GetParam();
  const Overlay overlay = square(0, 1, 2);
  Network net(overlay);
  for (std::uint32_t n = 1; n <= 4; ++n) net.start(n);
  net.run_for(seconds{3});
  std::uint32_t number = 0;
  const auto flow = [&](int ms) {
    for (int i = 0; i < ms; ++i) {
      net.send(1, kVni, datagram(1, 4, number));
      net.send(4, kVni, datagram(4, 1, number));
      ++number;
      net.run_for(milliseconds{1});
    }
  };
  flow(1500);
  const std::uint32_t at_cut = number;
  net.set_down(1, 4, 1, cut.there);
  net.set_down(4, 1, 1, cut.back);
  flow(1500);
  net.run_for(milliseconds{100});
  for (const std::uint32_t node : {1u, 4u}) {
    // The largest gap in what arrived.
    std::uint32_t last = 0;
    std::uint32_t gap = 0;
    for (const auto& r : net.received(node)) {
      const std::uint32_t n = number_of(r.bytes);
      gap = std::max(gap, n - last);
      last = n;
    }
    EXPECT_LE(gap, 100u) << "ms, seen by node " << node;
    EXPECT_EQ(last, number - 1);
  }
  const std::uint32_t blind = cut.there ? 1 : 4;
  EXPECT_GE(net.at(blind).counters()[forwarder::Counter::PathSwitches], 1u);
  // Restored: the hold-down passes, then the best path is used again.
  net.set_down(1, 4, 1, false);
  net.set_down(4, 1, 1, false);
  flow(2500);
  for (const auto& path : net.at(blind).status(net.now()).paths)
    if (path.tier == ids::Tier::Bulk && path.active && path.endpoint == ids::NodeId{blind == 1 ? 4u : 1u}) {
      EXPECT_EQ(path.segments.size(), 1u);
    }
  EXPECT_GT(number, at_cut);
}
INSTANTIATE_TEST_SUITE_P(Cuts, Repair,
                         ::testing::Values(Cut{true, true}, Cut{true, false}, Cut{false, true}));

// Flows are spread over the lists by their weights, each keeps its own, and a dead list's go by the others.
TEST(ForwardingStory, WeightsSpreadFlows) {
  const Overlay overlay = square(0, 1, 2);
  Network net(overlay);
  const auto weigh = [](SnapshotParts& parts) {
    for (fib::SrPolicy& policy : parts.policies)
      for (fib::CandidatePath& path : policy.paths)
        path.weight = path.count == 1 ? 250 : path.count == 2 ? 750 : 0;
  };
  for (const std::uint32_t node : {2u, 3u, 4u}) net.start(node);
  net.start(1, weigh);
  const auto send = [&] {
    for (std::uint16_t flow = 0; flow < 400; ++flow) {
      PacketMaker p;
      p.source = Overlay::tenant_address(1);
      p.destination = Overlay::tenant_address(4);
      p.protocol = 17;
      p.payload.assign(100, 0x5a);
      Octets packet = p.make();
      packet[20] = static_cast<std::uint8_t>(40 + flow / 256);
      packet[21] = static_cast<std::uint8_t>(flow);
      net.send(1, kVni, packet);
      net.run_for(milliseconds{1});
    }
  };
  send();
  net.run_for(seconds{2});
  // Of bulk: over the relay, directly, and over both relays.
  const auto packets = [&](std::size_t segments) {
    std::uint64_t sum = 0;
    for (const auto& path : net.at(1).status(net.now()).paths)
      if (path.tier == ids::Tier::Bulk && path.segments.size() == segments) sum += path.packets;
    return sum;
  };
  const std::uint64_t direct = packets(1), relayed = packets(2);
  send();
  EXPECT_NEAR(static_cast<double>(packets(1) - direct), 100, 40) << net.drops_text(1);
  EXPECT_NEAR(static_cast<double>(packets(2) - relayed), 300, 40);
  EXPECT_EQ(packets(3), 0u) << "a weight of 0";
  const std::uint64_t first = packets(1) - direct;
  const std::uint64_t before = packets(1);
  send();
  EXPECT_EQ(packets(1) - before, first) << "a flow keeps its list";
  net.set_down(1, 4, 1, true);
  net.set_down(4, 1, 1, true);
  net.run_for(seconds{2});
  const std::uint64_t dead = packets(1), others = packets(2);
  send();
  EXPECT_EQ(packets(1), dead);
  EXPECT_EQ(packets(2) - others, 400u);
  EXPECT_EQ(packets(3), 0u);
}

// 300 s of traffic over two rekeyings: not one packet is lost or repeated.
TEST(ForwardingStory, RekeyingLosesNothing) {
  const Overlay overlay = square(0, 1, 2);
  Network net(overlay);
  for (std::uint32_t n = 1; n <= 4; ++n) net.start(n);
  net.run_for(seconds{3});
  const auto sessions = net.at(1).counters()[forwarder::Counter::SessionsEstablished];
  std::uint32_t number = 0;
  for (; number < 300 * 20; ++number) {
    net.send(1, kVni, datagram(1, 4, number));
    net.run_for(milliseconds{50});
  }
  net.run_for(milliseconds{100});
  EXPECT_GE(net.at(1).counters()[forwarder::Counter::SessionsEstablished], sessions + 2);
  ASSERT_EQ(net.received(4).size(), number) << net.drops_text(1) << " | " << net.drops_text(4);
  for (std::uint32_t i = 0; i < number; ++i) ASSERT_EQ(number_of(net.received(4)[i].bytes), i);
}

// A box that was restarted takes part again within seconds, without anybody's help.
TEST(ForwardingStory, RestartedBoxComesBack) {
  const Overlay overlay = square(0, 1, 2);
  Network net(overlay);
  for (std::uint32_t n = 1; n <= 4; ++n) net.start(n);
  net.run_for(seconds{3});
  net.start(4);
  net.run_for(seconds{2});
  net.send(1, kVni, datagram(1, 4, 1));
  net.send(4, kVni, datagram(4, 1, 2));
  net.run_for(milliseconds{100});
  EXPECT_EQ(net.received(4).size(), 1u) << net.drops_text(1) << " | " << net.drops_text(4);
  EXPECT_EQ(net.received(1).size(), 1u);
}

// On the underlay nothing of a tenant's packet, nor of a list, can be read.
TEST(ForwardingStory, UnderlayShowsNoClearText) {
  const Overlay overlay = square(5, 0, 7);
  Network net(overlay);
  for (std::uint32_t n = 1; n <= 4; ++n) net.start(n);
  net.run_for(seconds{3});
  const Octets packet = datagram(1, 4, 0x11223344, 600);
  const Octets payload(64, 0x5a);
  const Octets sid{0, 0, 4, 0};  // n4, End, as the route header holds it
  std::size_t crossings = 0;
  net.tap = [&](Crossing& c) {
    ++crossings;
    EXPECT_EQ(std::search(c.bytes.begin(), c.bytes.end(), payload.begin(), payload.end()), c.bytes.end());
    if (c.bytes[0] == 5) {
      EXPECT_EQ(std::search(c.bytes.begin() + 16, c.bytes.begin() + 16 + c.bytes[2], sid.begin(), sid.end()),
                c.bytes.begin() + 16 + c.bytes[2]);
    }
    return true;
  };
  net.send(1, kVni, packet);
  net.run_for(milliseconds{50});
  EXPECT_EQ(net.received(4).size(), 1u);
  EXPECT_GE(crossings, 2u);
}

}  // namespace
}  // namespace qanat::test
