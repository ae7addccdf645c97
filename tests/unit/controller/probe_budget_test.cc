// How often headends ask their lists in use, so that no relay has too much of it: the value by itself, over random networks,
// and a whole domain in which two boxes begin to talk.
#include "controller/domain/probe_budget.hh"

#include <gtest/gtest.h>

#include <random>

#include "controller/telemetry/talk_book.hh"
#include "tests/unit/controller/one_domain.hh"

namespace qanat::domain {
namespace {

using Headends = ProbeBudget::Headends;

paths::Route over(std::initializer_list<std::uint32_t> relays) {
  paths::Route route;
  for (const std::uint32_t relay : relays) route.relays.at(route.relay_count++) = ids::NodeId{relay};
  return route;
}

// Probes in 1,000 s over each relay, counted list by list as a box asks them.
std::map<std::uint32_t, double> loads(const Headends& headends, const ProbeBudget& budget, double mesh_ms) {
  std::map<std::uint32_t, double> out;
  for (const auto& [headend, asked] : headends) {
    const double least = asked.lists * 1000.0 / ProbeBudget::kMostOfABox;
    const double ms = budget.interval_ms(headend);
    for (const auto& [relay, lists] : asked.relays)
      out[relay] += lists.foremost * 1e6 / std::min(std::max(ms / 2, least), mesh_ms) +
                    lists.behind * 1e6 / std::min(std::max(ms, least), mesh_ms);
  }
  return out;
}

Headends random_network(std::mt19937_64& random, std::uint32_t headends, std::uint32_t relays,
                        std::uint32_t most_pairs) {
  const auto below = [&](std::uint32_t n) { return static_cast<std::uint32_t>(random() % n); };
  Headends out;
  for (std::uint32_t h = 1; h <= headends; ++h) {
    const std::uint32_t pairs = below(most_pairs + 1);
    for (std::uint32_t pair = 0; pair < pairs; ++pair)
      for (std::uint32_t rank = 0; rank < 3; ++rank) {
        // The lower a relay's number, the more it is used.
        const std::uint32_t first = 1 + below(1 + below(relays)), second = 1 + below(relays);
        const bool direct = below(4) == 0, two = !direct && first != second && below(3) == 0;
        out[h].add(direct ? over({}) : two ? over({first, second}) : over({first}), rank < 2);
      }
  }
  return out;
}

// Three of a pair's lists: 200 + 200 + 100 probes a second, at 10 ms.
TEST(ProbeBudget, NobodyIsStretchedWhereThereIsRoom) {
  Headends headends;
  headends[1].add(over({9}), true);
  headends[1].add(over({}), true);
  headends[1].add(over({9, 8}), false);
  ProbeBudget budget({300, 10, 200});
  EXPECT_TRUE(budget.settle(headends).empty());
  EXPECT_EQ(budget.interval_ms(1), 10u);
  EXPECT_EQ(budget.interval_ms(77), 10u) << "asks nothing";
  EXPECT_EQ(budget.worst().relay, 9u);
  EXPECT_EQ(budget.worst().probes_per_s, 300u);
  ProbeBudget less({299, 10, 200});
  EXPECT_EQ(less.settle(headends), std::vector<std::uint32_t>{1});
  EXPECT_EQ(less.interval_ms(1), 13u) << "a quarter, in whole milliseconds";
  EXPECT_LE(less.worst().probes_per_s, 299u);
  ProbeBudget none({0, 10, 200});
  EXPECT_FALSE(none.bounded());
  EXPECT_TRUE(none.settle(headends).empty());
  EXPECT_EQ(none.interval_ms(1), 10u);
}

// What a box may ask at all is less than its lists would have.
TEST(ProbeBudget, WhatABoxDoesNotAskAnywayStretchesNobody) {
  Headends headends;
  for (int list = 0; list < 100; ++list) headends[1].add(over({9}), true);
  ProbeBudget budget({2'000, 10, 200});
  EXPECT_TRUE(budget.settle(headends).empty()) << "100 lists every 50 ms";
  EXPECT_EQ(budget.worst().probes_per_s, 2'000u);
}

TEST(ProbeBudget, OnlyWhoUsesAFullRelayPaysAndWhatThatLeavesOthersHave) {
  Headends headends;
  for (std::uint32_t h = 1; h <= 10; ++h) headends[h].add(over({9}), true);
  headends[10].add(over({8}), true);
  headends[11].add(over({8}), true);
  headends[12].add(over({7}), true);
  // Relay 9 would have 2,000, relay 8 400: over its bound, were it not for what 9 takes from headend 10.
  ProbeBudget budget({350, 10, 200});
  budget.settle(headends);
  for (std::uint32_t h = 1; h <= 10; ++h) EXPECT_EQ(budget.interval_ms(h), budget.interval_ms(1));
  EXPECT_GT(budget.interval_ms(1), 50u);
  EXPECT_EQ(budget.interval_ms(11), 10u);
  EXPECT_EQ(budget.interval_ms(12), 10u);
  EXPECT_EQ(budget.stretched(), 10u);
  EXPECT_EQ(budget.longest_ms(), budget.interval_ms(1));
}

TEST(ProbeBudget, EndsAtTheMeshsInterval) {
  Headends headends;
  for (std::uint32_t h = 1; h <= 100; ++h) headends[h].add(over({9}), true);
  ProbeBudget budget({10, 10, 200});
  budget.settle(headends);
  EXPECT_EQ(budget.interval_ms(1), 200u);
  EXPECT_EQ(budget.worst().probes_per_s, 1'000u) << "more than it should, and said so";
}

TEST(ProbeBudget, GoesUpAtOnceAndDownOnlyWhenItIsWorthIt) {
  const auto talk = [](std::uint32_t boxes) {
    Headends out;
    for (std::uint32_t h = 1; h <= boxes; ++h) out[h].add(over({9}), true);
    return out;
  };
  ProbeBudget budget({2'000, 10, 200});
  EXPECT_TRUE(budget.settle(talk(10)).empty());
  EXPECT_EQ(budget.settle(talk(11)).size(), 11u);
  EXPECT_EQ(budget.interval_ms(1), 13u);
  for (int i = 0; i < 10; ++i) {
    EXPECT_LE(budget.settle(talk(10)).size(), 1u) << "who left, and nobody else";
    EXPECT_LE(budget.settle(talk(11)).size(), 1u);
  }
  EXPECT_EQ(budget.settle(talk(8)).size(), 11u) << "four fifths";
  EXPECT_EQ(budget.stretched(), 0u);
  EXPECT_EQ(budget.settle(talk(100)).size(), 100u);
  EXPECT_GE(budget.interval_ms(1), 100u);
  EXPECT_EQ(budget.settle({}).size(), 100u);
}

TEST(ProbeBudget, KeepsWhatBoxesWereTold) {
  ProbeBudget budget({1'000, 10, 200});
  budget.adopt(1, 44);
  budget.adopt(2, 10);
  budget.adopt(3, 500);
  EXPECT_EQ(budget.interval_ms(1), 44u);
  EXPECT_EQ(budget.interval_ms(2), 10u);
  EXPECT_EQ(budget.interval_ms(3), 200u);
  EXPECT_EQ(budget.settle({}), (std::vector<std::uint32_t>{1, 3}));
}

TEST(ProbeBudget, HoldsOverRandomNetworks) {
  std::mt19937_64 random(7);
  int stretched = 0, capped = 0;
  for (int network = 0; network < 300; ++network) {
    const auto headends = static_cast<std::uint32_t>(1 + random() % 60);
    const auto relays = static_cast<std::uint32_t>(1 + random() % 8);
    const auto bound = static_cast<std::uint32_t>(100 + random() % 8'000);
    const auto active = static_cast<std::uint32_t>(1 + random() % 40);
    const ProbeBudget::Plan plan{bound, active, 200};
    ProbeBudget budget(plan), again(plan);
    for (int moment = 0; moment < 6; ++moment) {
      const Headends now = random_network(random, headends, relays, 1 + network % 12);
      std::map<std::uint32_t, std::uint32_t> before;
      for (std::uint32_t h = 1; h <= headends; ++h) before[h] = budget.interval_ms(h);
      const auto changed = budget.settle(now);
      ASSERT_EQ(changed, again.settle(now)) << "the same in, the same out";
      const ProbeBudget unstretched(plan);
      const auto bare = loads(now, unstretched, 200), held = loads(now, budget, 200);
      std::vector<std::uint32_t> differ;
      for (std::uint32_t h = 1; h <= headends; ++h) {
        const std::uint32_t ms = budget.interval_ms(h);
        ASSERT_EQ(ms, again.interval_ms(h));
        ASSERT_GE(ms, active);
        ASSERT_LE(ms, 200u);
        if (ms != before[h]) differ.push_back(h);
        if (ms == active) continue;
        ++stretched;
        ASSERT_TRUE(now.contains(h));
        // With four fifths of the bound none of its relays would have enough.
        const auto& own = now.at(h).relays;
        ASSERT_TRUE(std::any_of(own.begin(), own.end(), [&](const auto& relay) {
          return bare.at(relay.first) > bound * (before[h] == active ? 1000.0 : 800.0) - 1;
        })) << "stretched for nothing";
      }
      ASSERT_EQ(changed, differ);
      for (const auto& [relay, load] : held) {
        const std::uint32_t at = relay;
        const bool cap = std::all_of(now.begin(), now.end(), [&](const auto& h) {
          return !h.second.relays.contains(at) || budget.interval_ms(h.first) == 200;
        });
        capped += cap;
        ASSERT_TRUE(load <= bound * 1000.0 + 1 || cap) << "relay " << relay << " of network " << network;
      }
    }
  }
  EXPECT_GT(stretched, 1'000) << "or nothing was tried";
  EXPECT_GT(capped, 10);
}

TEST(TalkBook, KnowsWhoSendsAnythingAndForgetsWhoStops) {
  using ids::NodeId;
  telemetry::TalkBook book;
  const base::Time t{1'000s};
  const auto talking = [&](base::Time now) {
    std::vector<std::pair<std::uint32_t, std::uint32_t>> out;
    book.each(now, [&](NodeId from, NodeId to) { out.emplace_back(from.value, to.value); });
    return out;
  };
  using Pairs = std::vector<std::pair<std::uint32_t, std::uint32_t>>;
  book.on_report(NodeId{1}, {{NodeId{2}, 5'000}, {NodeId{3}, 70}}, t);
  EXPECT_TRUE(talking(t).empty()) << "since whenever";
  book.on_report(NodeId{1}, {{NodeId{2}, 5'001}, {NodeId{3}, 70}}, t + 5s);
  EXPECT_EQ(talking(t + 5s), (Pairs{{1, 2}}));
  book.on_report(NodeId{1}, {{NodeId{2}, 10}, {NodeId{3}, 70}}, t + 10s);
  EXPECT_EQ(talking(t + 24s), (Pairs{{1, 2}})) << "counted anew";
  EXPECT_TRUE(talking(t + 25s).empty());
  book.on_report(NodeId{1}, {{NodeId{2}, 20}, {NodeId{3}, 71}}, t + 30s);
  EXPECT_EQ(talking(t + 30s), (Pairs{{1, 2}, {1, 3}}));
  book.forget(NodeId{3});
  EXPECT_EQ(talking(t + 30s), (Pairs{{1, 2}}));
  book.on_report(NodeId{1}, {}, t + 31s);
  EXPECT_TRUE(talking(t + 31s).empty());
}

// ---- a whole domain ----

class ProbesOfADomain : public OneDomain {
 protected:
  std::vector<session::Event> told_;
  std::uint64_t bytes_ = 0;

  ProbesOfADomain() { start(); }
  void start() {
    DomainConfig config{.name = "d1", .domain = 1, .probe_plan = {}};
    config.probe_plan.set_active_interval_ms(10);
    config.probe_plan.set_mesh_interval_ms(200);
    config.relay_probes_per_s = 100;
    d_->level = std::make_unique<Domain>(config, d_->store, d_->authority, d_->members, now_);
    d_->members.level = d_->level.get();
    d_->level->on_event([this](const session::Event& event) {
      if (event.kind.starts_with("probes_")) told_.push_back(event);
    });
  }
  // The city's whole reports, every 5 s; so much of tenants' to the far box in between.
  void pass(base::Duration time, std::uint64_t bytes) {
    for (base::Duration t{}; t < time; t += 5s) {
      bytes_ += bytes;
      Envelope e;
      auto& path = *e.mutable_telemetry()->add_paths();
      path.set_endpoint(far_.id);
      path.set_bytes_sent(bytes_);
      d_->level->on_envelope(city_.id, e, now_);
      run(5s);
    }
  }
  static std::uint32_t interval(const Box& box) { return box.held.probe_plan().active_interval_ms(); }
};

TEST_F(ProbesOfADomain, WhoTalksAsksMoreRarelyWhileARelayHasTooMuchOfIt) {
  pass(25s, 0);
  ASSERT_EQ(city_.first_list(far_.id), over_relay());
  ASSERT_EQ(interval(city_), 10u);
  const std::uint64_t quiet = relay_.held.version();
  policy::Rules frozen;
  frozen.freezes.push_back({.from = 0, .until = now_.unix_s + 86'400, .why = "holidays"});
  d_->level->set_rules(frozen, now_);
  pass(10s, 300);
  // A list each way, asked every 5 ms: 400 a second. Every 22 ms: 91.
  EXPECT_EQ(interval(city_), 44u) << "in a freeze too";
  EXPECT_EQ(interval(far_), 44u) << "it asks as well";
  EXPECT_EQ(interval(relay_), 10u) << "nobody's lists";
  EXPECT_EQ(relay_.held.version(), quiet);
  const auto status = d_->level->status(now_);
  EXPECT_EQ(status.probes_stretched, 2u);
  EXPECT_EQ(status.relay_probes_per_s, 91u);
  ASSERT_EQ(told_.size(), 1u);
  EXPECT_EQ(told_[0].kind, "probes_stretched");
  EXPECT_EQ(told_[0].fields[0], (std::pair<std::string, std::string>{"relay", "relay"}));

  const std::uint64_t stretched = city_.held.version();
  pass(30s, 300);
  EXPECT_EQ(city_.held.version(), stretched) << "what does not change is not sent again";
  pass(30s, 0);
  EXPECT_EQ(interval(city_), 10u);
  EXPECT_EQ(interval(far_), 10u);
  EXPECT_EQ(told_.size(), 2u);
  EXPECT_EQ(told_.back().kind, "probes_restored");
}

TEST_F(ProbesOfADomain, DemandsCountAtOnce) {
  pass(25s, 0);
  Envelope e;
  auto& demand = *e.mutable_telemetry()->add_demands();
  demand.set_peer(far_.id);
  demand.set_tier(1);
  demand.set_kbps(800);
  d_->level->on_envelope(city_.id, e, now_);
  run(4s);
  EXPECT_EQ(interval(city_), 44u);
}

TEST_F(ProbesOfADomain, ARestartChangesNothing) {
  pass(25s, 0);
  pass(10s, 300);
  ASSERT_EQ(interval(city_), 44u);
  const std::uint64_t before = city_.held.version();
  start();
  for (Box* box : boxes_) d_->connect(*box);
  pass(30s, 300);
  EXPECT_EQ(interval(city_), 44u);
  EXPECT_EQ(city_.held.version(), before);
}

}  // namespace
}  // namespace qanat::domain
