// Attacks with segment lists that were never allowed, by an enrolled headend with tokens of its own.
#include "tests/sim/attack.hh"

namespace qanat::test {
namespace {

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

}  // namespace
}  // namespace qanat::test
