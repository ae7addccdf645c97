// Paths: exact where it matters, disjoint behind that, steady unless moving pays.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "controller/paths/engine.hh"
#include "controller/paths/selection.hh"
#include "tests/unit/controller/net.hh"

namespace qanat::paths {
namespace {

using telemetry::LinkState;
using topology::kUnreachable;
using topology::link_cost_us;
using topology::Topology;

Route route(std::vector<std::uint32_t> relays, std::vector<std::uint8_t> planes) {
  Route r;
  r.relay_count = static_cast<std::uint8_t>(relays.size());
  for (std::size_t i = 0; i < relays.size(); ++i) r.relays[i] = ids::NodeId{relays[i]};
  for (std::size_t i = 0; i < planes.size(); ++i) r.planes[i] = ids::PlaneId{planes[i]};
  return r;
}

// Between these nodes, by their numbers.
Choices select_of(const Net& net, std::uint32_t from, std::uint32_t to, const Choices& held,
                  Unknowns unknowns = Unknowns::AreLost, const RelayLoad& load = RelayLoad(),
                  const Objective& objective = {}) {
  const Topology topology = net.topology();
  CandidateTable table(topology, objective);
  table.build();
  return select(table, index_of(topology, from), index_of(topology, to), held, unknowns, load);
}
Choices select_12(const Net& net, const Choices& held, Unknowns unknowns = Unknowns::AreLost) {
  return select_of(net, 1, 2, held, unknowns);
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

// Of a direct way or one over a relay: it keeps the limits; where there is one, the table, which looks at two relays as
// well, has one that is no dearer; where the table has none, neither has it.
TEST(PathsProperty, AWayWithinLimitsKeepsThem) {
  std::mt19937 random(6);
  int found = 0, none = 0;
  for (int round = 0; round < 400; ++round) {
    const Net net = random_net(random);
    Objective limits;
    limits.most_rtt_us = 20'000 + random() % 100'000;
    if (random() % 2 != 0) limits.most_loss_ppm = 5'000 + random() % 60'000;
    if (random() % 2 != 0) limits.most_jitter_us = 500 + random() % 5'000;
    Engine engine;
    engine.rank_by(limits);
    engine.rebuild(net.nodes, net.links, {{1, 2}});
    const auto way = engine.within({1, 2}, limits, RelayLoad());
    const auto lists = engine.choose({1, 2}, {}, Unknowns::AreLost, RelayLoad());
    if (!way) {
      ++none;
      for (const auto& choice : lists)
        EXPECT_EQ(choice.route.relay_count, 2) << "any other would have been found";
      continue;
    }
    ++found;
    const RouteNow now = engine.evaluate({1, 2}, way->route);
    EXPECT_EQ(now.state, LinkState::Usable) << "a broken limit is Dead";
    EXPECT_EQ(now.cost_us, way->cost_us);
    ASSERT_FALSE(lists.empty());
    EXPECT_LE(lists.front().cost_us, way->cost_us);
    if (lists.front().route.relay_count < 2) EXPECT_EQ(lists.front().cost_us, way->cost_us);
  }
  EXPECT_GT(found, 100);
  EXPECT_GT(none, 20);
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
  EXPECT_EQ(overlap_of(choices[1].route, {choices[0].route}), (Overlap{0, 0, 0, 0}));
}

TEST(Paths, RisksOfLinesThatTwoRoutesGoByAreCounted) {
  Net net(4, {3, 4});
  for (const std::uint8_t plane : {1, 2})
    for (const std::uint32_t relay : {3u, 4u})
      net.link(1, relay, plane, 10'000).link(relay, 2, plane, 10'000);
  net.line_risk(1, 1, 1).line_risk(3, 1, 2).line_risk(4, 2, 2).line_risk(2, 1, 4).line_risk(2, 2, 4 | 8);
  const Topology t = net.topology();
  const auto risks = [&](const Route& r) { return risks_of(r, index_of(t, 1), index_of(t, 2), t); };
  EXPECT_EQ(risks(route({3}, {1, 2})), 1u | 2 | 8) << "4: the endpoint has no line without it";
  EXPECT_EQ(risks(route({3}, {2, 2})), 8u);
  EXPECT_EQ(risks(route({4}, {1, 2})), 1u | 2 | 8);
  EXPECT_EQ(risks(route({4}, {1, 1})), 1u);
  EXPECT_EQ(risks(route({3, 4}, {2, 1, 1})), 2u);
  const Ends ends{&t, index_of(t, 1), index_of(t, 2)};
  EXPECT_EQ(overlap_of(route({4}, {1, 2}), {route({3}, {1, 2})}, ends).risks, 3u);
  EXPECT_EQ(overlap_of(route({4}, {1, 1}), {route({3}, {2, 2})}, ends).risks, 0u);
  EXPECT_EQ(overlap_of(route({4}, {1, 2}), {route({3}, {1, 2})}).risks, 0u) << "not asked for";
}

// A backup that is held goes when one that shares no line's risk is there, as one that shares no relay's.
TEST(Paths, AHeldBackupIsLeftForOneThatSharesNoLinesRisk) {
  Net net(2);
  for (const std::uint8_t plane : {1, 2, 3}) net.link(1, 2, plane, 10'000u * plane);
  const auto before = select_12(net, {});
  ASSERT_EQ(before[1].route, route({}, {2}));
  net.line_risk(1, 1).line_risk(1, 2);
  const auto after = select_12(net, before);
  EXPECT_EQ(after[0].route, route({}, {1}));
  EXPECT_EQ(after[1].route, route({}, {3}));
  EXPECT_EQ(after[2].route, route({}, {2}));
}

// Which lines a box has decides what its ends' risks are: another one makes everything anew, as another plane does.
TEST(Paths, AnEngineIsMadeAnewForAnotherLineOfABoxWhoseLinesShareRisks) {
  Net net(3);
  net.link(1, 2, 1, 10'000).link(2, 3, 1, 10'000).link(2, 3, 2, 10'000);
  net.line_risk(1, 1).line_risk(1, 2);
  Engine engine;
  const std::set<Engine::Pair> pairs{{1, 2}, {2, 1}, {2, 3}};
  engine.rebuild(net.nodes, net.links, pairs, net.lines);
  EXPECT_EQ(engine.risks_of({1, 2}, route({}, {1})), 0u) << "it has no other";
  const auto link = [](std::uint32_t a, std::uint32_t b, std::uint8_t plane, LinkState state) {
    return telemetry::Link{.key = Net::key(a, b, plane), .state = state, .rtt_us = 5'000};
  };
  EXPECT_TRUE(engine.update(std::vector{link(2, 3, 2, LinkState::Dead), link(3, 2, 2, LinkState::Unknown)}));
  EXPECT_TRUE(engine.update(std::vector{link(1, 2, 2, LinkState::Unknown)})) << "nobody reports on it";
  EXPECT_FALSE(engine.update(std::vector{link(1, 2, 2, LinkState::Usable)}));
  net.link(1, 2, 2, 5'000).link(1, 2, 3, 5'000);
  engine.rebuild(net.nodes, net.links, pairs, net.lines);
  EXPECT_EQ(engine.risks_of({1, 2}, route({}, {1})), 1u) << "plane 3 avoids it";
  EXPECT_EQ(engine.risks_of({1, 2}, route({}, {3})), 0u);
  EXPECT_EQ(engine.risks_of({1, 9}, route({}, {1})), 0u);
}

// What an engine is told link by link ends where one that is told all at once begins, whatever lines share risks.
TEST(PathsProperty, AnEngineThatFollowsLinksIsTheOneMadeAnewWithRisksOfLinesToo) {
  std::mt19937 random(8);
  int followed = 0, anew = 0, with_risks = 0;
  for (int round = 0; round < 40; ++round) {
    Net net = random_net(random, 9, 3);
    const auto n = static_cast<std::uint32_t>(net.nodes.size());
    std::set<Engine::Pair> pairs;
    for (std::uint32_t a = 1; a <= n; ++a)
      for (std::uint32_t b = 1; b <= n; ++b)
        if (a != b) pairs.insert({a, b});
    // Few boxes have a line on plane 3 in the beginning.
    std::erase_if(net.links, [](const auto& l) {
      return l.key.from_plane.value == 3 && (l.key.from.value > 2 || l.key.to.value > 2);
    });
    Engine engine;
    engine.rebuild(net.nodes, net.links, pairs, net.lines);
    for (int step = 0; step < 20; ++step) {
      const std::uint32_t a = 1 + random() % n, b = 1 + random() % n;
      if (a == b) continue;
      net.one_way(a, b, static_cast<std::uint8_t>(1 + random() % 3), 1000 * (1 + random() % 60),
                  random() % 4 == 0 ? LinkState::Dead : LinkState::Usable);
      const bool told = engine.update(std::span(&net.links.back(), 1));
      if (!told) engine.rebuild(net.nodes, net.links, pairs, net.lines);
      ++(told ? followed : anew);
      Engine other;
      other.rebuild(net.nodes, net.links, pairs, net.lines);
      for (const auto& pair : pairs) {
        const auto choices = engine.choose(pair, {}, Unknowns::AreLost, RelayLoad());
        ASSERT_EQ(choices, other.choose(pair, {}, Unknowns::AreLost, RelayLoad())) << round << " " << step;
        for (const Choice& choice : choices) {
          ASSERT_EQ(engine.risks_of(pair, choice.route), other.risks_of(pair, choice.route));
          with_risks += engine.risks_of(pair, choice.route) != 0;
        }
      }
    }
  }
  EXPECT_GT(followed, anew);
  EXPECT_GT(anew, 10);
  EXPECT_GT(with_risks, 1000);
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
  EXPECT_FALSE(Margin{}.worth_moving(5000, 4100));
  EXPECT_TRUE(Margin{}.worth_moving(5000, 4000));
  EXPECT_FALSE(Margin{}.worth_moving(100'001, 90'001)) << "a tenth is rounded up";
  EXPECT_FALSE(Margin{}.worth_moving(5000, 6000));
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

// One tick after the other over the same log of measurements: the same bytes each time, and at every tick no list that
// loops, repeats, or breaks a limit while another does not.
TEST(PathsProperty, TheSameTickLogGivesTheSameBytesAndNoLimitStaysBroken) {
  Objective objective;
  objective.most_rtt_us = 120'000;
  objective.most_loss_ppm = 80'000;
  const auto replay = [&](std::uint32_t seed, bool check) {
    std::mt19937 random(seed);
    Net net = random_net(random, 8);
    const Index n = static_cast<Index>(net.nodes.size());
    std::map<std::pair<Index, Index>, Choices> held;
    std::vector<std::uint64_t> bytes;
    for (int tick = 0; tick < 12; ++tick) {
      for (auto& link : net.links) {
        if (random() % 4 == 0) link.rtt_us = 1000 + random() % 80'000;
        if (random() % 20 == 0) link.state = random() % 2 != 0 ? LinkState::Dead : LinkState::Usable;
      }
      const Topology topology = net.topology();
      CandidateTable table(topology, objective);
      table.build();
      RelayLoad load(4);
      for (const auto& [pair, choices] : held)
        if (!choices.empty()) load.add(choices.front().route);
      for (Index from = 0; from < n; ++from) {
        for (Index to = 0; to < n; ++to) {
          if (from == to) continue;
          auto& now = held[{from, to}];
          auto chosen = select(table, from, to, now, Unknowns::AreLost, load);
          if (!now.empty()) load.remove(now.front().route);
          if (!chosen.empty()) load.add(chosen.front().route);
          now = std::move(chosen);
          std::set<Route> seen;
          for (const Choice& c : now) {
            bytes.insert(bytes.end(), {c.cost_us, c.route.relay_count, c.route.relays[0].value,
                                       c.route.relays[1].value, c.route.planes[0].value});
            if (!check || table.lists(from, to).empty()) continue;
            EXPECT_TRUE(seen.insert(c.route).second);
            EXPECT_EQ(evaluate(table, from, to, c.route).state, LinkState::Usable) << "dead, or over a limit";
          }
        }
      }
    }
    return bytes;
  };
  for (const std::uint32_t seed : {1u, 2u, 3u, 4u, 5u}) EXPECT_EQ(replay(seed, true), replay(seed, false));
}

TEST(Paths, PairsDoNotHerdOntoOneRelay) {
  // Relay 3 is best for everybody, relay 4 nearly as good: six pairs share them when each has room for four.
  Net net(10, {3, 4});
  for (std::uint32_t a : {1u, 5u, 6u, 7u, 8u, 9u})
    net.link(a, 3, 1, 10'000).link(a, 4, 1, 11'000).link(a, 2, 1, 90'000);
  net.link(3, 2, 1, 10'000).link(4, 2, 1, 11'000);
  const Topology topology = net.topology();
  CandidateTable table(topology, {});
  table.build();
  RelayLoad load(4);
  std::map<Index, Choices> held;
  const Index to = index_of(topology, 2);
  for (const std::uint32_t node : {1u, 5u, 6u, 7u, 8u, 9u}) {
    const Index from = index_of(topology, node);
    held[from] = select(table, from, to, {}, Unknowns::AreLost, load);
    load.add(held[from].front().route);
  }
  EXPECT_EQ(load.pairs(ids::NodeId{3}), 4u);
  EXPECT_EQ(load.pairs(ids::NodeId{4}), 2u);
  for (auto& [from, choices] : held)
    EXPECT_EQ(select(table, from, to, choices, Unknowns::AreLost, load), choices) << "and stay";
}

TEST(Paths, ARelayThatCarriesTooManyIsLeftUntilItDoesNot) {
  Net net(10, {3, 4});
  for (std::uint32_t a : {1u, 5u, 6u, 7u, 8u, 9u}) net.link(a, 3, 1, 10'000).link(a, 4, 1, 11'000);
  net.link(3, 2, 1, 10'000).link(4, 2, 1, 11'000);
  const Topology topology = net.topology();
  CandidateTable table(topology, {});
  table.build();
  RelayLoad load(4);
  const Choices crowd{{route({3}, {1, 1}), 20'200}};
  for (int pair = 0; pair < 6; ++pair) load.add(crowd.front().route);
  int moved = 0;
  for (const std::uint32_t from : {1u, 5u, 6u, 7u, 8u, 9u}) {
    const auto chosen =
        select(table, index_of(topology, from), index_of(topology, 2), crowd, Unknowns::AreLost, load);
    if (chosen.front().route == crowd.front().route) continue;
    load.remove(crowd.front().route);
    load.add(chosen.front().route);
    ++moved;
  }
  EXPECT_EQ(moved, 2);
}

TEST(Paths, AListOverALimitIsLeftForAWorseOneWithin) {
  Net net(3, {3});
  net.link(1, 2, 1, 20'000).link(1, 3, 1, 40'000).link(3, 2, 1, 40'000);
  Objective objective;
  objective.most_loss_ppm = 10'000;
  const auto held = select_of(net, 1, 2, {}, Unknowns::AreLost, RelayLoad(), objective);
  EXPECT_EQ(held[0].route, route({}, {1}));
  net.link(1, 2, 1, 20'000, LinkState::Usable, 20'000);
  EXPECT_EQ(select_of(net, 1, 2, held, Unknowns::AreLost, RelayLoad(), objective)[0].route,
            route({3}, {1, 1}));
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
