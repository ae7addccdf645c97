// Drop reasons that take a network to come about: each is provoked and counted once for each packet.
#include <gtest/gtest.h>

#include "tests/sim/network.hh"
#include "tests/unit/dataplane/packet/packet_maker.hh"

namespace qanat::test {
namespace {

using packet::DropReason;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint32_t kVni = 100;

Overlay pair_of_boxes() {
  Overlay o(71);
  o.add_node(1, false, {1});
  o.add_node(4, false, {1});
  o.add_tenant(kVni, {1, 4});
  return o;
}

Octets udp(std::size_t payload = 100, std::uint8_t traffic_class = 0, bool dont_fragment = false) {
  PacketMaker p;
  p.source = Overlay::tenant_address(1);
  p.destination = Overlay::tenant_address(4);
  p.protocol = 17;
  p.traffic_class = traffic_class;
  p.dont_fragment = dont_fragment;
  p.payload = some_bytes(payload);
  return p.make();
}

// A box holds a few packets while it shakes hands; what comes after them has no session to go by.
TEST(Drops, NoSessionYet) {
  const Overlay overlay = pair_of_boxes();
  Network net(overlay);
  net.start(1);
  constexpr std::size_t kSent = 40;
  for (std::size_t i = 0; i < kSent; ++i) net.send(1, kVni, udp());
  EXPECT_EQ(net.drops(1, DropReason::NoSession), kSent - forwarder::PeerState::kMaxWaiting)
      << net.drops_text(1);
  net.start(4);
  net.run_for(seconds{6});
  EXPECT_EQ(net.received(4).size(), forwarder::PeerState::kMaxWaiting);
}

TEST(Drops, NoPathOnceAllAreDead) {
  const Overlay overlay = pair_of_boxes();
  Network net(overlay);
  net.start(1);
  net.start(4);
  net.run_for(seconds{3});
  net.send(1, kVni, udp());
  net.run_for(milliseconds{50});
  ASSERT_EQ(net.received(4).size(), 1u);
  // A peer that the configuration does not know any more, though its tenant does.
  net.set_snapshot(1, overlay.snapshot(1, 9, [](SnapshotParts& parts) {
    std::erase_if(parts.peers, [](const fib::Peer& p) { return p.id == ids::NodeId{4}; });
    for (auto& tenant : parts.tenants)
      std::erase_if(tenant.members, [](const fib::TenantMember& m) { return m.node == ids::NodeId{4}; });
    parts.policies.clear();
  }));
  net.send(1, kVni, udp());
  EXPECT_EQ(net.drops(1, DropReason::InnerDestination), 1u) << net.drops_text(1);
  // A peer that no plane reaches: it has a line on plane 2 alone now.
  net.set_snapshot(1, overlay.snapshot(1, 10, [](SnapshotParts& parts) {
    for (fib::Peer& p : parts.peers)
      if (p.id == ids::NodeId{4}) p.lines.clear();
    parts.policies.clear();
  }));
  net.send(1, kVni, udp());
  EXPECT_EQ(net.drops(1, DropReason::NoPath), 1u) << net.drops_text(1);
}

// RFC 6040 §4.2: an outer mark of congestion on a packet whose sender does not understand it drops the packet.
TEST(Drops, ShedWhereCongestionCannotBeCarried) {
  const Overlay overlay = pair_of_boxes();
  Network net(overlay);
  net.start(1);
  net.start(4);
  net.run_for(seconds{3});
  net.tap = [](Crossing& c) {
    c.traffic_class |= 3;
    return true;
  };
  net.send(1, kVni, udp(100, 0));
  net.send(1, kVni, udp(100, 2));  // ECT(0): it arrives, marked
  net.run_for(milliseconds{50});
  EXPECT_EQ(net.drops(4, DropReason::Shed), 1u) << net.drops_text(4);
  ASSERT_EQ(net.received(4).size(), 1u);
  EXPECT_EQ(net.received(4)[0].bytes[1] & 3, 3);
}

TEST(Drops, MtuOfWhatMayNotBeCut) {
  const Overlay overlay = pair_of_boxes();
  Network net(overlay);
  net.start(1);
  net.start(4);
  net.run_for(seconds{3});
  net.send(1, kVni, udp(6000, 0, true));
  net.run_for(milliseconds{50});
  EXPECT_EQ(net.drops(1, DropReason::Mtu), 1u) << net.drops_text(1);
  EXPECT_TRUE(net.received(4).empty());
}

}  // namespace
}  // namespace qanat::test
