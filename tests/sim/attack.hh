// Attack: a rogue with node 1's keys in a simulated network; everybody else is honest. For the attacks_*_test.cc, which say
// what it can do: nothing but move a counter.
//
//   1 (rogue) ── 2 (relay) ── 4        tenant 100 on 1 and 4, tenant 200 on 4 and 5; all on plane 1
//                3 (relay)    5
#pragma once

#include <gtest/gtest.h>

#include "tests/sim/network.hh"
#include "tests/support/rogue.hh"
#include "tests/unit/dataplane/packet/packet_maker.hh"

namespace qanat::test {

using ids::NodeId;
using ids::Sid;
using packet::DropReason;
using std::chrono::milliseconds;
using std::chrono::seconds;

inline Octets tenant_packet(const packet::IpAddress& from, const packet::IpAddress& to) {
  PacketMaker p;
  p.source = from;
  p.destination = to;
  p.protocol = 17;
  p.payload = some_bytes(100);
  return p.make();
}

inline Overlay five_nodes() {
  Overlay o(11);
  o.add_node(1, false, {1});
  o.add_node(2, true, {1});
  o.add_node(3, true, {1});
  o.add_node(4, false, {1});
  o.add_node(5, false, {1});
  o.add_tenant(100, {1, 4});
  o.add_tenant(200, {4, 5});
  return o;
}

// The rogue in a simulated network, in the place of node 1: a forwarder that knows nobody keeps that node's lines on
// the map and says nothing.
class SimulatedWire : public RogueWire {
 public:
  explicit SimulatedWire(Network& net) : net_(net) {
    net_.start(1, [](SnapshotParts& parts) {
      std::erase_if(parts.peers, [](const fib::Peer& p) { return p.id.value != 1; });
      parts.policies.clear();
      parts.tenants.clear();
    });
    net_.tap = [this](Crossing& c) {
      if (seen) seen(c);
      if (c.to != Overlay::line_address(1, 1)) return true;
      arrived_.push_back(c.bytes);
      return false;
    };
  }
  void send(const packet::UdpAddress& from, const packet::UdpAddress& to, const Octets& datagram) override {
    net_.inject({net_.now(), from, to, datagram});
  }
  Octets await() override {
    if (arrived_.empty()) net_.run_for(milliseconds{50});
    if (arrived_.empty()) return {};
    Octets first = std::move(arrived_.front());
    arrived_.pop_front();
    return first;
  }
  base::Time now() override { return net_.now(); }

  std::function<void(const Crossing&)> seen;

 private:
  Network& net_;
  std::deque<Octets> arrived_;
};

// The rogue at node 1 has shaken hands with the relay and the endpoint; everybody else is honest.
class Attack : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const std::uint32_t n : {2u, 3u, 4u, 5u}) net.start(n);
    net.run_for(seconds{10});
    ASSERT_TRUE(rogue.connect(2));
    ASSERT_TRUE(rogue.connect(4));
  }

  packet::RouteHeader by_relay() const { return rogue.list({Sid::end(NodeId{2}), Sid::end(NodeId{4})}, 1); }
  Octets genuine() {
    return rogue.sealed(4, 100, tenant_packet(Overlay::tenant_address(1), Overlay::tenant_address(4)));
  }
  Octets genuine_routed() { return rogue.routed(2, by_relay(), genuine()); }

  // After `act`, `node` has dropped exactly one datagram, for `reason`; and tenants were handed `delivered` packets.
  void expect_drop(std::uint32_t node, DropReason reason, const std::function<void()>& act,
                   std::size_t delivered = 0) {
    const auto before = net.drops(node, reason);
    const auto total = net.at(node).drops().total();
    net.received(4).clear();
    net.received(5).clear();
    act();
    net.run_for(milliseconds{50});
    EXPECT_EQ(net.drops(node, reason) - before, 1u)
        << packet::to_string(reason) << " | " << net.drops_text(node);
    EXPECT_EQ(net.at(node).drops().total() - total, 1u) << net.drops_text(node);
    EXPECT_EQ(net.received(4).size() + net.received(5).size(), delivered);
  }
  void expect_delivered(const std::function<void()>& act) {
    net.received(4).clear();
    act();
    net.run_for(milliseconds{50});
    EXPECT_EQ(net.received(4).size(), 1u) << net.drops_text(2) << " | " << net.drops_text(4);
  }
  void send_list(const packet::RouteHeader& route) { rogue.send(2, rogue.routed(2, route, genuine())); }

  Overlay overlay = five_nodes();
  Network net{overlay};
  SimulatedWire wire{net};
  Rogue rogue{wire, overlay, 1};
};

}  // namespace qanat::test
