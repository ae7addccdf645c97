// A relay under test: node 2, with neighbours 1 (headend), 4 (endpoint) and 5 (a stranger to the list). Each row changes
// one thing about a good datagram 1 → {n2, n4} and names the one counter that must move.
#include <gtest/gtest.h>

#include <functional>

#include "dataplane/crypto/list_token.hh"
#include "tests/unit/dataplane/forwarder/neighbour.hh"

namespace qanat::test {
namespace {

using ids::NodeId;
using ids::Sid;
using packet::DropReason;

constexpr std::uint32_t kNow = 1'800'000'000;
const base::Time kStart{std::chrono::hours{1}};

class Relay : public ::testing::Test {
 protected:
  Relay() : overlay(11) {
    overlay.add_node(1, false, {1});
    overlay.add_node(2, true, {1, 2});
    overlay.add_node(3, true, {1});
    overlay.add_node(4, false, {1});
    overlay.add_node(5, false, {1});
    overlay.add_tenant(100, {1, 4});
    start();
  }
  void start(const Overlay::Edit& edit = {}) {
    relay = std::make_unique<forwarder::Forwarder>(overlay.options(2));
    relay->set_unix_time(kNow);
    relay->set_snapshot(overlay.snapshot(2, 1, edit), kStart);
    one = std::make_unique<Neighbour>(overlay, 1, 2);
    four = std::make_unique<Neighbour>(overlay, 4, 2);
    five = std::make_unique<Neighbour>(overlay, 5, 2);
    ASSERT_TRUE(one->meet(*relay, kStart));
    ASSERT_TRUE(four->meet(*relay, kStart));
    ASSERT_TRUE(five->meet(*relay, kStart));
  }
  packet::RouteHeader route(std::vector<Sid> list = {Sid::end(NodeId{2}), Sid::end(NodeId{4})},
                            std::uint32_t headend = 1, std::uint32_t expiry = kNow + 1000) const {
    packet::RouteHeader h;
    h.tier = ids::Tier::Bulk;
    h.count = static_cast<std::uint8_t>(list.size());
    h.headend = NodeId{headend};
    h.expiry_unix_s = expiry;
    h.token_epoch = 1;
    std::copy(list.begin(), list.end(), h.segments.begin());
    for (std::size_t i = 0; i + 1 < list.size(); ++i)
      h.tokens[i] =
          crypto::mint_token(overlay.node(list[i].node().value).relay_key, crypto::TokenInput::of(h, i));
    return h;
  }
  // Something that looks like a sealed datagram for node 4; the relay cannot tell.
  static Octets inner() {
    Octets out(200, 0x33);
    out[0] = 4;
    out[1] = 3;
    return out;
  }
  // Everything but `reason` stays at zero.
  void expect_only(DropReason reason, const std::string& what) {
    for (std::size_t i = 0; i < packet::kDropReasonCount; ++i) {
      const auto r = static_cast<DropReason>(i);
      EXPECT_EQ(relay->drops()[r], r == reason ? 1u : 0u) << what << ": " << packet::to_string(r);
    }
  }

