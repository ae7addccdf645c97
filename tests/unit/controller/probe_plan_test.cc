// The plan of probes that a domain gives its nodes: who measures whom, and how often.
#include <gtest/gtest.h>

#include <deque>

#include "controller/domain/config_compiler.hh"

namespace qanat::domain {
namespace {

constexpr base::UnixSeconds kNow = 1'800'000'000;

// Nodes 1 … count, the first `relays` of them relays; tenants of ten that follow each other; all of one domain.
class Plan : public ::testing::Test {
 protected:
  void make(std::uint32_t count, std::uint32_t relays) {
    for (std::uint32_t id = 1; id <= count; ++id) {
      auto& record = records_.emplace_back();
      record.set_node_id(id);
      record.set_name("n" + std::to_string(id));
      record.set_relay(id <= relays);
      record.add_lines()->set_plane(1);
      world_.nodes[id] = &record;
      world_.own_names[record.name()] = id;
    }
    for (std::uint32_t first = 1; first + 9 <= count; first += 10) {
      auto& tenant = tenants_.emplace_back();
      tenant.set_vni(100 + first);
      for (std::uint32_t id = first; id < first + 10; ++id)
        tenant.add_members()->set_node("n" + std::to_string(id));
    }
    for (const auto& tenant : tenants_) world_.tenants.push_back(&tenant);
    world_.selections = &selections_;
    world_.relay_keys = &relay_keys_;
    world_.held = [this](std::uint32_t) -> const proto::v1::NodeConfig& { return nothing_; };
    world_.probe_plan.set_active_interval_ms(10);
    world_.probe_plan.set_mesh_interval_ms(200);
  }
  std::set<std::uint32_t> known(std::uint32_t node) const {
    std::set<std::uint32_t> out;
    const auto compiled = compile(world_, node, kNow);
    for (const auto& record : compiled.config.nodes()) out.insert(record.node_id());
    return out;
  }
  std::uint32_t mesh_ms(std::uint32_t node) const {
    return compile(world_, node, kNow).config.probe_plan().mesh_interval_ms();
  }

