// Attacks inside the seal, by an enrolled headend: tenants' packets that lie, control messages that do.
#include "dataplane/packet/inner_header.hh"
#include "tests/sim/attack.hh"

namespace qanat::test {
namespace {

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

}  // namespace
}  // namespace qanat::test
