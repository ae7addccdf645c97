// The overlay against plain forwarding (issue: what comes out is what a router would have handed on):
//
//   1 ══ n4                  every kind of tenant packet there is, from 1 to 4
//   1 ══ n2, n3, n4          2, 3: relays
//
// Super-packets go in, are cut, sealed, carried, opened and joined again; both sides are cut plainly and compared byte
// for byte.
#include <gtest/gtest.h>

#include "tests/sim/network.hh"
#include "tests/support/plain_forwarding.hh"

namespace qanat::test {
namespace {

using ids::NodeId;
using ids::Sid;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint32_t kVni = 100;

Overlay route(bool relayed) {
  Overlay o(61);
  o.add_node(1, false, {1});
  o.add_node(2, true, {1});
  o.add_node(3, true, {1});
  o.add_node(4, false, {1});
  o.add_tenant(kVni, {1, 4});
  for (const auto& [headend, endpoint, near, far] :
       {std::tuple{1u, 4u, 2u, 3u}, std::tuple{4u, 1u, 3u, 2u}}) {
    o.add_lists({headend * 100 + 10, headend, {}, relayed ? 1u : 0u, 1, {Sid::end(NodeId{endpoint})}});
    o.add_lists({headend * 100 + 30,
                 headend,
                 {},
                 relayed ? 0u : 1u,
                 1,
                 {Sid::end(NodeId{near}), Sid::end(NodeId{far}), Sid::end(NodeId{endpoint})}});
  }
  return o;
}

struct Way {
  bool relayed;
  bool joined;  // the receiver's batches are long, and it joins what it can
};
class Transparency : public ::testing::TestWithParam<Way> {};

TEST_P(Transparency, WhatComesOutIsWhatPlainForwardingGives) {
  const Overlay overlay = route(GetParam().relayed);
  Network net(overlay);
  net.gather = GetParam().joined;
  for (std::uint32_t n = 1; n <= 4; ++n) net.start(n);
  net.run_for(seconds{8});  // the MTU is found
  TenantTraffic traffic({Overlay::tenant_address(1), Overlay::tenant_address(4), Overlay::tenant_address6(1),
                         Overlay::tenant_address6(4)},
                        7, 2300);
  Flows wanted, got;
  std::size_t joined = 0;
  const auto drain = [&] {
    for (const Received& r : net.received(4)) {
      joined += r.virtio.gso_size != 0;
      add_plainly(got, r.virtio, r.bytes);
    }
    net.received(4).clear();
  };
  for (int i = 0; i < 6000; ++i) {
    for (const Given& given : traffic.draw()) {
      add_plainly(wanted, given.virtio, given.packet);
      net.send(1, kVni, given.packet, given.virtio);
    }
    if (i % 8 == 7) {
      net.run_for(milliseconds{1});
      drain();
    }
  }
  net.run_for(milliseconds{200});
  drain();
  EXPECT_EQ(difference(wanted, got), "") << "1: " << net.drops_text(1) << "| 4: " << net.drops_text(4);
  EXPECT_EQ(joined > 0, GetParam().joined);
  EXPECT_GT(net.at(1).counters()[forwarder::Counter::PacketsInPieces], 0u);
}
INSTANTIATE_TEST_SUITE_P(Ways, Transparency,
                         ::testing::Values(Way{false, false}, Way{false, true}, Way{true, true}),
                         [](const auto& info) {
                           return std::string(info.param.relayed ? "relayed" : "direct") +
                                  (info.param.joined ? "_joined" : "");
                         });

// What is larger than its path and may not be cut is refused with a word to its sender, as by any router.
TEST(TransparencyStory, JumboThatMayNotBeCutIsAnswered) {
  const Overlay overlay = route(false);
  Network net(overlay);
  for (const std::uint32_t n : {1u, 4u}) net.start(n);
  net.run_for(seconds{8});
  Octets jumbo = TenantTraffic({Overlay::tenant_address(1), Overlay::tenant_address(4),
                                Overlay::tenant_address6(1), Overlay::tenant_address6(4)},
                               7, 9000)
                     .draw()
                     .front()
                     .packet;
  jumbo.resize(9000);
  const bool six = jumbo[0] >> 4 == 6;
  jumbo[six ? 4 : 2] = static_cast<std::uint8_t>((six ? 8960 : 9000) >> 8);
  jumbo[six ? 5 : 3] = static_cast<std::uint8_t>(six ? 8960 : 9000);
  if (!six) jumbo[6] = 0x40;
  net.send(1, kVni, jumbo);
  net.run_for(milliseconds{50});
  EXPECT_TRUE(net.received(4).empty());
  EXPECT_EQ(net.drops(1, packet::DropReason::Mtu), 1u);
  ASSERT_EQ(net.received(1).size(), 1u) << "an ICMP answer at home";
}

}  // namespace
}  // namespace qanat::test