  Overlay overlay;
  std::unique_ptr<forwarder::Forwarder> relay;
  std::unique_ptr<Neighbour> one, four, five;
};

TEST_F(Relay, ForwardsAGoodDatagramAndMovesThePointer) {
  const auto out = one->give(*relay, one->routed(route(), inner()), kStart);
  ASSERT_EQ(out.size(), 1u);
  Octets datagram = out[0];
  const auto link = packet::LinkHeader::parse(datagram);
  ASSERT_TRUE(link.has_value());
  const auto opened = four->keys->open_link(*link, datagram);
  ASSERT_TRUE(opened.has_value());
  EXPECT_EQ(opened->pointer, 1);
  EXPECT_EQ(opened->hop_limit, packet::kInitialHopLimit - 1);
  EXPECT_EQ(Octets(datagram.begin() + static_cast<std::ptrdiff_t>(link->inner_offset()), datagram.end()),
            inner());
  EXPECT_EQ(relay->drops().total(), 0u);
}

struct Bad {
  const char* what;
  DropReason reason;
  std::function<void(packet::RouteHeader&)> change;
};

TEST_F(Relay, DropsWhatNobodyAuthorised) {
  const std::vector<Bad> rows{
      {"another token", DropReason::Token, [](auto& h) { h.tokens[0] ^= 1; }},
      {"extended list", DropReason::Token,
       [](auto& h) {
         h.segments[2] = Sid::end(NodeId{5});
         h.count = 3;
       }},
      {"spliced: another endpoint", DropReason::Token, [](auto& h) { h.segments[1] = Sid::end(NodeId{5}); }},
      {"another plane", DropReason::Token,
       [](auto& h) { h.segments[0] = Sid::end_x(NodeId{2}, ids::PlaneId{1}); }},
      {"another tier", DropReason::Token, [](auto& h) { h.tier = ids::Tier::Critical; }},
      {"a longer life", DropReason::Token, [](auto& h) { h.expiry_unix_s += 1; }},
      {"expired, though genuine", DropReason::Expired,
       [this](auto& h) {
         h = route({Sid::end(NodeId{2}), Sid::end(NodeId{4})}, 1, kNow - 301);
       }},
      {"token epoch that is gone", DropReason::Expired, [](auto& h) { h.token_epoch = 9; }},
      {"another headend's list", DropReason::PreviousHop,
       [this](auto& h) {
         h = route({Sid::end(NodeId{2}), Sid::end(NodeId{4})}, 5);
       }},
      {"reordered: skips the relay before", DropReason::PreviousHop,
       [this](auto& h) {
         h = route({Sid::end(NodeId{3}), Sid::end(NodeId{2}), Sid::end(NodeId{4})});
         h.pointer = 1;
       }},
      {"travelling to somebody else", DropReason::Pointer,
       [this](auto& h) {
         h = route({Sid::end(NodeId{3}), Sid::end(NodeId{4})});
       }},
      {"at its last hop", DropReason::HopLimit, [](auto& h) { h.hop_limit = 1; }},
      {"a node twice", DropReason::RouteLoop, [](auto& h) { h.segments[1] = h.segments[0]; }},
      {"next hop without a session", DropReason::NoAdjacency,
       [this](auto& h) {
         h = route({Sid::end(NodeId{2}), Sid::end(NodeId{3})});
       }},
  };
  for (const Bad& row : rows) {
    start();
    packet::RouteHeader header = route();
    row.change(header);
    one->give(*relay, one->routed(header, inner()), kStart);
    expect_only(row.reason, row.what);
    EXPECT_EQ(relay->counters()[forwarder::Counter::TransitPackets], 0u) << row.what;
  }
}

TEST_F(Relay, DropsReplayedAlteredAndMisplacedDatagrams) {
  const Octets good = one->routed(route(), inner());
  EXPECT_EQ(one->give(*relay, good, kStart).size(), 1u);
  EXPECT_TRUE(one->give(*relay, good, kStart).empty());
  expect_only(DropReason::LinkReplayed, "the same again");

  start();
  for (const std::size_t at :
       {std::size_t{20}, std::size_t{70}}) {  // the route header; the inner datagram's head
    Octets altered = one->routed(route(), inner());
    altered[at] ^= 1;
    EXPECT_TRUE(one->give(*relay, altered, kStart).empty());
  }
  Octets altered = one->routed(route(), inner());
  altered.back() ^= 1;  // the inner tag
  EXPECT_TRUE(one->give(*relay, altered, kStart).empty());
  EXPECT_EQ(relay->drops()[DropReason::LinkBadTag], 3u);
  EXPECT_EQ(relay->drops().total(), 3u);

  start();
  EXPECT_TRUE(Neighbour::give(*relay, one->routed(route(), inner()), five->from, kStart).empty());
  expect_only(DropReason::LinkSourceMismatch, "sent from elsewhere");
}

TEST_F(Relay, HeedsTheDenySetAndItsOwnRole) {
  start([](SnapshotParts& p) { p.denied.push_back(NodeId{1}); });
  one->give(*relay, one->routed(route(), inner()), kStart);
  expect_only(DropReason::DeniedHeadend, "denied headend");
  start([](SnapshotParts& p) {
    for (auto& peer : p.peers) peer.relay = peer.relay && peer.id != NodeId{2};
  });
  one->give(*relay, one->routed(route(), inner()), kStart);
  expect_only(DropReason::NotARelay, "no relay");
}

TEST_F(Relay, CountsGarbage) {
  for (const Octets& junk : {Octets{}, Octets{9, 9, 9}, Octets(60, 5), Octets(19, 4), Octets(147, 1)})
    if (!junk.empty()) one->give(*relay, junk, kStart);
  EXPECT_EQ(relay->drops()[DropReason::Malformed], 4u);
  Octets unknown(80, 0);
  unknown[0] = 4;
  unknown[4] = 0xff;
  one->give(*relay, unknown, kStart);
  EXPECT_EQ(relay->drops()[DropReason::UnknownReceiver], 1u);
}

}  // namespace
}  // namespace qanat::test
