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

}  // namespace
}  // namespace qanat::test
