// Stage A: rank 1 is exactly what a slow search finds, whatever the objective and the instructions; what changes one by one
// ends where computing everything ends, bit for bit; no list loops, repeats, or breaks a limit.
#include "controller/paths/candidate_table.hh"

#include <gtest/gtest.h>

#include "tests/unit/controller/net.hh"

namespace qanat::paths {
namespace {

using telemetry::LinkState;
using topology::Topology;

// A few kinds of tiers: unlimited, weighted, and with limits, planes and zones that prune.
std::vector<Objective> objectives() {
  Objective delay, weighted, limited, narrow;
  weighted.loss_weight = 3;
  weighted.jitter_weight = 2;
  weighted.toll_us[2] = 4000;
  weighted.relay_us = 1000;
  limited.most_rtt_us = 90'000;
  limited.most_loss_ppm = 50'000;
  limited.most_jitter_us = 6'000;
  narrow.planes = 1u << 1;
  narrow.zones = 0b011;
  narrow.most_loss_ppm = 40'000;
  return {delay, weighted, limited, narrow};
}

// All ways over at most two relays and all planes, written the slow way.
std::uint64_t brute_force(const Topology& t, const Objective& o, Index from, Index to) {
  std::uint64_t least = kNoWay;
  const auto walk = [&](const auto& self, Index at, std::uint64_t cost, Sums sums,
                        std::vector<Index> seen) -> void {
    for (Index next = 0; next < t.nodes().size(); ++next) {
      if (std::find(seen.begin(), seen.end(), next) != seen.end()) continue;
      const bool relay = next != to;
      if (relay && (seen.size() > kMaxRelays || !o.allows(t.nodes()[next]))) continue;
      for (const auto& link : t.links(at, next)) {
        if (o.cost(link) == kNoWay) continue;
        Sums on = sums;
        on.add(link);
        const std::uint64_t sum = cost + o.cost(link) + (relay ? o.relay_us : 0);
        if (!relay) {
          if (on.meets(o)) least = std::min(least, sum);
          continue;
        }
        auto further = seen;
        further.push_back(next);
        self(self, next, sum, on, further);
      }
    }
  };
  walk(walk, from, 0, {}, {from});
  return least;
}

void expect_sound(const Topology& t, const CandidateTable& table, const Objective& o, Index from, Index to) {
  std::set<Route> routes;
  for (const Choice& c : table.lists(from, to)) {
    EXPECT_TRUE(routes.insert(c.route).second) << "a list twice";
    std::set<std::uint32_t> seen{t.nodes()[from].id.value, t.nodes()[to].id.value};
    Sums sums;
    std::uint64_t cost = 0;
    Index at = from;
    for (std::size_t hop = 0; hop < c.route.hops(); ++hop) {
      Index next = to;
      if (hop < c.route.relay_count) {
        next = *t.index_of(c.route.relays[hop]);
        EXPECT_TRUE(seen.insert(c.route.relays[hop].value).second) << "a loop";
        EXPECT_TRUE(o.allows(t.nodes()[next])) << "a relay that may not carry";
        cost += o.relay_us;
      }
      const auto link = t.link(at, next, c.route.planes[hop]);
      EXPECT_NE(o.cost(link), kNoWay);
      cost += o.cost(link);
      sums.add(link);
      at = next;
    }
    EXPECT_TRUE(sums.meets(o)) << "a broken limit";
    EXPECT_EQ(c.cost_us, cost);
  }
}

TEST(CandidateTableProperty, RankOneIsThatOfBruteForceAndNoListIsUnsound) {
  std::mt19937 random(3);
  for (int round = 0; round < 60; ++round) {
    const Net net = random_net(random);
    const Topology t = net.topology();
    const Index n = static_cast<Index>(t.nodes().size());
    for (const Objective& o : objectives()) {
      CandidateTable table(t, o);
      table.build();
      for (Index from = 0; from < n; ++from) {
        for (Index to = 0; to < n; ++to) {
          if (from == to) continue;
          const auto lists = table.lists(from, to);
          ASSERT_EQ(lists.empty() ? kNoWay : lists.front().cost_us, brute_force(t, o, from, to))
              << "round " << round << ", " << from << " to " << to;
          expect_sound(t, table, o, from, to);
        }
      }
    }
  }
}

void expect_same(const CandidateTable& a, const CandidateTable& b, const Topology& t,
                 const std::string& what) {
  const Index n = static_cast<Index>(t.nodes().size());
  for (Index from = 0; from < n; ++from)
    for (Index to = 0; to < n; ++to)
      for (std::size_t rank = 0; rank < kMaxLists; ++rank)
        ASSERT_EQ(a.way(from, to, rank), b.way(from, to, rank))
            << what << ": " << from << " to " << to << " rank " << rank;
}

// Between these nodes, by their numbers.
Choices lists(const CandidateTable& table, std::uint32_t from, std::uint32_t to) {
  return table.lists(index_of(table.topology(), from), index_of(table.topology(), to));
}

// 10,000 links change, a few at a time; after each step the table that was updated is the table made anew.
TEST(CandidateTableProperty, IncrementalEqualsFullOverTenThousandChanges) {
  std::mt19937 random(4);
  int changes = 0, step = 0;
  std::size_t different = 0, pairs = 0;
  while (changes < 10'000) {
    Net net = random_net(random, 14, 1 + random() % 2);
    Topology t = net.topology();
    const std::uint32_t n = static_cast<std::uint32_t>(t.nodes().size());
    const Objective o = objectives()[random() % 4];
    CandidateTable incremental(t, o);
    incremental.build();
    for (int here = 0; here < 40 && !t.planes().empty(); ++here, ++step) {
      std::vector<CandidateTable::Link> changed;
      for (std::uint32_t count = 1 + random() % 4; count > 0; --count) {
        const std::uint32_t from = 1 + random() % n, to = 1 + random() % n;
        telemetry::Link link{.key = Net::key(from, to, t.planes()[random() % t.planes().size()].value)};
        link.state = random() % 6 == 0   ? LinkState::Dead
                     : random() % 9 == 0 ? LinkState::Unknown
                                         : LinkState::Usable;
        // A coarse grid of costs, so that ties are common.
        link.rtt_us = 1000 * (1 + random() % 60);
        link.loss_ppm = random() % 3 == 0 ? 10'000 * (random() % 6) : 0;
        link.jitter_us = 1000 * (random() % 4);
        if (t.set(link) != Topology::Change::Changed) continue;
        changed.emplace_back(index_of(t, from), index_of(t, to));
        ++changes;
      }
      different += incremental.update(changed);
      pairs += n * (n - 1);
      CandidateTable full(t, o);
      full.build();
      expect_same(incremental, full, t, "step " + std::to_string(step));
      if (HasFatalFailure()) return;
    }
  }
  EXPECT_LT(different * 2, pairs) << "most pairs keep their ways";
}

TEST(CandidateTableProperty, EveryInstructionSetGivesTheSameBytes) {
  std::mt19937 random(5);
  for (int round = 0; round < 10; ++round) {
    const Net net = random_net(random, 80, 1);
    Topology t = net.topology();
    CandidateTable reference(t, {}, kScalarMinPlus);
    reference.build();
    for (const char* name : {"avx2", "avx512"}) {
      const MinPlus* kernels = min_plus_named(name);
      if (kernels == nullptr) continue;  // this CPU has it not
      CandidateTable table(t, {}, *kernels);
      table.build();
      expect_same(table, reference, t, name);
      for (int step = 0; step < 20; ++step) {
        const auto n = static_cast<std::uint32_t>(t.nodes().size());
        const std::uint32_t from = 1 + random() % n, to = 1 + random() % n;
        telemetry::Link link{.key = Net::key(from, to, t.planes()[0].value), .state = LinkState::Usable};
        link.rtt_us = 1000 * (1 + random() % 60);
        if (t.set(link) != Topology::Change::Changed) continue;
        const std::vector<CandidateTable::Link> changed{{index_of(t, from), index_of(t, to)}};
        reference.update(changed);
        table.update(changed);
      }
      expect_same(table, reference, t, std::string(name) + ", after changes");
    }
  }
}

TEST(CandidateTable, SameBytesWhateverTheOrderOfLinksAndOfWork) {
  std::mt19937 random(6);
  const Parallel backwards = [](std::size_t tasks, const std::function<void(std::size_t)>& work) {
    while (tasks > 0) work(--tasks);
  };
  for (int round = 0; round < 20; ++round) {
    Net net = random_net(random, 20);
    const Topology t = net.topology();
    CandidateTable first(t, {});
    first.build();
    std::shuffle(net.links.begin(), net.links.end(), random);
    std::shuffle(net.nodes.begin(), net.nodes.end(), random);
    const Topology shuffled = net.topology();
    CandidateTable second(shuffled, {}, min_plus(), backwards);
    second.build();
    expect_same(first, second, t, "shuffled");
  }
}

// Few of many pairs are wanted, as between domains. What is found for them is what is found for all, whatever changes and
// whatever is not known; it takes a part of the memory.
TEST(CandidateTableProperty, WantedPairsGetWhatTheyGetAmongAll) {
  std::mt19937 random(9);
  for (int round = 0; round < 8; ++round) {
    const std::uint32_t boxes = 150 + random() % 150;
    const std::uint8_t planes = round % 4 == 3 ? 2 : 1;
    Net net(boxes);
    std::set<std::uint32_t> relays;
    for (std::uint32_t i = 0; i < 12; ++i) {
      relays.insert(random() % boxes);
      topology::Node& node = net.nodes[*relays.rbegin()];
      node.relay = true;
      node.border = i < 4;
      node.risk = round % 3 == 0 ? 1u << i % 3 : 0;
    }
    std::vector<std::pair<std::uint32_t, std::uint32_t>> talk;  // numbers
    for (std::uint32_t from = 1; from <= boxes; ++from)
      for (int peer = 0; peer < 3; ++peer)
        if (const std::uint32_t to = 1 + random() % boxes; to != from) talk.emplace_back(from, to);
    const auto measure = [&](std::uint32_t a, std::uint32_t b, std::uint8_t plane) {
      telemetry::Link link{.key = Net::key(a, b, plane)};
      link.state = random() % 20 == 0 ? LinkState::Dead : LinkState::Usable;
      link.rtt_us = 1000 + random() % 80'000;
      link.loss_ppm = random() % 30'000;
      link.jitter_us = random() % 5'000;
      return link;
    };
    for (std::uint32_t a = 1; a <= boxes; ++a)
      for (std::uint32_t b = 1; b <= boxes; ++b)
        for (std::uint8_t plane = 1; plane <= planes; ++plane)
          if (a != b && random() % 3 != 0) net.links.push_back(measure(a, b, plane));
    Topology t = net.topology();
    std::vector<CandidateTable::Link> wanted;
    for (const auto& [from, to] : talk) wanted.emplace_back(index_of(t, from), index_of(t, to));
    const std::set<CandidateTable::Link> some(wanted.begin(), wanted.end());
    const Objective o = objectives()[static_cast<std::size_t>(round) % 4];
    CandidateTable all(t, o), few(t, o);
    few.want(wanted);
    all.build();
    few.build();
    EXPECT_LT(few.way_bytes(), all.way_bytes());
    EXPECT_LT(few.pair_bytes(), all.pair_bytes());
    const auto compare = [&](int step) {
      for (Index from = 0; from < boxes; ++from)
        for (Index to = 0; to < boxes; ++to) {
          const bool has = some.contains({from, to});
          for (std::size_t rank = 0; rank < kMaxLists; ++rank)
            if (few.way(from, to, rank) != (has ? all.way(from, to, rank) : Way{}))
              FAIL() << "round " << round << " step " << step << ": " << from << " to " << to << " rank "
                     << rank;
        }
    };
    compare(-1);
    std::set<CandidateTable::Link> seen;
    few.each_wanted([&](Index from, Index to) { EXPECT_TRUE(seen.emplace(from, to).second); });
    EXPECT_EQ(seen, some);
    for (int step = 0; step < 12; ++step) {
      std::vector<CandidateTable::Link> changed;
      for (std::uint32_t i = 1 + random() % 20; i > 0; --i) {
        // Half of them at a relay, where much depends on them; some that were not known before.
        const auto any = [&] { return 1 + random() % boxes; };
        auto relay = std::next(relays.begin(), static_cast<std::ptrdiff_t>(random() % relays.size()));
        std::uint32_t a = random() % 2 != 0 ? *relay + 1 : any(), b = any();
        if (random() % 2 != 0) std::swap(a, b);
        if (a == b) continue;
        auto link = measure(a, b, static_cast<std::uint8_t>(1 + random() % planes));
        if (random() % 8 == 0) link.rtt_us = 500;
        if (random() % 8 == 0) link.state = LinkState::Unknown;
        if (t.set(link) == Topology::Change::Changed) changed.emplace_back(index_of(t, a), index_of(t, b));
      }
      all.update(changed);
      few.update(changed);
      compare(step);
    }
  }
}

// 4,000 boxes, 64 borders and 9 peers each: what a global level of ten domains has to do with.
TEST(CandidateTable, MemoryGoesByRelaysAndWantedPairs) {
  constexpr std::uint32_t kBoxes = 4000, kBorders = 64;
  std::mt19937 random(10);
  Net net(kBoxes);
  for (std::uint32_t i = 0; i < kBorders; ++i) net.nodes[i * 61].relay = net.nodes[i * 61].border = true;
  const auto add = [&](std::uint32_t a, std::uint32_t b) {
    if (a == b) return;
    telemetry::Link link{.key = Net::key(a, b, 1)};
    link.state = LinkState::Usable;
    link.rtt_us = 1000 + random() % 80'000;
    net.links.push_back(link);
  };
  std::vector<std::pair<std::uint32_t, std::uint32_t>> talk;
  for (std::uint32_t box = 1; box <= kBoxes; ++box) {
    for (std::uint32_t i = 0; i < kBorders; ++i) {
      add(box, i * 61 + 1);
      add(i * 61 + 1, box);
    }
    for (std::uint32_t peer = 1; peer <= 9; ++peer) {
      const std::uint32_t to = (box + 433 * peer) % kBoxes + 1;
      if (box != to) talk.emplace_back(box, to);
      add(box, to);
    }
  }
  const Topology t = net.topology();
  std::vector<CandidateTable::Link> wanted;
  for (const auto& [from, to] : talk) wanted.emplace_back(index_of(t, from), index_of(t, to));
  CandidateTable table(t, {});
  table.want(wanted);
  table.build();
  EXPECT_LT(t.link_bytes(), 80u << 20) << "384 MB with room for every pair";
  EXPECT_LT(table.pair_bytes(), 40u << 20) << "176 MB";
  std::size_t listed = 0;
  table.each_wanted([&](Index from, Index to) { listed += table.way(from, to, 0).exists(); });
  EXPECT_EQ(listed, talk.size());
}

TEST(CandidateTable, NobodyOneAloneAndNoRelaysAreNetworksToo) {
  for (const std::uint32_t nodes : {0u, 1u, 2u}) {
    const Net net(nodes);
    const Topology t = net.topology();
    CandidateTable table(t, {});
    table.build();
    EXPECT_EQ(table.update({}), 0u);
    if (nodes == 2) EXPECT_TRUE(lists(table, 1, 2).empty());
  }
}

TEST(CandidateTable, DirectionsAreTheirOwn) {
  Net net(3, {3});
  net.one_way(1, 2, 1, 100'000).one_way(2, 1, 1, 10'000);
  net.link(1, 3, 1, 20'000).link(3, 2, 1, 20'000);
  const Topology t = net.topology();
  CandidateTable table(t, {});
  table.build();
  EXPECT_EQ(lists(table, 1, 2).front().route.relay_count, 1);
  EXPECT_EQ(lists(table, 2, 1).front().route.relay_count, 0);
}

TEST(CandidateTable, ALimitIsMetEvenWhereTheCheapestWayBreaksIt) {
  // Over relay 3: fast, but 3 % lost in all; over 4: slower and clean.
  Net net(4, {3, 4});
  net.link(1, 3, 1, 10'000, LinkState::Usable, 15'000).link(3, 2, 1, 10'000, LinkState::Usable, 15'000);
  net.link(1, 4, 1, 40'000).link(4, 2, 1, 40'000);
  const Topology t = net.topology();
  Objective o;
  CandidateTable free(t, o);
  free.build();
  EXPECT_EQ(lists(free, 1, 2).front().route.relays[0].value, 3u);
  o.most_loss_ppm = 20'000;
  CandidateTable limited(t, o);
  limited.build();
  ASSERT_EQ(lists(limited, 1, 2).size(), 1u) << "what breaks the limit is no backup either";
  EXPECT_EQ(lists(limited, 1, 2).front().route.relays[0].value, 4u);
}

TEST(CandidateTable, RelaysThatShareARiskBackEachOtherUpOnlyForWantOfBetter) {
  Net net(5, {3, 4, 5});
  for (const std::uint32_t relay : {3u, 4u, 5u})
    net.link(1, relay, 1, 9'000 + relay).link(relay, 2, 1, 9'000);
  net.nodes[2].risk = net.nodes[3].risk = 1;  // 3 and 4 stand in one city
  const Topology t = net.topology();
  CandidateTable table(t, {});
  table.build();
  const auto found = lists(table, 1, 2);
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0].route.relays[0].value, 3u);
  EXPECT_EQ(found[1].route.relays[0].value, 5u);
  EXPECT_EQ(found[2].route.relays[0].value, 4u);
}

