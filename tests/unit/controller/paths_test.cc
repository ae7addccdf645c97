// Paths: exact where it matters, disjoint behind that, steady unless moving pays.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "controller/paths/candidates.hh"
#include "controller/paths/selection.hh"

namespace qanat::paths {
namespace {

using telemetry::Link;
using telemetry::LinkState;
using topology::Index;
using topology::kUnreachable;
using topology::link_cost_us;
using topology::Topology;

bool any_relay(Index) { return true; }

// A small world: nodes 1 … n, links both ways.
struct Net {
  std::vector<topology::Node> nodes;
  std::vector<Link> links;

  explicit Net(std::uint32_t count, std::set<std::uint32_t> relays = {}) {
    for (std::uint32_t i = 1; i <= count; ++i)
      nodes.push_back({ids::NodeId{i}, ids::DomainId{1}, relays.contains(i)});
  }
  Net& link(std::uint32_t a, std::uint32_t b, std::uint8_t plane, std::uint32_t rtt_us,
            LinkState state = LinkState::Usable, std::uint32_t loss_ppm = 0) {
    std::erase_if(links, [&](const Link& l) {
      return l.key.from_plane.value == plane && ((l.key.from.value == a && l.key.to.value == b) ||
                                                 (l.key.from.value == b && l.key.to.value == a));
    });
    const telemetry::LinkKey key{ids::NodeId{a}, ids::NodeId{b}, ids::PlaneId{plane}, ids::PlaneId{plane}};
    for (const auto& k : {key, key.reversed()}) {
      links.push_back({.key = k, .state = state, .rtt_us = rtt_us, .loss_ppm = loss_ppm});
    }
    return *this;
  }
  Topology topology() const { return Topology(nodes, links); }
};

Route route(std::vector<std::uint32_t> relays, std::vector<std::uint8_t> planes) {
  Route r;
  r.relay_count = static_cast<std::uint8_t>(relays.size());
  for (std::size_t i = 0; i < relays.size(); ++i) r.relays[i] = ids::NodeId{relays[i]};
  for (std::size_t i = 0; i < planes.size(); ++i) r.planes[i] = ids::PlaneId{planes[i]};
  return r;
}

Choices select_12(const Net& net, const Choices& held, Unknowns unknowns = Unknowns::AreLost) {
  return select(net.topology(), 0, 1, any_relay, held, unknowns);
}

// All ways over at most two relays, written the slow way.
std::uint32_t brute_force(const Topology& t, Index from, Index to) {
  const auto hop = [&](Index a, Index b) {
    std::uint64_t least = kUnreachable;
    for (const auto& link : t.links(a, b)) least = std::min<std::uint64_t>(least, link.cost_us);
    return least;
  };
  std::uint64_t least = hop(from, to);
  const Index n = static_cast<Index>(t.nodes().size());
  for (Index a = 0; a < n; ++a) {
    if (a == from || a == to || !t.nodes()[a].relay) continue;
    least = std::min(least, hop(from, a) + hop(a, to) + kRelayCostUs);
    for (Index b = 0; b < n; ++b) {
      if (b == from || b == to || b == a || !t.nodes()[b].relay) continue;
      least = std::min(least, hop(from, a) + hop(a, b) + hop(b, to) + 2 * kRelayCostUs);
    }
  }
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(least, kUnreachable));
}

Net random_net(std::mt19937& random) {
  const std::uint32_t n = 3 + random() % 6;
  std::set<std::uint32_t> relays;
  for (std::uint32_t i = 1; i <= n; ++i) {
    if (random() % 2) relays.insert(i);
  }
  Net net(n, relays);
  for (std::uint32_t a = 1; a <= n; ++a) {
    for (std::uint32_t b = a + 1; b <= n; ++b) {
      for (std::uint8_t plane = 1; plane <= 2; ++plane) {
        const auto kind = random() % 5;
        if (kind == 0) continue;
        net.link(a, b, plane, 1000 + random() % 80'000, kind == 1 ? LinkState::Dead : LinkState::Usable,
                 random() % 60'000);
      }
    }
  }
  return net;
}

TEST(PathsProperty, TheBestIsThatOfBruteForceAndNoListLoops) {
  std::mt19937 random(3);
  for (int round = 0; round < 300; ++round) {
    const Net net = random_net(random);
    const Topology t = net.topology();
    const Index n = static_cast<Index>(t.nodes().size());
    for (Index from = 0; from < n; ++from) {
      for (Index to = 0; to < n; ++to) {
        if (from == to) continue;
        const auto choices = select(t, from, to, any_relay, {}, Unknowns::AreLost);
        const std::uint32_t expected = brute_force(t, from, to);
        ASSERT_EQ(choices.empty(), expected == kUnreachable);
        if (choices.empty()) continue;
        EXPECT_EQ(choices.front().cost_us, expected) << "round " << round;
        ASSERT_LE(choices.size(), kMaxLists);
        std::set<Route> routes;
        for (const Choice& c : choices) {
          EXPECT_TRUE(routes.insert(c.route).second) << "a list twice";
          std::set<std::uint32_t> seen{t.nodes()[from].id.value, t.nodes()[to].id.value};
          for (const ids::NodeId relay : c.route.relay_list())
            EXPECT_TRUE(seen.insert(relay.value).second) << "a loop";
          const RouteNow now = evaluate(t, from, to, c.route, any_relay);
          EXPECT_EQ(now.state, LinkState::Usable);
          EXPECT_EQ(now.cost_us, c.cost_us);
        }
      }
    }
  }
}

TEST(PathsProperty, SameInputSameChoicesWhateverTheOrderOfLinks) {
  std::mt19937 random(4);
  for (int round = 0; round < 50; ++round) {
    Net net = random_net(random);
    const auto first = select_12(net, {});
    std::shuffle(net.links.begin(), net.links.end(), random);
    std::shuffle(net.nodes.begin(), net.nodes.end(), random);
    EXPECT_EQ(select_12(net, {}), first);
  }
}

TEST(PathsProperty, AChoiceThatIsKeptIsStable) {
  std::mt19937 random(5);
  for (int round = 0; round < 100; ++round) {
    const Net net = random_net(random);
    const auto once = select_12(net, {});
    EXPECT_EQ(select_12(net, once), once);
  }
}

TEST(Paths, ARelayBeatsASlowDirectLine) {
  const Net net = Net(3, {3}).link(1, 2, 1, 100'000).link(1, 3, 1, 20'000).link(3, 2, 1, 20'000);
  const auto choices = select_12(net, {});
  EXPECT_EQ(choices[0].route, route({3}, {1, 1}));
  EXPECT_EQ(choices[0].cost_us, 40'000 + kRelayCostUs);
  EXPECT_EQ(choices[1].route, route({}, {1}));
}

TEST(Paths, ANodeThatIsNoRelayNeverCarries) {
  const Net net = Net(3).link(1, 2, 1, 100'000).link(1, 3, 1, 1000).link(3, 2, 1, 1000);
  EXPECT_EQ(select_12(net, {}).size(), 1u);
}

TEST(Paths, LossCountsAsDelay) {
  EXPECT_EQ(link_cost_us(10'000, 0), 10'000u);
  EXPECT_EQ(link_cost_us(10'000, 10'000), 10'000 + 2122u) << "1 %: 210 ms / 99, rounded up";
  EXPECT_EQ(link_cost_us(10'000, 500'000), kUnreachable);
  const Net net = Net(2).link(1, 2, 1, 20'000, LinkState::Usable, 50'000).link(1, 2, 2, 25'000);
  EXPECT_EQ(select_12(net, {})[0].route, route({}, {2}));
}

TEST(Paths, BackupsShareNeitherRelayNorPlaneWhereThatIsPossible) {
  // Plane 1 is fast everywhere, relays 3 and 4 are both good: the first backup must avoid plane 1 and relay 3.
  Net net(4, {3, 4});
  for (std::uint8_t plane = 1; plane <= 2; ++plane) {
    const std::uint32_t slower = plane == 1 ? 0 : 5000;
    net.link(1, 2, plane, 90'000 + slower)
        .link(1, 3, plane, 10'000 + slower)
        .link(3, 2, plane, 10'000 + slower);
    net.link(1, 4, plane, 12'000 + slower).link(4, 2, plane, 12'000 + slower).link(3, 4, plane, 50'000);
  }
  const auto choices = select_12(net, {});
  ASSERT_EQ(choices.size(), 4u);
  EXPECT_EQ(choices[0].route, route({3}, {1, 1}));
  EXPECT_EQ(choices[1].route, route({4}, {2, 2}));
  EXPECT_EQ(overlap_of(choices[1].route, {choices[0].route}), (Overlap{0, 0, 0}));
}

TEST(Paths, SmallImprovementsDoNotMoveTraffic) {
  Net net = Net(2).link(1, 2, 1, 20'000).link(1, 2, 2, 30'000);
  const auto held = select_12(net, {});
  net.link(1, 2, 2, 18'100);  // 9.5 % better
  EXPECT_EQ(select_12(net, held), held);
  net.link(1, 2, 2, 18'000);  // 10 % and more than 1 ms
  EXPECT_EQ(select_12(net, held)[0].route, route({}, {2}));
}

TEST(Paths, UnderTenMillisecondsAMillisecondDecides) {
  EXPECT_FALSE(worth_moving(5000, 4100));
  EXPECT_TRUE(worth_moving(5000, 4000));
  EXPECT_FALSE(worth_moving(100'001, 90'001)) << "a tenth is rounded up";
  EXPECT_FALSE(worth_moving(5000, 6000));
}

TEST(Paths, ADeadListIsLeftAtOnceForAWorseOne) {
  Net net = Net(2).link(1, 2, 1, 20'000).link(1, 2, 2, 300'000);
  const auto held = select_12(net, {});
  net.link(1, 2, 1, 20'000, LinkState::Dead);
  EXPECT_EQ(select_12(net, held)[0].route, route({}, {2}));
}

TEST(Paths, WithNothingBetterKnownWhatIsHeldStays) {
  Net net = Net(2).link(1, 2, 1, 20'000);
  const auto held = select_12(net, {});
  net.link(1, 2, 1, 20'000, LinkState::Dead);
  EXPECT_EQ(select_12(net, held), held);
}

TEST(Paths, AfterAStartUnknownLinksAreTrustedForAWhile) {
  Net net = Net(3, {3}).link(1, 2, 1, 100'000).link(1, 3, 1, 20'000).link(3, 2, 1, 20'000);
  const auto held = select_12(net, {});
  net.link(1, 3, 1, 0, LinkState::Unknown);
  EXPECT_EQ(select_12(net, held, Unknowns::AreTrusted)[0].route, held[0].route);
  EXPECT_EQ(select_12(net, held, Unknowns::AreLost)[0].route, route({}, {1}));
}

TEST(Paths, KeptChoicesKeepTheCostTheyWereMadeAt) {
  Net net = Net(2).link(1, 2, 1, 20'000);
  const auto held = select_12(net, {});
  net.link(1, 2, 1, 20'900);
  EXPECT_EQ(select_12(net, held), held) << "measurement noise must not become configuration changes";
}

TEST(Paths, SegmentsAndRoutesAreTwoSpellingsOfOneThing) {
  for (const Route& r : {route({}, {2}), route({7}, {1, 2}), route({7, 9}, {1, 2, 3})}) {
    const auto segments = segments_of(r, ids::NodeId{5});
    EXPECT_EQ(segments.size(), r.hops());
    Route back;
    ASSERT_TRUE(route_of(segments, r.planes[0].value, ids::NodeId{5}, back));
    EXPECT_EQ(back, r);
  }
  Route out;
  EXPECT_FALSE(route_of(std::vector<std::uint32_t>{}, 1, ids::NodeId{5}, out));
  EXPECT_FALSE(route_of(segments_of(route({7}, {1, 2}), ids::NodeId{5}), 1, ids::NodeId{6}, out));
}

}  // namespace
}  // namespace qanat::paths
