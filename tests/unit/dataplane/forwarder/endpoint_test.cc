// An endpoint under test: node 4. A member of a tenant may send what is its own, to what is ours; nothing else arrives.
#include <gtest/gtest.h>

#include "tests/unit/dataplane/forwarder/neighbour.hh"
#include "tests/unit/dataplane/packet/packet_maker.hh"

namespace qanat::test {
namespace {

using packet::DropReason;

const base::Time kStart{std::chrono::hours{1}};

class Endpoint : public ::testing::Test {
 protected:
  Endpoint() : overlay(12) {
    for (const std::uint32_t id : {1u, 4u, 5u}) overlay.add_node(id, false, {1});
    overlay.add_tenant(100, {1, 4});
    overlay.add_tenant(200, {1, 5});
    overlay.add_tenant(300, {4, 5});
    box = std::make_unique<forwarder::Forwarder>(overlay.options(4));
    box->set_unix_time(1'800'000'000);
    box->set_snapshot(overlay.snapshot(4), kStart);
    one = std::make_unique<Neighbour>(overlay, 1, 4);
    EXPECT_TRUE(one->meet(*box, kStart));
  }
  Octets packet(std::uint32_t from, std::uint32_t to) const {
    PacketMaker p;
    p.source = Overlay::tenant_address(from);
    p.destination = Overlay::tenant_address(to);
    p.protocol = 17;
    p.payload.assign(100, 7);
    return p.make();
  }
  std::size_t give(std::uint32_t vni, const Octets& inner) {
    packet::InnerHeader header;
    header.vni = ids::Vni{vni};
    one->give(*box, one->sealed(header, inner), kStart);
    const std::size_t delivered = box->deliver().size();
    box->delivered();
    return delivered;
  }
  Overlay overlay;
  std::unique_ptr<forwarder::Forwarder> box;
  std::unique_ptr<Neighbour> one;
};

TEST_F(Endpoint, DeliversAMembersPacket) {
  EXPECT_EQ(give(100, packet(1, 4)), 1u);
  EXPECT_EQ(box->drops().total(), 0u);
}

TEST_F(Endpoint, DropsWhatIsNotTheSendersOrNotOurs) {
  EXPECT_EQ(give(999, packet(1, 4)), 0u);
  EXPECT_EQ(box->drops()[DropReason::VniUnknown], 1u);
  EXPECT_EQ(give(300, packet(1, 4)), 0u);  // we are a member, the sender is not
  EXPECT_EQ(give(200, packet(1, 4)), 0u);  // the sender is, we are not
  EXPECT_EQ(box->drops()[DropReason::NotMember], 2u);
  EXPECT_EQ(give(100, packet(5, 4)), 0u);  // another box's address
  EXPECT_EQ(give(100, packet(4, 4)), 0u);  // our own
  EXPECT_EQ(box->drops()[DropReason::InnerSource], 2u);
  EXPECT_EQ(give(100, packet(1, 1)), 0u);
  EXPECT_EQ(give(100, packet(1, 5)), 0u);
  EXPECT_EQ(box->drops()[DropReason::InnerDestination], 2u);
  EXPECT_EQ(give(100, Octets{0x45, 0, 0}), 0u);
  EXPECT_EQ(box->drops()[DropReason::InnerMalformed], 1u);
}

TEST_F(Endpoint, DropsReplayedAndAlteredDatagrams) {
  packet::InnerHeader header;
  header.vni = ids::Vni{100};
  const Octets good = one->sealed(header, packet(1, 4));
  one->give(*box, good, kStart);
  one->give(*box, good, kStart);
  EXPECT_EQ(box->drops()[DropReason::Replayed], 1u);
  Octets altered = one->sealed(header, packet(1, 4));
  altered[40] ^= 1;
  one->give(*box, altered, kStart);
  EXPECT_EQ(box->drops()[DropReason::BadTag], 1u);
  EXPECT_EQ(box->deliver().size(), 1u);
}

TEST_F(Endpoint, AcksOfNothingAreCounted) {
  packet::Ack ack;
  ack.receiver = 1;
  ack.add({0, 1});
  Octets body(ack.bytes());
  ack.serialize(body);
  packet::InnerHeader header;
  header.kind = packet::InnerKind::Ack;
  one->give(*box, one->sealed(header, body), kStart);
  EXPECT_EQ(box->drops()[DropReason::AckUnknown], 1u);
  one->give(*box, one->sealed(header, Octets(5)), kStart);
  EXPECT_EQ(box->drops()[DropReason::InnerMalformed], 1u);
}

TEST_F(Endpoint, OfTwoCopiesTheFirstArrives) {
  packet::InnerHeader header;
  header.vni = ids::Vni{100};
  header.tier = ids::Tier::Critical;
  header.copied = true;
  for (const std::uint64_t sequence : {7u, 7u, 9u, 8u, 9u}) {
    header.sequence = sequence;
    one->give(*box, one->sealed(header, packet(1, 4)), kStart);
  }
  EXPECT_EQ(box->drops()[DropReason::Duplicate], 2u);
  EXPECT_EQ(box->counters()[forwarder::Counter::InnerPacketsReceived], 3u);
}

// Asked for acknowledgement, it says what came: at once when something is missing.
TEST_F(Endpoint, AcknowledgesWhatItIsAskedTo) {
  packet::InnerHeader header;
  header.vni = ids::Vni{100};
  header.ack_wanted = true;
  one->give(*box, one->sealed(header, packet(1, 4)), kStart);
  EXPECT_EQ(box->counters()[forwarder::Counter::AcksSent], 0u);
  one->sealed(header, packet(1, 4));  // lost on the way
  one->give(*box, one->sealed(header, packet(1, 4)), kStart);
  EXPECT_EQ(box->counters()[forwarder::Counter::AcksSent], 1u);
  one->give(*box, one->sealed(header, packet(1, 4)), kStart);
  EXPECT_LE(box->next_timeout(), kStart + std::chrono::milliseconds{5});
  box->on_timer(kStart + std::chrono::milliseconds{5});
  EXPECT_EQ(box->counters()[forwarder::Counter::AcksSent], 2u);
}

TEST_F(Endpoint, IngressChecksTheSourceToo) {
  Octets frame(packet::VirtioHeader::kBytes);
  const Octets foreign = packet(1, 4);  // node 4's TUN says it is node 1
  frame.insert(frame.end(), foreign.begin(), foreign.end());
  box->on_tun_packet(ids::Vni{100}, frame, kStart);
  EXPECT_EQ(box->drops()[DropReason::InnerSource], 1u);
}

TEST_F(Endpoint, HandshakesAreReplayProofAndLimited) {
  Neighbour five(overlay, 5, 4);
  EXPECT_TRUE(five.meet(*box, kStart, 10));
  EXPECT_FALSE(five.meet(*box, kStart, 10));
  EXPECT_FALSE(five.meet(*box, kStart, 9));
  EXPECT_EQ(box->drops()[DropReason::HandshakeReplayed], 2u);
  for (std::uint64_t i = 11; i < 31; ++i) five.meet(*box, kStart, i);
  EXPECT_GT(box->drops()[DropReason::HandshakeRate], 0u);
  Octets junk(packet::kHandshakeInitBytes, 0);
  junk[0] = 1;
  five.give(*box, junk, kStart);
  EXPECT_EQ(box->drops()[DropReason::HandshakeMac], 1u);
}

// While input waits, strangers share few cookies; where a peer is known to live, each asker gets its own.
TEST_F(Endpoint, StrangersCookiesAreRationedWhileItIsBehind) {
  const crypto::PublicKey& theirs = overlay.node(4).keys.public_key;
  const crypto::HandshakeInitiator initiator(overlay.node(5).keys, theirs, overlay.node(5).keys, {1, 1},
                                             crypto::Suite::Aes256Gcm, 1);
  auto signed_one = initiator.datagram();
  crypto::MacMaker(theirs).sign(signed_one, kStart);
  const Octets datagram(signed_one.begin(), signed_one.end());
  // How many of 20,000 a second from `source`, for 100 ms, get an answer of a cookie's size.
  base::Time now = kStart;
  const auto answered = [&](const auto& source, bool drained) {
    unsigned cookies = 0;
    for (unsigned i = 0; i < 2'000; ++i, now += std::chrono::microseconds{50}) {
      if (drained) box->on_drained(now);
      for (const Octets& out : Neighbour::give(*box, datagram, source(i), now))
        cookies += out.size() == packet::kCookieReplyBytes ? 1 : 0;
    }
    return cookies;
  };
  const auto strangers = [](unsigned i) {
    return packet::UdpAddress{packet::IpAddress::v4(0xc6120000u + i), 7700};
  };
  const auto five = [&](unsigned) { return overlay.node(5).lines.front().address; };
  answered(strangers, true);  // from here on it is under load
  EXPECT_EQ(answered(strangers, true), 2'000u);
  const unsigned rationed = answered(strangers, false);  // the first 10 ms pass for being on time
  EXPECT_GE(rationed, 1'000u);
  EXPECT_LE(rationed, 1'300u);
  EXPECT_GE(box->drops()[DropReason::HandshakeRate], 700u);
  EXPECT_EQ(answered(five, false), 2'000u);
}

}  // namespace
}  // namespace qanat::test
