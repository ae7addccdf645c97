// Sessions in a hostile and changing world, in virtual time: floods, NATs, boxes that move, keys that are replaced.
#include <gtest/gtest.h>

#include <set>

#include "dataplane/crypto/cookie.hh"
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

Octets numbered(std::uint32_t from, std::uint32_t to, std::uint32_t number) {
  PacketMaker p;
  p.source = Overlay::tenant_address(from);
  p.destination = Overlay::tenant_address(to);
  p.protocol = 17;
  p.payload.assign(100, 0x5a);
  for (int i = 0; i < 4; ++i)
    p.payload[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(number >> (24 - 8 * i));
  return p.make();
}

// 1 and 4 on plane 1, a relay 2 on both planes, tenant 100 on 1 and 4.
Overlay trio() {
  Overlay o(31);
  o.add_node(1, false, {1});
  o.add_node(2, true, {1});
  o.add_node(4, false, {1});
  o.add_tenant(kVni, {1, 4});
  return o;
}

class Story : public ::testing::Test {
 protected:
  void start_all() {
    for (const std::uint32_t n : {1u, 2u, 4u}) net.start(n);
    net.run_for(seconds{3});
  }
  bool established(std::uint32_t at, std::uint32_t with) {
    for (const auto& p : net.at(at).status(net.now()).peers)
      if (p.node == NodeId{with}) return p.session;
    return false;
  }
  // 1 kpps both ways for a while; how many packets were lost.
  std::size_t flow(base::Duration d, std::uint32_t a = 1, std::uint32_t b = 4) {
    net.received(a).clear();
    net.received(b).clear();
    std::size_t sent = 0;
    for (base::Duration t{}; t < d; t += milliseconds{1}, sent += 2) {
      net.send(a, kVni, numbered(a, b, static_cast<std::uint32_t>(sent)));
      net.send(b, kVni, numbered(b, a, static_cast<std::uint32_t>(sent)));
      net.run_for(milliseconds{1});
    }
    net.run_for(milliseconds{300});
    return sent - net.received(a).size() - net.received(b).size();
  }
  std::string drops() { return net.drops_text(1) + "| " + net.drops_text(2) + "| " + net.drops_text(4); }

  Overlay overlay = trio();
  Network net{overlay};
};

// ---- floods ----

// Initiations with a valid mac1 (the target's static key is no secret to an insider) from 65,536 spoofed sources,
// 100,000 a second: strangers cost us a hash and a small answer, peers still get in.
TEST_F(Story, AFloodOfValidMac1KeepsNoPeerOut) {
  net.start(4);
  net.run_for(seconds{1});
  // Initiations of an insider: they open, and would cost the full price.
  std::vector<Octets> initiations;
  for (std::uint32_t i = 0; i < 64; ++i) {
    const auto ephemeral = crypto::KeyPair::from_secret(overlay.node(2).relay_key);
    const crypto::HandshakeInitiator made(overlay.node(2).keys, overlay.node(4).keys.public_key, ephemeral,
                                          {1, i + 1}, crypto::Suite::Aes256Gcm, i);
    Octets d(made.datagram().begin(), made.datagram().end());
    crypto::MacMaker(overlay.node(4).keys.public_key).sign(d, net.now());
    initiations.push_back(std::move(d));
  }
  std::uint64_t asked_bytes = 0;
  std::uint64_t answered_bytes = 0;
  std::size_t largest_answer = 0;
  net.stray = [&](const Crossing& c) {
    answered_bytes += c.bytes.size();
    largest_answer = std::max(largest_answer, c.bytes.size());
  };
  std::uint32_t number = 0;
  base::Time connected{};
  const base::Time began = net.now();
  for (int ms = 0; ms < 2600; ++ms) {
    for (int i = 0; i < 100; ++i, ++number) {
      const Octets& d = initiations[number % initiations.size()];
      const std::uint32_t source = (number * 40503u) & 0xffff;
      net.inject(
          {net.now(), {packet::IpAddress::v4(0xc6120000u + source), 7700}, Overlay::line_address(4, 1), d});
      asked_bytes += d.size();
    }
    if (ms == 500) net.start(1);
    net.run_for(milliseconds{1});
    if (connected == base::Time{} && net.now() > began + milliseconds{500} && ms > 500 && established(1, 4))
      connected = net.now();
  }
  ASSERT_NE(connected, base::Time{}) << drops();
  EXPECT_LE(connected - began, milliseconds{2500}) << "within 2 s of its start";
  EXPECT_GT(net.at(4).counters()[Counter::CookiesSent] + net.drops(4, DropReason::HandshakeRate), 200'000u);
  EXPECT_GT(net.at(4).counters()[Counter::CookiesSent], 20'000u)
      << "strangers get some even of a box that is behind";
  EXPECT_LE(net.at(4).counters()[Counter::HandshakesAnswered], 300u) << "what strangers may cost";
  EXPECT_LE(largest_answer, 148u);
  EXPECT_LT(answered_bytes, asked_bytes / 2) << "no amplification";
}

// Everything that an unauthenticated sender can provoke: nothing is larger than what it sent.
TEST_F(Story, NoAnswerBeforeAuthenticationIsLargerThanItsQuestion) {
  start_all();
  Octets captured_sealed, captured_routed;
  net.tap = [&](Crossing& c) {
    if (c.bytes[0] == 4) captured_sealed = c.bytes;
    if (c.bytes[0] == 5) captured_routed = c.bytes;
    return true;
  };
  net.send(1, kVni, numbered(1, 4, 1));
  net.run_for(seconds{1});
  net.tap = {};
  std::size_t answers = 0;
  std::size_t asked = 0;
  net.stray = [&](const Crossing& c) {
    ++answers;
    EXPECT_LE(c.bytes.size(), asked);
  };
  const packet::UdpAddress stranger{packet::IpAddress::v4(0xc6120001), 7700};
  std::mt19937 random(3);
  for (std::uint8_t type = 0; type < 8; ++type)
    for (const std::size_t size : {1u, 4u, 20u, 50u, 64u, 92u, 148u, 300u, 1400u})
      for (int i = 0; i < 20; ++i) {
        Octets d(size);
        for (auto& b : d) b = static_cast<std::uint8_t>(random());
        d[0] = type;
        asked = size;
        net.inject({net.now(), stranger, Overlay::line_address(4, 1), d});
        net.run_for(milliseconds{1});
      }
  for (const Octets& d : {captured_sealed, captured_routed}) {
    if (d.empty()) continue;
    asked = d.size();
    net.inject({net.now(), stranger, Overlay::line_address(4, 1), d});
    net.run_for(milliseconds{50});
  }
  // The one answer that exists: to an initiation with a true mac1, once under load or from an enrolled key.
  const crypto::HandshakeInitiator made(overlay.node(2).keys, overlay.node(4).keys.public_key,
                                        crypto::KeyPair::from_secret(overlay.node(2).relay_key), {9, 1},
                                        crypto::Suite::Aes256Gcm, 1);
  Octets init(made.datagram().begin(), made.datagram().end());
  crypto::MacMaker(overlay.node(4).keys.public_key).sign(init, net.now());
  asked = init.size();
  net.inject({net.now(), stranger, Overlay::line_address(4, 1), init});
  net.run_for(milliseconds{50});
  EXPECT_EQ(answers, 1u);
}

// ---- restarts and clocks ----

// A box restarts; its peer takes its handshakes although its monotonic clock began anew: the boot counter is greater.
// And what was recorded before a restart of the *responder* makes keys that nobody uses.
TEST_F(Story, ReplayedInitiationsAfterARestartHarmNobody) {
  std::vector<Crossing> recorded;
  net.tap = [&](Crossing& c) {
    if (c.bytes[0] == 1 && c.to == Overlay::line_address(4, 1) && c.from == Overlay::line_address(1, 1))
      recorded.push_back(c);
    return true;
  };
  start_all();
  for (int i = 0; i < 6; ++i) {
    net.start(1);
    net.run_for(seconds{3});
  }
  net.tap = {};
  ASSERT_GE(recorded.size(), 6u);
  net.start(4);
  net.run_for(seconds{3});
  ASSERT_EQ(flow(milliseconds{200}), 0u) << drops();
  for (const Crossing& c : recorded) {
    net.inject({net.now(), c.from, c.to, c.bytes});
    net.run_for(milliseconds{20});
  }
  EXPECT_EQ(flow(milliseconds{500}), 0u) << drops();
  // Again once it had no time to hear anything newer.
  net.start(4);
  for (const Crossing& c : recorded) net.inject({net.now(), c.from, c.to, c.bytes});
  net.run_for(seconds{3});
  EXPECT_EQ(flow(milliseconds{500}), 0u) << drops();
  EXPECT_GT(net.drops(4, DropReason::HandshakeReplayed) + net.drops(4, DropReason::HandshakeRate), 0u);
}

// ---- suites ----

TEST_F(Story, SuitesAreNegotiated) {
  for (const auto& [one, four] :
       {std::pair{crypto::Suite::Aes256Gcm, crypto::Suite::ChaCha20Poly1305},
        std::pair{crypto::Suite::ChaCha20Poly1305, crypto::Suite::Aes256Gcm},
        std::pair{crypto::Suite::ChaCha20Poly1305, crypto::Suite::ChaCha20Poly1305}}) {
    net.options_edit = [&, one = one, four = four](std::uint32_t id, forwarder::ForwarderOptions& o) {
      o.identity.suite = id == 1 ? one : id == 4 ? four : crypto::Suite::Aes256Gcm;
    };
    // Whichever of them initiates, the answer's suite byte says ChaCha20.
    std::set<int> answered;
    net.tap = [&](Crossing& c) {
      if (c.bytes[0] == 2 && c.from != Overlay::line_address(2, 1) && c.to != Overlay::line_address(2, 1))
        answered.insert(c.bytes[1]);
      return true;
    };
    start_all();
    EXPECT_EQ(flow(milliseconds{100}), 0u) << drops();
    EXPECT_EQ(answered, std::set<int>{1});
  }
}

// Both ends find their keys old at once, and neither hears of the other's handshake before it has sent its own: each
// sends with its own new keys and has to keep the other's, also when it holds as many as it may.
TEST_F(Story, HandshakesThatCrossLoseNothing) {
  // A responder has its keys 100 ms before the initiator: they are old at the same time.
  net.options_edit = [](std::uint32_t, forwarder::ForwarderOptions& o) {
    o.session = {seconds{2}, milliseconds{2100}};
  };
  net.set_delay(1, 4, 1, milliseconds{100});
  net.set_delay(4, 1, 1, milliseconds{100});
  start_all();
  EXPECT_EQ(flow(seconds{12}), 0u) << drops();
  for (const std::uint32_t box : {1u, 4u})
    EXPECT_GE(net.at(box).counters()[Counter::HandshakesAnswered], 4u) << box << ": they did not cross";
}

// Keys that the peer lost, though both believe in them: found out because nothing gets through, long before they age.
TEST_F(Story, KeysThatNothingGetsThroughWithAreReplaced) {
  start_all();
  ASSERT_EQ(flow(milliseconds{100}), 0u) << drops();
  net.tap = [](Crossing& c) { return c.bytes[0] <= 3; };  // handshakes pass, whatever is sealed does not
  net.run_for(seconds{8});
  const auto before = net.at(1).counters()[Counter::SessionsEstablished];
  net.run_for(seconds{12});
  EXPECT_GE(net.at(1).counters()[Counter::SessionsEstablished], before + 2) << drops();
  EXPECT_LE(net.at(1).counters()[Counter::SessionsEstablished], before + 12)
      << "no more than one in 5 s each";
  net.tap = nullptr;
  net.run_for(seconds{7});
  EXPECT_EQ(flow(milliseconds{100}), 0u) << drops();
}

// ---- where peers live ----

const packet::IpAddress kNatAddress = packet::IpAddress::v4(0xcb007101);  // 203.0.113.1
const packet::IpAddress kOtherNat = packet::IpAddress::v4(0xcb007102);

TEST_F(Story, ABoxBehindANatIsReachedAndStaysReachable) {
  net.set_nat(1, kNatAddress);
  start_all();
  EXPECT_GE(net.at(4).counters()[Counter::EndpointsMoved], 1u);
  EXPECT_EQ(flow(seconds{1}), 0u) << drops();
  // Ten minutes without a tenant's packet: probes keep the mapping (30 s) alive, over five rekeyings.
  net.run_for(std::chrono::minutes{10});
  net.received(1).clear();
  net.send(4, kVni, numbered(4, 1, 7));
  net.run_for(milliseconds{100});
  EXPECT_EQ(net.received(1).size(), 1u) << drops();
}

TEST_F(Story, ABoxThatMovesIsFollowedAfterAChallenge) {
  net.set_nat(1, kNatAddress);
  start_all();
  ASSERT_EQ(flow(seconds{1}), 0u) << drops();
  const auto sessions = net.at(4).counters()[Counter::SessionsEstablished];
  net.set_nat(1, kOtherNat);
  const std::size_t lost = flow(seconds{2});
  EXPECT_LE(lost, 150u) << "of 4,000: only what was under way to the old address, " << drops();
  EXPECT_EQ(flow(seconds{1}), 0u) << drops();
  EXPECT_EQ(net.at(4).counters()[Counter::SessionsEstablished], sessions) << "with the keys it had";
}

// A captured datagram that is sent on, unseen by its receiver, from the attacker's own address is authentic; the address
// is not believed, for nobody answers the challenge there.
TEST_F(Story, AnAddressThatDoesNotAnswerIsNotBelieved) {
  start_all();
  ASSERT_EQ(flow(milliseconds{200}), 0u);
  const packet::UdpAddress attacker{packet::IpAddress::v4(0xc6120001), 7700};
  std::size_t diverted = 0;
  std::size_t to_attacker = 0;
  net.stray = [&](const Crossing& c) {
    if (c.to != attacker) return;
    ++to_attacker;
    EXPECT_LE(c.bytes.size(), 70u) << "the challenge, nothing more";
  };
  net.tap = [&](Crossing& c) {
    if (c.to == Overlay::line_address(4, 1) && c.from == Overlay::line_address(1, 1) && c.bytes[0] == 4 &&
        c.bytes[1] == packet::kControlBucket && ++diverted % 2 == 0)
      c.from = attacker;
    return true;
  };
  EXPECT_EQ(flow(seconds{1}), 0u) << drops();
  EXPECT_GT(to_attacker, 0u);
  EXPECT_EQ(net.at(4).counters()[Counter::EndpointsMoved], 0u);
}

TEST_F(Story, TwoBoxesBehindNatsMeetThroughARelay) {
  overlay.add_lists({100, 1, {}, 1, 1, {Sid::end(NodeId{2}), Sid::end(NodeId{4})}});
  overlay.add_lists({200, 4, {}, 1, 1, {Sid::end(NodeId{2}), Sid::end(NodeId{1})}});
  net.set_nat(1, kNatAddress);
  net.set_nat(4, kOtherNat);
  for (const std::uint32_t n : {1u, 2u, 4u}) net.start(n);
  net.run_for(seconds{10});
  EXPECT_EQ(flow(seconds{1}), 0u) << drops();
  EXPECT_GT(net.at(2).counters()[Counter::TransitPackets], 1000u);
}

TEST_F(Story, Ipv6UnderTheOverlayAndBothFamiliesInIt) {
  for (const std::uint32_t n : {1u, 2u, 4u})
    overlay.set_line_address(n, 1, {{packet::IpFamily::V6, 0x20010db8ULL << 32, n}, 7700});
  start_all();
  EXPECT_EQ(flow(milliseconds{200}), 0u) << drops();
  PacketMaker p;
  p.source = Overlay::tenant_address6(1);
  p.destination = Overlay::tenant_address6(4);
  p.protocol = 17;
  p.payload.assign(1000, 1);
  net.received(4).clear();
  net.send(1, kVni, p.make());
  net.run_for(milliseconds{50});
  ASSERT_EQ(net.received(4).size(), 1u) << drops();
  EXPECT_EQ(net.received(4)[0].bytes, p.make());
}

// ---- keys that are replaced ----

TEST_F(Story, StaticKeysRotateUnderTraffic) {
  start_all();
  ASSERT_EQ(flow(milliseconds{500}), 0u);
  overlay.rotate_keys(1);
  net.at(1).set_static_keys(overlay.node(1).keys);
  EXPECT_EQ(flow(seconds{1}), 0u) << "nobody knows of it yet: " << drops();
  net.set_snapshot(4, overlay.snapshot(4, 50));
  EXPECT_EQ(flow(seconds{2}), 0u) << drops();
  net.set_snapshot(1, overlay.snapshot(1, 50));
  net.set_snapshot(2, overlay.snapshot(2, 50));
  EXPECT_EQ(flow(seconds{2}), 0u) << drops();
  // Past the life of every old key.
  for (int i = 0; i < 10; ++i) {
    net.run_for(seconds{30});
    EXPECT_EQ(flow(milliseconds{100}), 0u) << i << ": " << drops();
  }
  EXPECT_TRUE(established(1, 4));
  EXPECT_TRUE(established(2, 1));
}

TEST_F(Story, TheNetworkKeyRotatesUnderTraffic) {
  start_all();
  overlay.rotate_psk();
  net.set_snapshot(1, overlay.snapshot(1, 50));
  for (int i = 0; i < 4; ++i) {  // 1 is a minute ahead of the others
    net.run_for(seconds{15});
    EXPECT_EQ(flow(milliseconds{100}), 0u) << drops();
  }
  net.set_snapshot(4, overlay.snapshot(4, 50));
  net.set_snapshot(2, overlay.snapshot(2, 50));
  for (int i = 0; i < 10; ++i) {
    net.run_for(seconds{30});
    EXPECT_EQ(flow(milliseconds{100}), 0u) << i << ": " << drops();
  }
}

TEST_F(Story, ARevokedNodeIsOutWithTheConfiguration) {
  start_all();
  ASSERT_EQ(flow(milliseconds{100}), 0u);
  const auto revoked = [](SnapshotParts& parts) {
    std::erase_if(parts.peers, [](const fib::Peer& p) { return p.id.value == 1; });
    for (auto& t : parts.tenants) std::erase_if(t.members, [](const auto& m) { return m.node.value == 1; });
    parts.denied.push_back(NodeId{1});
  };
  net.set_snapshot(4, overlay.snapshot(4, 50, revoked));
  net.received(4).clear();
  for (int i = 0; i < 100; ++i) {
    net.send(1, kVni, numbered(1, 4, static_cast<std::uint32_t>(i)));
    net.run_for(milliseconds{10});
  }
  EXPECT_EQ(net.received(4).size(), 0u) << "not even what was in flight";
  net.run_for(seconds{300});
  EXPECT_FALSE(established(1, 4));
  EXPECT_GT(net.drops(4, DropReason::UnknownReceiver), 0u);
  EXPECT_GT(net.drops(4, DropReason::HandshakeUnknownPeer), 0u);
}

}  // namespace
}  // namespace qanat::test
