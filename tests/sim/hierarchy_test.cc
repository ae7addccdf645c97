// A global level over domains that have more relays than there may be borders: who talks across domains gets lists, over
// borders alone, after their relays are ready, and hardly longer ones than with all relays.
#include "tests/support/hierarchy.hh"

#include <cmath>
#include <random>

namespace qanat::test {
namespace {

// Domains around places of a plane of 100 ms, boxes within 15 ms of theirs; ways are 1.0 to 1.8 times as long as they look.
Hierarchy::Rtt plane(const HierarchyShape& shape) {
  std::mt19937 random(shape.seed);
  std::vector<std::pair<double, double>> at;
  std::pair<double, double> centre;
  for (std::size_t i = 0; i < shape.nodes(); ++i) {
    if (i % shape.per_domain == 0) centre = {random() % 100'000, random() % 100'000};
    at.emplace_back(centre.first + random() % 15'000, centre.second + random() % 15'000);
  }
  return [at](std::size_t a, std::size_t b) {
    const double apart = std::hypot(at[a].first - at[b].first, at[a].second - at[b].second);
    const std::size_t detour = (std::min(a, b) * 7919 + std::max(a, b) * 104'729) % 81;
    return static_cast<std::uint32_t>(1000 + apart * static_cast<double>(100 + detour) / 100);
  };
}

std::set<std::uint32_t> relays_of(const proto::v1::SrPolicy& policy) {
  std::set<std::uint32_t> out;
  for (const auto& path : policy.paths())
    for (int hop = 0; hop + 1 < path.segments_size(); ++hop)
      out.insert(ids::Sid{path.segments(hop)}.node().value);
  return out;
}

class Sized : public ::testing::Test {
 protected:
  explicit Sized(const HierarchyShape& shape = {.domains = 5, .per_domain = 40, .relays = 15, .tenant = 6})
      : shape_(shape) {}
  HierarchyShape shape_;
  Hierarchy::Rtt rtt_ = plane(shape_);
  Hierarchy world_{shape_, rtt_};

  double cost_of(std::size_t from, const proto::v1::CandidatePath& path) const {
    double cost = 0;
    for (const std::uint32_t segment : path.segments()) {
      const std::size_t next = world_.place_of(ids::Sid{segment}.node().value);
      cost += rtt_(from, next);
      from = next;
    }
    return cost + 200.0 * (path.segments_size() - 1);
  }
  double best(std::size_t from, std::size_t to) const {
    std::vector<std::size_t> relays;
    for (std::size_t i = 0; i < shape_.nodes(); ++i)
      if (world_.box(i).relay && i != from && i != to) relays.push_back(i);
    double least = rtt_(from, to);
    for (const std::size_t a : relays) {
      least = std::min(least, 200.0 + rtt_(from, a) + rtt_(a, to));
      for (const std::size_t b : relays)
        if (a != b) least = std::min(least, 400.0 + rtt_(from, a) + rtt_(a, b) + rtt_(b, to));
    }
    return least;
  }
};

TEST_F(Sized, PairsAcrossDomainsGetListsOverBordersThatAreReady) {
  world_.run(40s);
  ASSERT_GT(world_.pairs().size(), 400u);
  std::set<std::uint32_t> used;
  std::size_t with_relay = 0;
  double ratios = 0;
  for (const auto& [from, to] : world_.pairs()) {
    const Box& box = world_.box(from);
    for (const ids::Tier tier : ids::kTiers) {
      const auto* policy = box.policy(world_.box(to).id, tier);
      ASSERT_NE(policy, nullptr) << box.name << " to " << world_.box(to).name;
      ASSERT_GE(policy->paths_size(), 1);
      used.merge(relays_of(*policy));
    }
    const auto& first = box.policy(world_.box(to).id)->paths(0);
    with_relay += first.segments_size() > 1;
    ratios += cost_of(from, first) / best(from, to);
  }
  EXPECT_GT(with_relay, world_.pairs().size() / 4) << "relays are worth it here";
  EXPECT_GT(used.size(), 10u);
  EXPECT_LE(used.size(), paths::kMostBorders) << "of 75 relays";
  EXPECT_EQ(world_.lists_unready, 0u) << "of " << world_.lists_installed;
  EXPECT_GT(world_.lists_installed, 1'000u);
  EXPECT_LT(ratios / static_cast<double>(world_.pairs().size()), 1.03) << "against all 75 relays";
}

TEST_F(Sized, OnceEverythingStandsNothingMoreIsSaid) {
  world_.run(40s);
  world_.count_anew();
  world_.run(10s);
  EXPECT_EQ(world_.directive_bytes, 0u);
  EXPECT_GT(world_.report_bytes, 0u);
}

// 150 relays: nobody measures all of them.
class ManyRelays : public Sized {
 protected:
  ManyRelays() : Sized({.domains = 5, .per_domain = 40, .relays = 30, .tenant = 6}) {}
  std::size_t foreign_relays(std::size_t place) const {
    const Box& box = world_.box(place);
    std::size_t out = 0;
    for (const auto& record : box.held.nodes()) out += record.relay() && record.domain_id() != box.id / 4096;
    return out;
  }
};

TEST_F(ManyRelays, AreMeasuredInTurnsAndTheBestOfThemStay) {
  world_.run(40s);
  std::size_t most = 0;
  for (std::size_t place = 0; place < shape_.nodes(); ++place)
    if (!world_.box(place).relay) most = std::max(most, foreign_relays(place));
  EXPECT_LE(most, paths::kMostBorders + paths::Borders::kOnTrial + 10)
      << "of 120; its tenants' members beside";
  world_.run(4 * paths::Borders::kTrialTerm);
  std::set<std::uint32_t> used;
  double ratios = 0;
  for (const auto& [from, to] : world_.pairs()) {
    const auto* policy = world_.box(from).policy(world_.box(to).id);
    ASSERT_NE(policy, nullptr) << world_.box(from).name << " to " << world_.box(to).name;
    used.merge(relays_of(*policy));
    ratios += cost_of(from, policy->paths(0)) / best(from, to);
  }
  EXPECT_LE(used.size(), paths::kMostBorders);
  EXPECT_EQ(world_.lists_unready, 0u) << "of " << world_.lists_installed;
  EXPECT_LT(ratios / static_cast<double>(world_.pairs().size()), 1.05) << "against all 150 relays";
}

// One relay is near everybody; all tenants may only use relays of its place, as all others are, too.
TEST(HierarchyLimits, WhoIsLimitedDoesNotHerdOntoOneRelay) {
  const HierarchyShape shape{.domains = 2, .per_domain = 30, .relays = 4, .tenant = 10};
  const auto is_relay = [&](std::size_t place) { return place % shape.per_domain < shape.relays; };
  Hierarchy world(shape, [&](std::size_t a, std::size_t b) {
    if (a == 0 || b == 0) return 3'000u;
    return is_relay(a) || is_relay(b) ? 20'000u : 90'000u;
  });
  policy::Rules rules;
  for (const auto& tenant : world.global().tenants())
    rules.limits.push_back({.tenant = tenant.name, .within = {"gz.cn"}});
  world.global().set_rules(rules, world.now());
  world.run(40s);
  std::size_t over_it = 0;
  for (const auto& [from, to] : world.pairs()) {
    const auto* policy = world.box(from).policy(world.box(to).id, ids::Tier::Bulk);
    ASSERT_NE(policy, nullptr) << world.box(from).name << " to " << world.box(to).name;
    ASSERT_GE(policy->paths_size(), 1);
    const auto& first = policy->paths(0);
    for (int hop = 0; hop + 1 < first.segments_size(); ++hop)
      over_it += ids::Sid{first.segments(hop)}.node().value == world.box(0).id;
    if (!is_relay(from) && !is_relay(to)) EXPECT_GT(first.segments_size(), 1) << "directly it is 90 ms";
  }
  const std::size_t room = paths::RelayLoad::room_for(world.pairs().size(), 2 * shape.relays);
  EXPECT_GT(world.pairs().size(), room + 60) << "else there is room for all of them";
  EXPECT_EQ(over_it, room);
}

}  // namespace
}  // namespace qanat::test