  std::deque<proto::v1::NodeRecord> records_;
  std::deque<proto::v1::Tenant> tenants_;
  Selections selections_;
  RelayKeys relay_keys_;
  proto::v1::NodeConfig nothing_;
  World world_;
};

TEST_F(Plan, InASmallDomainEverybodyMeasuresEverybody) {
  make(32, 2);
  EXPECT_EQ(known(20).size(), 32u);
  EXPECT_EQ(mesh_ms(20), 310u) << "100 a second";
}

TEST_F(Plan, InALargeOneANodeMeasuresRelaysItsTenantsAndASampleOfEight) {
  make(2'000, 64);
  std::set<std::uint32_t> expected;
  for (std::uint32_t id = 1; id <= 64; ++id) expected.insert(id);
  for (std::uint32_t id = 1'001; id <= 1'010; ++id) expected.insert(id);
  for (std::uint32_t id = 997; id <= 1'005; ++id) expected.insert(id);
  EXPECT_EQ(known(1'001), expected);
  EXPECT_EQ(known(64).size(), 2'000u) << "a relay is told of all whom it may carry for";
}

TEST_F(Plan, WhoMeasuresSomebodyIsMeasuredBack) {
  make(200, 6);
  std::map<std::uint32_t, std::set<std::uint32_t>> all;
  for (const auto& [id, record] : world_.nodes) all[id] = known(id);
  for (const auto& [id, others] : all)
    for (const std::uint32_t other : others) EXPECT_TRUE(all[other].contains(id)) << id << " " << other;
}

TEST_F(Plan, AMeshIsAskedSoOftenInAllAndEachNeighbourOnceInFiveSeconds) {
  make(2'000, 64);
  const auto others = static_cast<std::uint32_t>(known(1'001).size()) - 1;
  EXPECT_EQ(mesh_ms(1'001), others * 10) << "100 a second";
  EXPECT_EQ(mesh_ms(1), 5'000u) << "2,000 neighbours: 400 a second, or rows of the matrix would grow old";
  world_.mesh_probes_per_s = 1'000;
  EXPECT_EQ(mesh_ms(1'001), 200u) << "never more often than the plan says";
  world_.mesh_probes_per_s = 0;
  EXPECT_EQ(mesh_ms(1), 200u) << "no bound";
}

// Each of its lines asks each of theirs.
TEST_F(Plan, TheBoundHoldsForBoxesWithSeveralLinesToo) {
  make(2'000, 64);
  const std::uint32_t before = mesh_ms(1'001);
  records_[1'000].add_lines()->set_plane(2);
  EXPECT_EQ(mesh_ms(1'001), 2 * before);
  records_[1'000].mutable_lines(1)->set_address("fd00::1");
  EXPECT_EQ(mesh_ms(1'001), before) << "nobody else has one of IPv6";
}

// A list over a relay is asked as often as a neighbour; tiers that share one ask it once.
TEST_F(Plan, TheBoundHoldsWithListsOverRelaysToo) {
  make(2'000, 64);
  const std::uint32_t before = mesh_ms(1'001);
  proto::v1::DomainDirective::HeadendPolicies lists;
  for (const std::uint32_t tier : {0u, 1u}) {
    auto& policy = *lists.add_policies();
    policy.set_endpoint(1'002);
    policy.set_tier(tier);
    for (const std::uint32_t relay : {0u, 1u, 2u}) {
      auto& path = *policy.add_paths();
      path.set_first_plane(1);
      if (relay != 0) path.add_segments(relay << 8);
      path.add_segments(1'002 << 8);
    }
  }
  world_.directives[1'001] = &lists;
  EXPECT_EQ(mesh_ms(1'001), before + 20) << "two of them";
}

TEST_F(Plan, WhatTrafficIsMeasuredByDoesNotDependOnTheMesh) {
  make(2'000, 64);
  EXPECT_EQ(compile(world_, 1, kNow).config.probe_plan().active_interval_ms(), 10u);
}

TEST_F(Plan, ListsInUseAreAskedAsOftenAsTheirRelaysAllow) {
  make(32, 2);
  ProbeBudget budget({100, 10, 200});
  ProbeBudget::Headends headends;
  paths::Route route;
  route.relay_count = 1;
  route.relays[0] = ids::NodeId{1};
  headends[20].add(route, true);
  budget.settle(headends);
  world_.probe_budget = &budget;
  const auto plan = compile(world_, 20, kNow).config.probe_plan();
  EXPECT_EQ(plan.active_interval_ms(), 22u) << "twice as often: 91 a second";
  EXPECT_EQ(plan.mesh_interval_ms(), mesh_ms(21)) << "the mesh is another matter";
  EXPECT_EQ(compile(world_, 21, kNow).config.probe_plan().active_interval_ms(), 10u);
}

// Of two domains: 1 … 100 are ours, 5 of them relays; 101 … 300 are the other's, 60 of these relays.
class TwoDomainsPlan : public Plan {
 protected:
  TwoDomainsPlan() {
    make(300, 5);
    for (std::uint32_t id = 101; id <= 300; ++id) {
      world_.own_names.erase("n" + std::to_string(id));
      records_[id - 1].set_relay(id <= 160);
    }
    for (std::uint32_t id = 1; id <= 300; ++id) records_[id - 1].set_domain_id(id <= 100 ? 1 : 2);
    for (auto& tenant : tenants_)
      for (auto& member : *tenant.mutable_members()) {
        member.set_node_id(static_cast<std::uint32_t>(std::stoul(member.node().substr(1))));
        member.clear_node();
      }
    tenants_.front().add_members()->set_node_id(160);  // of the other domain, with 1 … 10
    tenants_.back().add_members()->set_node_id(5);     // one of our relays, with 291 … 300
    measured_ = {2, 101, 102};
    world_.measured_relays = &measured_;
  }
  std::set<std::uint32_t> measured_;
};

TEST_F(TwoDomainsPlan, ABoxMeasuresItsOwnRelaysAndOfOthersThoseThatAreMeasured) {
  const auto box = known(50);
  for (const std::uint32_t relay : {1u, 2u, 3u, 4u, 5u, 101u, 102u})
    EXPECT_TRUE(box.contains(relay)) << relay;
  EXPECT_FALSE(box.contains(103));
  EXPECT_TRUE(known(7).contains(160)) << "who shares a tenant is measured, relay or not";
  measured_.clear();
  EXPECT_TRUE(known(50).contains(103)) << "nothing said: all are";
  world_.measured_relays = nullptr;
  EXPECT_TRUE(known(50).contains(103));
}

TEST_F(TwoDomainsPlan, ARelayKnowsEverybodyOrItsOwnDomain) {
  EXPECT_EQ(known(2).size(), 300u) << "it may have to carry for all";
  const auto own = known(3);
  for (std::uint32_t id = 1; id <= 100; ++id) EXPECT_TRUE(own.contains(id)) << id;
  EXPECT_TRUE(own.contains(101)) << "a measured one";
  EXPECT_FALSE(own.contains(103));
  EXPECT_FALSE(own.contains(200));
  EXPECT_TRUE(known(5).contains(295)) << "its tenant's";
  EXPECT_LT(mesh_ms(3), mesh_ms(2));
}

// Within a domain, of those that this domain tells.
TEST_F(TwoDomainsPlan, WhoIsToldOfWhomIsToldBack) {
  std::map<std::uint32_t, std::set<std::uint32_t>> told;
  for (std::uint32_t id = 1; id <= 100; ++id) told[id] = known(id);
  for (const auto& [id, of] : told)
    for (const std::uint32_t other : of)
      if (other <= 100) EXPECT_TRUE(told[other].contains(id)) << id << " and " << other;
}

}  // namespace
}  // namespace qanat::domain
