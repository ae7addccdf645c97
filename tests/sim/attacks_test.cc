// What a hostile network, and a hostile but enrolled headend, can do to relays and endpoints: nothing but move a counter.
//
//   1 (rogue) ── 2 (relay) ── 4        tenant 100 on 1 and 4, tenant 200 on 4 and 5; all on plane 1
//                3 (relay)    5
#include <gtest/gtest.h>

#include "dataplane/crypto/cookie.hh"
#include "dataplane/packet/inner_header.hh"
#include "tests/sim/network.hh"
#include "tests/support/rogue.hh"
#include "tests/unit/dataplane/packet/packet_maker.hh"

namespace qanat::test {
namespace {

using ids::NodeId;
using ids::Sid;
using packet::DropReason;
using std::chrono::milliseconds;
using std::chrono::seconds;

Octets tenant_packet(const packet::IpAddress& from, const packet::IpAddress& to) {
  PacketMaker p;
  p.source = from;
  p.destination = to;
  p.protocol = 17;
  p.payload = some_bytes(100);
  return p.make();
}

Overlay five_nodes() {
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

TEST_F(Attack, TheGenuineArticlePasses) {
  expect_delivered([&] { rogue.send(2, genuine_routed()); });
  expect_delivered([&] { rogue.send(4, genuine()); });
}

// ---- on the wire ----

TEST_F(Attack, ReplayedAtTheRelay) {
  const auto d = genuine_routed();
  expect_delivered([&] { rogue.send(2, d); });
  expect_drop(2, DropReason::LinkReplayed, [&] { rogue.send(2, d); });
}

TEST_F(Attack, ReplayedAtTheEndpoint) {
  const auto d = genuine();
  expect_delivered([&] { rogue.send(4, d); });
  expect_drop(4, DropReason::Replayed, [&] { rogue.send(4, d); });
}

TEST_F(Attack, TheRelaysOwnDatagramReplayedAtTheEndpoint) {
  Octets last_hop;
  wire.seen = [&](const Crossing& c) {
    if (c.to == Overlay::line_address(4, 1) && c.bytes[0] == 5) last_hop = c.bytes;
  };
  expect_delivered([&] { rogue.send(2, genuine_routed()); });
  ASSERT_FALSE(last_hop.empty());
  expect_drop(4, DropReason::LinkReplayed,
              [&] { rogue.send_from(Overlay::line_address(2, 1), 4, last_hop); });
}

TEST_F(Attack, AlteredAnywhereTheLinkSealCovers) {
  const std::size_t inner = packet::routed_overhead_bytes(2);
  const auto size = genuine_routed().size();
  for (const std::size_t at :
       {std::size_t{1}, std::size_t{3}, std::size_t{10}, std::size_t{16}, std::size_t{30}, inner - 16,
        inner + 1, inner + 5, inner + 19, size - 16, size - 1}) {
    SCOPED_TRACE(at);
    auto d = genuine_routed();
    d[at] ^= 1;
    expect_drop(2, DropReason::LinkBadTag, [&] { rogue.send(2, d); });
  }
}

TEST_F(Attack, AlteredInThePayloadReachesOnlyTheEndpointsSeal) {
  auto d = genuine_routed();
  d[packet::routed_overhead_bytes(2) + 40] ^= 1;
  expect_drop(4, DropReason::BadTag, [&] { rogue.send(2, d); });
}

TEST_F(Attack, SentFromElsewhere) {
  const auto d = genuine_routed();
  expect_drop(2, DropReason::LinkSourceMismatch, [&] {
    rogue.send_from({packet::IpAddress::v4(0x0a010063), 7700}, 2, d);
  });
  const packet::UdpAddress another_port{Overlay::line_address(1, 1).address, 7701};
  expect_drop(2, DropReason::LinkSourceMismatch, [&] { rogue.send_from(another_port, 2, genuine_routed()); });
  expect_drop(2, DropReason::LinkSourceMismatch, [&] {
    rogue.send_from(another_port, 2, rogue.routed(2, by_relay(), genuine(), packet::kControlBucket));
  });
}

TEST_F(Attack, UnknownReceiverIndexAndTruncation) {
  auto d = genuine_routed();
  d[4] ^= 0x80;
  expect_drop(2, DropReason::UnknownReceiver, [&] { rogue.send(2, d); });
  const auto whole = genuine_routed();
  for (const std::size_t n : {0u, 1u, 15u, 40u, 63u, 100u}) {
    SCOPED_TRACE(n);
    if (n == 0) continue;  // the kernel hands an empty datagram over as no bytes at all
    expect_drop(2, DropReason::Malformed, [&] { rogue.send(2, Octets(whole.begin(), whole.begin() + n)); });
  }
}

// The kernel's GRO merges by addresses, ports and size: an attacker who forges those gets its datagram into the middle of
// a genuine train. Each segment is judged on its own; the genuine ones pass, and the next hop's train leaves it out.
TEST_F(Attack, AForgedDatagramInsideAGenuineTrain) {
  for (const bool at_relay : {true, false}) {
    SCOPED_TRACE(at_relay ? "at the relay" : "at the endpoint");
    const std::uint32_t node = at_relay ? 2 : 4;
    std::vector<Octets> train;
    for (int i = 0; i < 9; ++i) train.push_back(at_relay ? genuine_routed() : genuine());
    train[2][train[2].size() - 30] ^= 1;                        // payload: the endpoint's seal
    train[4].assign(train[4].size(), 0x41);                     // noise of the right size
    train[5] = train[3];                                        // a segment twice
    if (at_relay) train[7][packet::kLinkHeaderBytes + 5] ^= 1;  // the route header
    if (!at_relay) std::swap(train[7][packet::kSealedHeaderBytes], train[7][packet::kSealedHeaderBytes + 9]);
    Octets merged;
    for (const Octets& d : train) {
      ASSERT_EQ(d.size(), train[0].size());
      merged.insert(merged.end(), d.begin(), d.end());
    }
    const auto delivered = net.at(4).counters()[forwarder::Counter::InnerPacketsReceived];
    const auto total = net.at(node).drops().total();
    const auto replayed = at_relay ? DropReason::LinkReplayed : DropReason::Replayed;
    const auto bad = at_relay ? DropReason::LinkBadTag : DropReason::BadTag;
    const auto counts = std::array{net.drops(node, replayed), net.drops(node, bad),
                                   net.drops(4, DropReason::BadTag), net.drops(node, DropReason::Malformed)};
    net.inject_train({net.now(), Overlay::line_address(1, 1), Overlay::line_address(node, 1), merged},
                     train[0].size());
    net.run_for(milliseconds{50});
    EXPECT_EQ(net.at(4).counters()[forwarder::Counter::InnerPacketsReceived] - delivered, 5u)
        << net.drops_text(2) << " | " << net.drops_text(4);
    EXPECT_EQ(net.drops(node, replayed) - counts[0], 1u);
    EXPECT_EQ(net.drops(node, DropReason::Malformed) - counts[3], 1u);
    if (at_relay) {
      EXPECT_EQ(net.drops(node, bad) - counts[1], 1u);
      EXPECT_EQ(net.drops(4, DropReason::BadTag) - counts[2], 1u)
          << "the altered payload, where it can be seen";
      EXPECT_EQ(net.at(node).drops().total() - total, 3u) << net.drops_text(node);
    } else {
      EXPECT_EQ(net.drops(node, bad) - counts[1], 2u);
      EXPECT_EQ(net.at(node).drops().total() - total, 4u) << net.drops_text(node);
    }
  }
}

TEST_F(Attack, ADirectDatagramFromElsewhereIsTakenOnceAndMovesNobody) {
  const packet::UdpAddress elsewhere{packet::IpAddress::v4(0x0a010063), 7700};
  const auto d = genuine();
  expect_delivered([&] { rogue.send(4, d); });
  expect_drop(4, DropReason::Replayed, [&] { rogue.send_from(elsewhere, 4, d); });
  auto altered = genuine();
  altered.back() ^= 1;
  expect_drop(4, DropReason::BadTag, [&] { rogue.send_from(elsewhere, 4, altered); });
  EXPECT_EQ(net.at(4).counters()[forwarder::Counter::EndpointsMoved], 0u);
}

// ---- control messages of an enrolled liar ----

TEST_F(Attack, AnAnswerToNoChallenge) {
  expect_drop(4, DropReason::ChallengeUnexpected,
              [&] { rogue.send(4, rogue.control(4, packet::InnerKind::ChallengeReply, Octets(16, 7))); });
  expect_drop(4, DropReason::InnerMalformed,
              [&] { rogue.send(4, rogue.control(4, packet::InnerKind::Challenge, Octets(3, 7))); });
}

TEST_F(Attack, OnlyAListsOwnRelayNarrowsIt) {
  // n1 is no relay of anybody's list; and no list of n4's goes by these segments at all.
  Octets body{2, 0, 4, 0xd0};
  for (const Sid sid : {Sid::end(NodeId{1}), Sid::end(NodeId{5})}) PacketMaker::put32(body, sid.value);
  expect_drop(4, DropReason::NotARelay,
              [&] { rogue.send(4, rogue.control(4, packet::InnerKind::TooBig, body)); });
  expect_drop(4, DropReason::InnerMalformed, [&] {
    rogue.send(4, rogue.control(4, packet::InnerKind::TooBig, Octets{9, 0, 4, 0xd0}));
  });
}

TEST_F(Attack, PiecesThatFitNoPacket) {
  Octets piece;
  PacketMaker::put32(piece, 7);
  PacketMaker::put16(piece, 100);
  PacketMaker::put16(piece, 0);
  piece.resize(piece.size() + 100);  // the first of two is as long as the whole
  expect_drop(4, DropReason::FragmentMalformed,
              [&] { rogue.send(4, rogue.control(4, packet::InnerKind::Fragment, piece)); });
  // The half of a packet, and nothing more; it is forgotten when the next one is looked for.
  piece.resize(8 + 50);
  rogue.send(4, rogue.control(4, packet::InnerKind::Fragment, piece));
  net.run_for(seconds{2});
  piece[3] = 8;
  expect_drop(4, DropReason::FragmentTimeout,
              [&] { rogue.send(4, rogue.control(4, packet::InnerKind::Fragment, piece)); });
}

// ---- a list that was never allowed ----

TEST_F(Attack, SplicedExtendedReordered) {
  const auto allowed = by_relay();
  auto spliced = allowed;
  spliced.segments[1] = Sid::end(NodeId{5});
  expect_drop(2, DropReason::Token, [&] { send_list(spliced); });

  auto extended = allowed;
  extended.count = 3;
  extended.segments[1] = Sid::end(NodeId{3});
  extended.segments[2] = Sid::end(NodeId{4});
  expect_drop(2, DropReason::Token, [&] { send_list(extended); });

  // n2, n3, n4 was allowed; n3, n2, n4 with the same tokens was not. The rogue is a neighbour of both.
  ASSERT_TRUE(rogue.connect(3));
  auto reordered = rogue.list({Sid::end(NodeId{2}), Sid::end(NodeId{3}), Sid::end(NodeId{4})}, 1);
  std::swap(reordered.segments[0], reordered.segments[1]);
  std::swap(reordered.tokens[0], reordered.tokens[1]);
  expect_drop(3, DropReason::Token, [&] { rogue.send(3, rogue.routed(3, reordered, genuine())); });
}

TEST_F(Attack, OtherTierOtherPlaneLongerLife) {
  auto tier = by_relay();
  tier.tier = ids::Tier::Critical;
  expect_drop(2, DropReason::Token, [&] { send_list(tier); });
  auto plane = by_relay();
  plane.segments[0] = Sid::end_x(NodeId{2}, ids::PlaneId{1});
  expect_drop(2, DropReason::Token, [&] { send_list(plane); });
  auto life = by_relay();
  life.expiry_unix_s += 1;
  expect_drop(2, DropReason::Token, [&] { send_list(life); });
  auto forged = by_relay();
  forged.tokens[0] = 0;
  expect_drop(2, DropReason::Token, [&] { send_list(forged); });
}

TEST_F(Attack, Expired) {
  auto list = by_relay();
  list.expiry_unix_s = 1'800'000'000 - packet::kExpirySlackSeconds - 1;
  rogue.authorise(list);
  expect_drop(2, DropReason::Expired, [&] { send_list(list); });
  list.expiry_unix_s = 1'800'000'000 - packet::kExpirySlackSeconds + 60;
  rogue.authorise(list);
  expect_delivered([&] { send_list(list); });
}

TEST_F(Attack, AKeyEpochThatIsNoMore) {
  auto list = by_relay();
  list.token_epoch = 9;
  rogue.authorise(list);
  expect_drop(2, DropReason::Expired, [&] { send_list(list); });
}

TEST_F(Attack, AnotherHeadendsList) {
  // Node 5's own, genuine list, used by the rogue as it is …
  const auto list = rogue.list({Sid::end(NodeId{2}), Sid::end(NodeId{4})}, 5);
  expect_drop(2, DropReason::PreviousHop, [&] { send_list(list); });
  // … and under the rogue's name.
  auto renamed = list;
  renamed.headend = NodeId{1};
  expect_drop(2, DropReason::Token, [&] { send_list(renamed); });
}

TEST_F(Attack, EnteringAListInTheMiddle) {
  // The rogue is the headend, but the list says that n3 comes before n2.
  auto list = rogue.list({Sid::end(NodeId{3}), Sid::end(NodeId{2}), Sid::end(NodeId{4})}, 1);
  list.pointer = 1;
  expect_drop(2, DropReason::PreviousHop, [&] { send_list(list); });
}

TEST_F(Attack, LoopsAndBouncesAndWrongPlaces) {
  auto twice = by_relay();
  twice.count = 3;
  twice.segments = {Sid::end(NodeId{2}), Sid::end(NodeId{3}), Sid::end(NodeId{2})};
  rogue.authorise(twice);
  expect_drop(2, DropReason::RouteLoop, [&] { send_list(twice); });
  expect_drop(2, DropReason::RouteLoop, [&] {
    send_list(rogue.list({Sid::end(NodeId{2}), Sid::end(NodeId{1})}, 1));
  });
  expect_drop(2, DropReason::Pointer, [&] {
    send_list(rogue.list({Sid::end(NodeId{3}), Sid::end(NodeId{4})}, 1));
  });
  auto past = by_relay();
  past.pointer = 2;
  expect_drop(2, DropReason::Pointer, [&] { send_list(past); });
  auto spent = by_relay();
  spent.hop_limit = 0;
  expect_drop(2, DropReason::HopLimit, [&] { send_list(spent); });
  spent.hop_limit = 1;
  expect_drop(2, DropReason::HopLimit, [&] { send_list(spent); });
  auto odd = by_relay();
  odd.segments[1] = Sid{4u << 8 | 0x80};
  expect_drop(2, DropReason::RouteMalformed, [&] { send_list(odd); });
}

TEST_F(Attack, ABoxThatIsNoRelayRelaysNothing) {
  const auto list = rogue.list({Sid::end(NodeId{4}), Sid::end(NodeId{5})}, 1);
  expect_drop(4, DropReason::NotARelay, [&] { rogue.send(4, rogue.routed(4, list, genuine())); });
}

TEST_F(Attack, ADeniedHeadendStopsAtOnce) {
  net.at(2).set_snapshot(
      overlay.snapshot(2, 99, [](SnapshotParts& parts) { parts.denied.push_back(NodeId{1}); }), net.now());
  expect_drop(2, DropReason::DeniedHeadend, [&] { rogue.send(2, genuine_routed()); });
}

TEST_F(Attack, ARelayWithoutAWayOn) {
  const auto list = rogue.list({Sid::end_x(NodeId{2}, ids::PlaneId{7}), Sid::end(NodeId{4})}, 1);
  expect_drop(2, DropReason::NoAdjacency, [&] { send_list(list); });
}

// ---- a tenant's packet that lies, from a headend that lets it ----

TEST_F(Attack, AnotherBoxsAddressIsDroppedAtTheEgress) {
  const auto as_five = tenant_packet(Overlay::tenant_address(5), Overlay::tenant_address(4));
  const auto nobodys = tenant_packet(packet::IpAddress::v4(0x01020304), Overlay::tenant_address(4));
  const auto as_the_target = tenant_packet(Overlay::tenant_address(4), Overlay::tenant_address(4));
  expect_drop(4, DropReason::InnerSource, [&] { rogue.send(4, rogue.sealed(4, 100, as_five)); });
  expect_drop(4, DropReason::InnerSource, [&] { rogue.send(4, rogue.sealed(4, 100, nobodys)); });
  expect_drop(4, DropReason::InnerSource, [&] { rogue.send(4, rogue.sealed(4, 100, as_the_target)); });
  expect_drop(4, DropReason::InnerSource,
              [&] { rogue.send(2, rogue.routed(2, by_relay(), rogue.sealed(4, 100, as_five))); });
}

TEST_F(Attack, AnotherTenantIsOutOfReach) {
  const auto honest = tenant_packet(Overlay::tenant_address(1), Overlay::tenant_address(4));
  const auto as_five = tenant_packet(Overlay::tenant_address(5), Overlay::tenant_address(4));
  expect_drop(4, DropReason::NotMember, [&] { rogue.send(4, rogue.sealed(4, 200, honest)); });
  expect_drop(4, DropReason::NotMember, [&] { rogue.send(4, rogue.sealed(4, 200, as_five)); });
  expect_drop(4, DropReason::VniUnknown, [&] { rogue.send(4, rogue.sealed(4, 300, honest)); });
  expect_drop(4, DropReason::VniUnknown, [&] { rogue.send(4, rogue.sealed(4, 0, honest)); });
}

TEST_F(Attack, TheEndpointIsNoRouterForInnerAddresses) {
  const auto elsewhere = tenant_packet(Overlay::tenant_address(1), Overlay::tenant_address(1));
  const auto nobody = tenant_packet(Overlay::tenant_address(1), packet::IpAddress::v4(0x08080808));
  expect_drop(4, DropReason::InnerDestination, [&] { rogue.send(4, rogue.sealed(4, 100, elsewhere)); });
  expect_drop(4, DropReason::InnerDestination, [&] { rogue.send(4, rogue.sealed(4, 100, nobody)); });
  expect_drop(4, DropReason::InnerMalformed, [&] { rogue.send(4, rogue.sealed(4, 100, Octets(30, 0x47))); });
}

TEST_F(Attack, SpacesRunOut) {
  // A sender may open 256 spaces, each answered with a window; no more memory than that.
  auto& keys = rogue.keys(4);
  const auto packet = tenant_packet(Overlay::tenant_address(1), Overlay::tenant_address(4));
  for (std::uint32_t path = 1; path <= 15; ++path)
    for (std::uint16_t group = 0; group < 18; ++group) {
      packet::InnerHeader inner;
      inner.vni = ids::Vni{100};
      std::array<std::uint8_t, packet::InnerHeader::kBytes> head{};
      inner.serialize(head);
      const std::array<packet::Bytes, 2> pieces{packet::Bytes(head), packet::Bytes(packet)};
      Octets out(packet::kSealedOverheadBytes + packet.size());
      keys.seal(0, keys.send_space(ids::PathId{path}, group), pieces, out);
      rogue.send(4, out);
    }
  net.run_for(milliseconds{50});
  EXPECT_EQ(net.drops(4, DropReason::SpacesExhausted), 15u * 18 - 256) << net.drops_text(4);
}

// ---- handshakes ----

TEST_F(Attack, AReplayedInitiationIsRefused) {
  Octets init;
  Overlay other = five_nodes();
  const crypto::HandshakeInitiator again(other.node(1).keys, other.node(4).keys.public_key,
                                         crypto::KeyPair::from_secret(other.node(5).relay_key), {1, 1},
                                         crypto::Suite::Aes256Gcm, 5);
  init.assign(again.datagram().begin(), again.datagram().end());
  crypto::MacMaker(other.node(4).keys.public_key).sign(init, net.now());
  expect_drop(4, DropReason::HandshakeReplayed, [&] { rogue.send(4, init); });
  init[120] ^= 1;
  expect_drop(4, DropReason::HandshakeMac, [&] { rogue.send(4, init); });
}

TEST_F(Attack, AStrangersInitiationIsRefused) {
  const auto stranger = crypto::KeyPair::from_secret(overlay.node(5).relay_key);
  const auto& theirs = overlay.node(4).keys.public_key;
  const crypto::HandshakeInitiator initiator(stranger, theirs, stranger, {1, 1}, crypto::Suite::Aes256Gcm, 5);
  Octets init(initiator.datagram().begin(), initiator.datagram().end());
  crypto::MacMaker(theirs).sign(init, net.now());
  expect_drop(4, DropReason::HandshakeUnknownPeer, [&] { rogue.send(4, init); });
}

}  // namespace
}  // namespace qanat::test
