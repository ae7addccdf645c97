// Planes that a tier may travel on, held by the box whatever its controller leaves it without: no list, a dead line, copies.
//
//   1 ══plane 1══ 2      5 ms
//   1 ══plane 2══ 2      5 ms
#include <gtest/gtest.h>

#include "tests/sim/network.hh"
#include "tests/unit/dataplane/packet/packet_maker.hh"

namespace qanat::test {
namespace {

using forwarder::Counter;
using ids::NodeId;
using ids::PlaneId;
using ids::Sid;
using packet::DropReason;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint32_t kVni = 100;
constexpr std::uint16_t kFirst = 1u << 1, kThird = 1u << 3;

Octets packet_to_2(ids::Tier tier) {
  PacketMaker p;
  p.source = Overlay::tenant_address(1);
  p.destination = Overlay::tenant_address(2);
  p.protocol = 17;
  p.traffic_class = static_cast<std::uint8_t>(ids::dscp(tier) << 2);
  p.payload.assign(400, 0x5a);
  return p.make();
}

class Planes : public ::testing::TestWithParam<std::tuple<ids::Tier, forwarder::Adaptive>> {
 protected:
  Planes() : overlay_(13) {
    overlay_.add_node(1, false, {1, 2});
    overlay_.add_node(2, false, {1, 2});
    overlay_.add_node(3, true, {1, 2});
    overlay_.add_tenant(kVni, {1, 2});
    overlay_.set_adaptive(std::get<1>(GetParam()));
  }
  // Box 1 is told what this tier of its traffic for 2 may use.
  void start(std::uint16_t planes) {
    net_ = std::make_unique<Network>(overlay_);
    const auto allow = [planes, tier = tier_](SnapshotParts& parts) {
      for (auto& policy : parts.policies)
        if (policy.endpoint == NodeId{2} && policy.tier == tier) {
          policy.planes = planes;
          return;
        }
      parts.policies.push_back({.endpoint = NodeId{2}, .tier = tier, .paths = {}, .planes = planes});
    };
    for (const std::uint32_t n : {1u, 2u, 3u}) net_->start(n, n == 1 ? allow : Overlay::Edit());
    net_->run_for(seconds{4});
  }
  // How many of 200 arrive.
  std::size_t send() {
    const std::size_t before = net_->received(2).size();
    for (int i = 0; i < 200; ++i) {
      net_->send(1, kVni, packet_to_2(tier_));
      net_->run_for(milliseconds{2});
    }
    net_->run_for(seconds{1});
    return net_->received(2).size() - before;
  }
  void fail(std::uint8_t plane) {
    for (const std::uint32_t a : {1u, 2u, 3u})
      for (const std::uint32_t b : {1u, 2u, 3u})
        if (a != b) net_->set_down(a, b, plane, true);
  }
  const ids::Tier tier_ = std::get<0>(GetParam());
  Overlay overlay_;
  std::unique_ptr<Network> net_;
};

TEST_P(Planes, WithoutAListOnlyItsOwnLinesServeIt) {
  start(kFirst);
  EXPECT_EQ(send(), 200u) << net_->drops_text(1);
  EXPECT_EQ(net_->at(1).counters()[Counter::CopiesSent], 0u) << "a copy went over plane 2";
  fail(1);
  net_->run_for(seconds{1});
  EXPECT_EQ(send(), 0u) << "over plane 2";
}

TEST_P(Planes, NoneMeansThatNothingIsSent) {
  start(kThird);
  EXPECT_EQ(send(), 0u);
  EXPECT_GE(net_->drops(1, DropReason::NoPath), 200u) << net_->drops_text(1);
}

TEST_P(Planes, AListThatBreaksThemIsNotUsed) {
  const Sid end = Sid::end(NodeId{2});
  overlay_.add_lists({10, 1, {}, 0, 1, {Sid::end_x(NodeId{3}, PlaneId{2}), end}});
  overlay_.add_lists({20, 1, {}, 1, 1, {Sid::end_x(NodeId{3}, PlaneId{1}), end}});
  start(kFirst);
  EXPECT_EQ(send(), 200u) << net_->drops_text(1);
  for (const auto& path : net_->at(1).status(net_->now()).paths)
    if (path.tier == tier_ && path.endpoint == NodeId{2} && path.segments.size() == 2)
      EXPECT_EQ(path.segments[0], Sid::end_x(NodeId{3}, PlaneId{1}));
  fail(1);
  net_->run_for(seconds{1});
  EXPECT_EQ(send(), 0u) << "over plane 2";
}

INSTANTIATE_TEST_SUITE_P(Tiers, Planes,
                         ::testing::Combine(::testing::Values(ids::Tier::Critical, ids::Tier::Interactive,
                                                              ids::Tier::Bulk, ids::Tier::Scavenger),
                                            ::testing::Values(forwarder::Adaptive::Off,
                                                              forwarder::Adaptive::On)));

}  // namespace
}  // namespace qanat::test