// The first relays of the pair's lists, in their order; 0: the direct way.
std::vector<std::uint32_t> first_relays(const Net& net) {
  const Topology t = net.topology();
  CandidateTable table(t, {});
  table.build();
  std::vector<std::uint32_t> out;
  for (const Choice& choice : lists(table, 1, 2))
    out.push_back(choice.route.relay_count == 0 ? 0 : choice.route.relays[0].value);
  return out;
}

TEST(CandidateTable, RelaysWhoseLinesShareARiskAreAsRelaysThatDo) {
  Net net(5, {3, 4, 5});
  for (const std::uint32_t relay : {3u, 4u, 5u})
    net.link(1, relay, 1, 9'000 + relay).link(relay, 2, 1, 9'000);
  net.line_risk(3, 2).line_risk(4, 2);
  EXPECT_EQ(first_relays(net), (std::vector<std::uint32_t>{3, 4, 5})) << "nothing goes by those lines";
  net.line_risk(1, 1).line_risk(2, 1).line_risk(3, 1).line_risk(4, 1);
  EXPECT_EQ(first_relays(net), (std::vector<std::uint32_t>{3, 5, 4})) << "the ends' have no other";
}

TEST(CandidateTable, ARiskOfLinesCountsWhereThePlaneIsSharedInAnyCase) {
  // The headend has one line. Relay 5 alone is not on the duct.
  Net net(5, {3, 4, 5});
  for (const std::uint32_t relay : {3u, 4u, 5u}) {
    net.link(1, relay, 1, 9'000 + relay);
    for (const std::uint8_t plane : {1, 2}) net.link(relay, 2, plane, 9'000 + relay + plane);
  }
  EXPECT_EQ(first_relays(net), (std::vector<std::uint32_t>{3, 4, 5, 3}));
  net.line_risk(3, 1).line_risk(4, 1).line_risk(1, 1);
  EXPECT_EQ(first_relays(net), (std::vector<std::uint32_t>{3, 5, 4, 3}));
  net.lines.clear();
  net.line_risk(3, 2).line_risk(4, 2);
  EXPECT_EQ(first_relays(net), (std::vector<std::uint32_t>{3, 4, 5, 3})) << "the best way is not on plane 2";
}

TEST(CandidateTable, AnEndsLineIsAvoidedByAPlaneThatDoesNotShareItsRisk) {
  Net net(2);
  for (const std::uint8_t plane : {1, 2, 3}) net.link(1, 2, plane, 10'000u * plane);
  const auto planes = [&net] {
    const Topology t = net.topology();
    CandidateTable table(t, {});
    table.build();
    std::vector<std::uint32_t> out;
    for (const Choice& choice : lists(table, 1, 2)) out.push_back(choice.route.planes[0].value);
    return out;
  };
  EXPECT_EQ(planes(), (std::vector<std::uint32_t>{1, 2, 3}));
  for (const std::uint32_t end : {1u, 2u}) {
    net.lines.clear();
    net.line_risk(end, 1).line_risk(end, 2);
    EXPECT_EQ(planes(), (std::vector<std::uint32_t>{1, 3, 2})) << "end " << end;
    net.line_risk(end, 3);
    EXPECT_EQ(planes(), (std::vector<std::uint32_t>{1, 2, 3})) << "none avoids it";
  }
  net.lines.clear();
  net.line_risk(1, 1).line_risk(2, 2);
  EXPECT_EQ(planes(), (std::vector<std::uint32_t>{1, 3, 2})) << "one end's line and the other end's";
}

TEST(CandidateTable, TwoChainsOfRelaysBackEachOtherUp) {
  Net net(6, {3, 4, 5, 6});
  net.link(1, 3, 1, 5'000).link(3, 4, 1, 5'000).link(4, 2, 1, 5'000);
  net.link(1, 5, 1, 9'000).link(5, 6, 1, 9'000).link(6, 2, 1, 9'000);
  const Topology t = net.topology();
  CandidateTable table(t, {});
  table.build();
  const auto found = lists(table, 1, 2);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].route.relays[1].value, 4u);
  EXPECT_EQ(found[1].route.relays[0].value, 5u);
  EXPECT_EQ(found[1].route.relays[1].value, 6u);
}

}  // namespace
}  // namespace qanat::paths
