// What a pair's tiers hold in the end, whoever chose it, and what relays carry by that: who is limited or has a way of its own
// does not herd either.
#include "controller/domain/tier_lists.hh"

#include "tests/unit/controller/net.hh"
#include "tests/unit/controller/traffic_world.hh"

namespace qanat::domain {
namespace {

TEST(TierLists, EachFirstListThatDiffersCountsOnce) {
  TrafficWorld w;
  const TierLists lists(w.selections, &w.limited, &w.tier_ways);
  EXPECT_EQ(lists.firsts({1, 3}), std::vector{over(9)});
  EXPECT_EQ(lists.load(2, 2).pairs(NodeId{9}), 2u);
  w.limit(1, Tier::Bulk, {{over(8), 30}, {direct(), 40}});
  w.limit(1, Tier::Scavenger, {});
  w.tier_ways.adopt({1, 3}, Tier::Interactive, {over(7), 50});
  EXPECT_EQ(lists.firsts({1, 3}), (std::vector{over(9), over(7), over(8)}));
  EXPECT_EQ(lists.firsts({1, 3}, Tier::Interactive), (std::vector{over(9), over(8)}));
  EXPECT_EQ(lists.chosen({1, 3}, Tier::Scavenger), paths::Choices());
  EXPECT_EQ(lists.first({1, 3}, Tier::Scavenger), std::nullopt);
  EXPECT_EQ(lists.firsts({2, 3}), std::vector{over(9)});
  EXPECT_TRUE(lists.firsts({3, 1}).empty());
  paths::RelayLoad load = lists.load(2, 2);
  for (const auto& [relay, pairs] : {std::pair{9u, 2u}, {8u, 1u}, {7u, 1u}})
    EXPECT_EQ(load.pairs(NodeId{relay}), pairs) << relay;
  w.tier_ways.adopt({1, 3}, Tier::Interactive, {over(8), 50});
  lists.moved({1, 3}, Tier::Interactive, over(7), load);
  EXPECT_EQ(load.pairs(NodeId{7}), 0u);
  EXPECT_EQ(load.pairs(NodeId{8}), 1u) << "bulk goes by it already";
  w.limit(1, Tier::Critical, {{over(6), 30}});
  lists.moved({1, 3}, Tier::Critical, over(9), load);
  EXPECT_EQ(load.pairs(NodeId{9}), 1u) << "nobody of that pair is left";
  EXPECT_EQ(load.pairs(NodeId{6}), 1u);
}

TEST(TierListsProperty, WhatIsCountedByChangesIsWhatIsThere) {
  std::mt19937 random(3);
  TrafficWorld w;
  for (std::uint32_t from = 1; from <= 5; ++from) w.selections[{from, 3}] = {{over(7 + from % 3), 10}};
  const TierLists lists(w.selections, &w.limited, &w.tier_ways);
  paths::RelayLoad load = lists.load(5, 3);
  const auto some = [&] { return random() % 4 == 0 ? direct() : over(7 + random() % 3); };
  for (int step = 0; step < 2000; ++step) {
    const Pair pair{1 + random() % 5, 3};
    const Tier tier = ids::kTiers[random() % 4];
    const auto before = lists.first(pair, tier);
    const auto all = lists.firsts(pair);
    const auto kind = random() % 4;
    switch (kind) {
      case 0: w.tier_ways.adopt(pair, tier, {some(), 10}); break;
      case 1:
        w.tier_ways.drop([&](const Pair& p, Tier t, const std::string&, const paths::Choice&) {
          return p == pair && t == tier;
        });
        break;
      case 2:
        w.limit(pair.first, tier, random() % 3 == 0 ? paths::Choices() : paths::Choices{{some(), 10}});
        break;
      default: w.selections[pair] = {{some(), 10}};
    }
    if (kind < 3)
      lists.moved(pair, tier, before, load);
    else  // every tier that has nothing else
      load.replace(all, lists.firsts(pair));
    const paths::RelayLoad full = lists.load(5, 3);
    for (std::uint32_t relay = 7; relay <= 9; ++relay)
      ASSERT_EQ(load.pairs(NodeId{relay}), full.pairs(NodeId{relay})) << "step " << step;
  }
}

// Six headends; relay 3 is a little better for each than relay 4, and the direct way is far longer.
class Crowd : public ::testing::Test {
 protected:
  static constexpr std::array kHeadends{1u, 5u, 6u, 7u, 8u, 9u};
  paths::Engine engine_;
  paths::RelayLoad load_{4};
  Crowd() {
    paths::Net net(10, {3, 4});
    std::set<Pair> pairs;
    for (const std::uint32_t from : kHeadends) {
      net.link(from, 3, 2, 10'000).link(from, 4, 2, 11'000).link(from, 2, 1, 90'000);
      pairs.insert({from, 2});
    }
    net.link(3, 2, 2, 10'000).link(4, 2, 2, 11'000);
    engine_.rebuild(net.nodes, net.links, pairs);
  }
  void expect_shared() const {
    EXPECT_EQ(load_.pairs(NodeId{3}), 4u);
    EXPECT_EQ(load_.pairs(NodeId{4}), 2u);
  }
};

TEST_F(Crowd, WhoIsLimitedSharesRelaysAsAllDo) {
  std::map<std::string, std::vector<std::uint32_t>> members{{"lab", {2}}};
  members["lab"].insert(members["lab"].end(), kHeadends.begin(), kHeadends.end());
  std::sort(members["lab"].begin(), members["lab"].end());
  policy::Rules rules;
  rules.limits = {{.tenant = "lab", .tier = Tier::Bulk, .planes = {2}}};
  LimitedWays limited;
  limited.set(TierLimits(rules, members, {}));
  const Selections shared = [] {  // over plane 1, where there is no relay
    Selections out;
    for (const std::uint32_t from : kHeadends) out[{from, 2}] = {{direct(), 90'000}};
    return out;
  }();
  const TierLists lists(shared, &limited);
  const auto as_wanted = [](const paths::Choices&, const paths::Choices& wanted) { return wanted; };
  for (int tick = 0; tick < 3; ++tick) {
    for (const auto& [pair, choices] : shared) {
      const auto before = lists.firsts(pair);
      const auto outcome =
          limited.compute(engine_, Steering(), pair, choices, paths::Unknowns::AreLost, load_, as_wanted);
      EXPECT_EQ(outcome.changed, tick == 0) << "and stays";
      load_.replace(before, lists.firsts(pair));
    }
    expect_shared();
  }
}

TEST_F(Crowd, RelaysHaveRoomForAsManyFirstListsAsLimitsMayMake) {
  policy::Rules rules;
  LimitedWays limited;
  const auto more = [&](const std::vector<policy::Limit>& limits) {
    rules.limits = limits;
    limited.set(TierLimits(rules, {{"lab", {1, 2, 5}}}, {}));
    for (const std::uint32_t from : kHeadends)
      limited.compute(engine_, Steering(), {from, 2}, {{direct(), 90'000}}, paths::Unknowns::AreLost, load_,
                      [](const paths::Choices&, const paths::Choices& wanted) { return wanted; });
    return limited.more();
  };
  EXPECT_EQ(more({{.tenant = "lab", .planes = {2}}}), 0u) << "all tiers alike";
  EXPECT_EQ(more({{.tenant = "lab", .tier = Tier::Bulk, .planes = {2}}}), 2u) << "1 and 5 are of lab";
  EXPECT_EQ(more({{.tenant = "lab", .planes = {1, 2}}, {.tenant = "lab", .tier = Tier::Bulk, .planes = {2}}}),
            2u);
  EXPECT_EQ(more({{.tenant = "lab", .tier = Tier::Critical, .planes = {1}},
                  {.tenant = "lab", .tier = Tier::Bulk, .planes = {2}}}),
            4u);
  limited.keep({{1, 2}});
  EXPECT_EQ(limited.more(), 2u);
  EXPECT_EQ(more({}), 0u);
}

TEST_F(Crowd, WaysOfTheirOwnAreFoundWhereThereIsRoom) {
  TierWays ways;
  const policy::Sla sla{.tenant = "lab", .tier = Tier::Interactive, .most_rtt_us = 50'000};
  const WayFigures broken{.rtt_us = 90'000};
  base::Time now = kStart;
  const auto look = [&](std::uint32_t from) {
    return ways.look(
        engine_, {}, {from, 2}, sla, broken, [this]() -> const auto& { return load_; }, now);
  };
  for (const std::uint32_t from : kHeadends) EXPECT_FALSE(look(from));
  now += TierWays::kBrokenFor;
  for (const std::uint32_t from : kHeadends) {
    ASSERT_TRUE(look(from));
    load_.add(ways.of({from, 2}, Tier::Interactive)->route);
  }
  expect_shared();
  load_ = paths::RelayLoad(0);
  const auto crowded = way_within(engine_, {}, {1, 2}, sla, load_);
  ASSERT_TRUE(crowded);
  EXPECT_EQ(crowded->route.relays[0], NodeId{3}) << "without room anywhere, the cheapest";
}

// The same in a whole domain: eight relays, of which one is a little better for all of fourteen boxes.
TEST(TierListsInADomain, ATenantThatIsLimitedDoesNotHerd) {
  constexpr std::size_t kRelays = 8, kBoxes = 14;
  Now now{base::Time{} + 1000s, 1'800'000'000};
  DomainWorld domain(1, now);
  std::vector<Box> boxes;
  session::TenantView tenant{.name = "lab", .vni = 100, .members = {}};
  for (std::size_t i = 0; i < kRelays + kBoxes; ++i) {
    boxes.emplace_back("box" + std::to_string(i), i < kRelays);
    if (i >= kRelays) tenant.members.push_back({boxes.back().name, {}, {}});
  }
  for (Box& box : boxes) {
    domain.enrol(box);
    domain.connect(box);
  }
  ASSERT_TRUE(domain.level->put_tenant(tenant, now).empty());
  policy::Rules rules;
  rules.limits = {{.tenant = "lab", .planes = {2}}};
  domain.level->set_rules(rules, now);
  for (int tick = 0; tick < 100; ++tick) {
    now.mono += 100ms;
    for (std::size_t relay = 0; relay < kRelays && tick % 5 == 0; ++relay)
      for (std::size_t box = kRelays; box < boxes.size(); ++box)
        domain.measure(boxes[box], boxes[relay].id, relay == 0 ? 10'000 : 10'400, true, 2);
    domain.level->on_timer(now);
    for (Box& box : boxes) domain.deliver(box);
  }
  std::map<std::uint32_t, std::size_t> pairs;  // by relay
  for (std::size_t a = kRelays; a < boxes.size(); ++a)
    for (std::size_t b = kRelays; b < boxes.size(); ++b)
      if (a != b) {
        const auto list = boxes[a].first_list(boxes[b].id, Tier::Bulk);
        ASSERT_EQ(list.size(), 2u);
        ++pairs[list.front() >> 8];
      }
  const std::size_t room = paths::RelayLoad::room_for(boxes.size() * (boxes.size() - 1), kRelays);
  ASSERT_LT(room, kBoxes * (kBoxes - 1)) << "not for all of them";
  EXPECT_EQ(pairs[boxes[0].id], room);
}

}  // namespace
}  // namespace qanat::domain
