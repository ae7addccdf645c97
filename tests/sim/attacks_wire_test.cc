// Attacks on the wire: replays, forgeries, other addresses, datagrams merged into trains; handshakes of strangers.
#include "dataplane/crypto/cookie.hh"
#include "tests/sim/attack.hh"

namespace qanat::test {
namespace {

TEST_F(Attack, TheGenuineArticlePasses) {
  expect_delivered([&] { rogue.send(2, genuine_routed()); });
  expect_delivered([&] { rogue.send(4, genuine()); });
}

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
