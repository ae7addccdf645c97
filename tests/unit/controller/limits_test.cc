// Where a tenant's tiers may travel, from the rules to the lists that a box holds.
//
//   city ── near ── far     plane 1: 10 + 10 ms; direct 40 ms
//   city ── apart ── far    plane 2: 30 + 30 ms; direct 100 ms
#include <unistd.h>

#include <cstdio>

#include "controller/session/what_if.hh"
#include "tests/unit/controller/one_domain.hh"

namespace qanat {
namespace {

using ids::Tier;

constexpr std::uint32_t kPrivate = 1, kInternet = 2;

class Limits : public ::testing::Test {
 protected:
  Now now_{base::Time{} + 1000s, 1'800'000'000};
  const std::string file_ = ::testing::TempDir() + "qanat_limits_" + std::to_string(::getpid()) + ".db";
  Box city_{"city"}, far_{"far"}, near_{"near", true}, apart_{"apart", true};
  std::vector<Box*> boxes_{&city_, &far_, &near_, &apart_};
  std::unique_ptr<DomainWorld> d_ = std::make_unique<DomainWorld>(1, now_, file_);
  policy::Rules rules_;
  std::map<std::tuple<Box*, Box*, std::uint32_t>, std::uint32_t> rtt_{
      {{&city_, &near_, kPrivate}, 10'000},   {{&near_, &far_, kPrivate}, 10'000},
      {{&city_, &apart_, kInternet}, 30'000}, {{&apart_, &far_, kInternet}, 30'000},
      {{&city_, &far_, kPrivate}, 40'000},    {{&city_, &far_, kInternet}, 100'000}};
  std::map<std::tuple<Box*, Box*, std::uint32_t>, std::uint32_t> jitter_;
  std::vector<std::string> told_;

  void SetUp() override {
    for (Box* box : boxes_) d_->enrol(*box);
    for (Box* box : boxes_) d_->connect(*box);
    ASSERT_TRUE(put("lab", 100, {"city", "far"}));
    listen();
    run(12s);
  }
  ~Limits() override {
    d_.reset();
    for (const char* suffix : {"", "-wal", "-shm"}) std::remove((file_ + suffix).c_str());
  }
  void listen() {
    d_->level->on_event([this](const session::Event& event) {
      if (!event.kind.starts_with("tier_")) return;
      std::string text = event.kind;
      for (const auto& [name, value] : event.fields) text += " " + value;
      told_.push_back(text);
    });
  }
  bool put(const std::string& name, std::uint32_t vni, const std::vector<std::string>& members) {
    session::TenantView tenant{.name = name, .vni = vni, .members = {}};
    for (const auto& member : members) tenant.members.push_back({member, {}, {}});
    return d_->level->put_tenant(tenant, now_).empty();
  }
  void run(base::Duration time, bool measured = true) {
    for (base::Duration t{}; t < time; t += 100ms) {
      now_.mono += 100ms;
      for (const auto& [link, rtt] : rtt_) {
        const auto& [from, to, plane] = link;
        if (measured) d_->measure(*from, to->id, rtt, rtt != 0, plane, jitter_[link]);
      }
      d_->level->on_timer(now_);
      for (Box* box : boxes_) d_->deliver(*box);
    }
  }
  void limit(const std::vector<policy::Limit>& limits) {
    rules_.limits = limits;
    d_->level->set_rules(rules_, now_);
    run(3s);
  }
  // What city holds for far: relay and plane of each list, and the planes it may use at all.
  std::string lists(Tier tier) const {
    std::string out;
    const auto* policy = city_.policy(far_.id, tier);
    if (policy == nullptr) return "no policy";
    for (const auto& path : policy->paths()) {
      for (const Box* relay : {&near_, &apart_})
        if (path.segments(0) >> 8 == relay->id) out += relay->name;
      out += std::to_string(path.first_plane()) + " ";
    }
    if (policy->planes() != 0)
      for (std::uint32_t plane = 1; plane <= 2; ++plane)
        if ((policy->planes() >> plane & 1) != 0) out += "p" + std::to_string(plane);
    return out;
  }
  std::string reason(Tier tier) const {
    const auto all = d_->level->paths({"city", "far", tier});
    return all.empty() ? "no list" : all.front().reason;
  }
};

TEST_F(Limits, ATierKeepsToItsPlanesAndTheOthersToTheirLists) {
  const std::string shared = "near1 apart2 1 2 ";
  ASSERT_EQ(lists(Tier::Bulk), shared);
  limit({{.tenant = "lab", .tier = Tier::Bulk, .planes = {kInternet}}});
  EXPECT_EQ(lists(Tier::Bulk), "apart2 2 p2");
  for (const Tier tier : {Tier::Critical, Tier::Interactive, Tier::Scavenger}) EXPECT_EQ(lists(tier), shared);
  EXPECT_EQ(reason(Tier::Bulk), "limited");
  EXPECT_EQ(reason(Tier::Interactive), "best");
  limit({});
  EXPECT_EQ(lists(Tier::Bulk), shared);
  EXPECT_EQ(reason(Tier::Bulk), "best");
}

TEST_F(Limits, AllTiersAreMeantWhereNoneIsNamedAndAllTenantsLimitsHold) {
  ASSERT_TRUE(put("two", 200, {"city", "far"}));
  ASSERT_TRUE(put("other", 300, {"city", "near"}));
  limit({{.tenant = "lab", .planes = {kPrivate, kInternet}},
         {.tenant = "lab", .tier = Tier::Critical, .planes = {kPrivate, 3}},
         {.tenant = "two", .tier = Tier::Bulk, .planes = {kPrivate}},
         {.tenant = "other", .planes = {3}}});
  EXPECT_EQ(lists(Tier::Critical), "near1 1 p1");
  EXPECT_EQ(lists(Tier::Bulk), "near1 1 p1");
  EXPECT_EQ(lists(Tier::Interactive), "near1 apart2 1 2 p1p2");
}

TEST_F(Limits, WhereNothingIsAllowedThereIsNoListAndItIsTold) {
  limit({{.tenant = "lab", .tier = Tier::Bulk, .planes = {3}}});
  EXPECT_EQ(lists(Tier::Bulk), "") << "and no plane beside them";
  EXPECT_NE(city_.policy(far_.id, Tier::Bulk)->planes(), 0u);
  EXPECT_EQ(reason(Tier::Bulk), "none_allowed");
  EXPECT_EQ(told_, (std::vector<std::string>{"tier_cut_off city far bulk", "tier_cut_off far city bulk"}));
  EXPECT_EQ(d_->level->status(now_).cut_off, (std::array<std::size_t, 4>{0, 0, 2, 0})) << "and metered";
  told_.clear();
  rtt_[{&city_, &far_, 3}] = 200'000;
  run(3s);
  EXPECT_EQ(lists(Tier::Bulk), "3 ");
  EXPECT_EQ(told_, (std::vector<std::string>{"tier_restored city far bulk", "tier_restored far city bulk"}));
  EXPECT_EQ(d_->level->status(now_).cut_off, (std::array<std::size_t, 4>{}));
}

TEST_F(Limits, ADeadWayIsLeftForAnotherThatIsAllowed) {
  limit({{.tenant = "lab", .tier = Tier::Bulk, .planes = {kPrivate}}});
  ASSERT_EQ(lists(Tier::Bulk), "near1 1 p1");
  rtt_[{&near_, &far_, kPrivate}] = 0;
  run(3s);
  EXPECT_EQ(lists(Tier::Bulk), "1 p1");
  EXPECT_EQ(lists(Tier::Interactive), "1 apart2 2 ");
  rtt_[{&city_, &far_, kPrivate}] = 0;
  run(3s);
  EXPECT_EQ(lists(Tier::Bulk), "1 p1") << "rather the last one that was allowed";
  EXPECT_EQ(lists(Tier::Interactive), "apart2 2 ");
}

TEST(TierLimits, ASplitThatLosesAListIsNoneAnyMore) {
  policy::Rules rules;
  rules.limits = {{.tenant = "lab", .tier = Tier::Bulk, .planes = {kInternet}}};
  const domain::TierLimits limits(rules, {{"lab", {1, 2}}}, {});
  proto::v1::SrPolicy policy;
  policy.set_endpoint(2);
  policy.set_tier(static_cast<std::uint32_t>(Tier::Bulk));
  for (const auto& [plane, weight] : {std::pair{kInternet, 0u}, {kPrivate, 1000u}}) {
    auto& path = *policy.add_paths();
    path.add_segments(2 << 8);
    path.set_first_plane(plane);
    path.set_weight(weight);
  }
  limits.bind(1, policy);
  ASSERT_EQ(policy.paths_size(), 1);
  EXPECT_EQ(policy.paths(0).first_plane(), kInternet);
  EXPECT_EQ(policy.paths(0).weight(), 1u) << "it takes all";
}

TEST_F(Limits, APromiseIsKeptWithinThemAlone) {
  rules_.slas = {{.tenant = "lab", .tier = Tier::Bulk, .most_rtt_us = 50'000}};
  limit({{.tenant = "lab", .tier = Tier::Bulk, .planes = {kInternet}}});
  run(10s);
  EXPECT_EQ(lists(Tier::Bulk), "apart2 2 p2") << "near keeps it, over plane 1";
  EXPECT_EQ(d_->level->slas().at(1).state, session::SlaView::State::Broken) << d_->level->slas().at(1).term;
}

TEST_F(Limits, ARuleOfThePairBendsToThem) {
  rules_.routes = {{.from = "city", .to = "far", .via = {"near"}, .pinned = true, .avoid = {}}};
  limit({{.tenant = "lab", .tier = Tier::Bulk, .planes = {kInternet}}});
  EXPECT_EQ(lists(Tier::Bulk), "apart2 2 p2");
  EXPECT_EQ(lists(Tier::Interactive).substr(0, 5), "near1");
}

TEST_F(Limits, WhoeverDoesNotBelongToTheTenantIsNotLimited) {
  ASSERT_TRUE(put("lab", 100, {"city", "near"}));
  limit({{.tenant = "lab", .planes = {kInternet}}});
  EXPECT_EQ(lists(Tier::Bulk), "near1 apart2 1 2 ");
  ASSERT_TRUE(put("lab", 100, {"city", "far"}));
  run(3s);
  EXPECT_EQ(lists(Tier::Bulk), "apart2 2 p2");
}

class Residency : public Limits {
 protected:
  void SetUp() override {
    near_.location = "guian.gz.cn";
    apart_.location = "sh.cn";
    Limits::SetUp();
  }
};

TEST_F(Residency, OnlyRelaysThereAreUsed) {
  limit({{.tenant = "lab", .tier = Tier::Bulk, .within = {"sh.cn", "de"}},
         {.tenant = "lab", .tier = Tier::Interactive, .within = {"gz.cn"}},
         {.tenant = "lab", .tier = Tier::Critical, .within = {"z.cn"}}});
  EXPECT_EQ(lists(Tier::Bulk), "1 apart2 2 p1p2");
  EXPECT_EQ(lists(Tier::Interactive), "near1 2 1 p1p2") << "guian is in gz";
  EXPECT_EQ(lists(Tier::Critical), "1 2 p1p2") << "gz.cn is not in z.cn; direct ways cross no relay";
  EXPECT_EQ(lists(Tier::Scavenger), "near1 apart2 1 2 ");
  EXPECT_EQ(reason(Tier::Critical), "limited");
}

TEST_F(Residency, ARelayThatMovesIsLeft) {
  limit({{.tenant = "lab", .within = {"gz.cn"}}});
  ASSERT_EQ(lists(Tier::Bulk), "near1 2 1 p1p2");
  d_->level->on_closed(near_.id, now_);
  near_.location = "fra.de";
  d_->connect(near_);
  run(3s);
  EXPECT_EQ(lists(Tier::Bulk), "1 2 p1p2");
}

TEST_F(Residency, BothKindsHoldTogether) {
  limit({{.tenant = "lab", .tier = Tier::Bulk, .planes = {kInternet}, .within = {"gz.cn"}}});
  EXPECT_EQ(lists(Tier::Bulk), "2 p2");
  rtt_[{&city_, &far_, kInternet}] = 0;
  run(3s);
  EXPECT_EQ(lists(Tier::Bulk), "2 p2") << "not over apart, though it works";
}

TEST_F(Limits, ARestartKeepsThem) {
  limit({{.tenant = "lab", .tier = Tier::Bulk, .planes = {kInternet}}});
  const auto version = city_.held.version();
  const std::string bulk = lists(Tier::Bulk), interactive = lists(Tier::Interactive);
  d_.reset();
  d_ = std::make_unique<DomainWorld>(1, now_, file_);
  d_->level->set_rules(rules_, now_);
  for (Box* box : boxes_) d_->connect(*box);
  run(2s, false);
  run(20s);
  EXPECT_EQ(city_.held.version(), version);
  EXPECT_EQ(lists(Tier::Bulk), bulk);
  EXPECT_EQ(lists(Tier::Interactive), interactive);
}

TEST_F(Limits, ARestartKeepsAWayForAPromiseWithinThem) {
  rules_.slas = {{.tenant = "lab", .tier = Tier::Bulk, .most_jitter_us = 5'000}};
  limit({{.tenant = "lab", .tier = Tier::Bulk, .planes = {kPrivate, kInternet}}});
  jitter_[{&city_, &near_, kPrivate}] = 8'000;
  run(10s);
  const std::string bulk = lists(Tier::Bulk);
  ASSERT_EQ(bulk, "1 near1 apart2 2 p1p2") << "directly, and the others behind it";
  const auto version = city_.held.version();
  d_.reset();
  d_ = std::make_unique<DomainWorld>(1, now_, file_);
  d_->level->set_rules(rules_, now_);
  for (Box* box : boxes_) d_->connect(*box);
  run(2s, false);
  for (int tick = 0; tick < 200; ++tick) {
    run(100ms);
    ASSERT_EQ(lists(Tier::Bulk), bulk) << "tick " << tick;
  }
  EXPECT_EQ(city_.held.version(), version);
}

TEST_F(Limits, WhatIfJudgesByThem) {
  rules_.slas = {{.tenant = "lab", .tier = Tier::Bulk, .most_rtt_us = 70'000}};
  limit({{.tenant = "lab", .tier = Tier::Bulk, .planes = {kInternet}}});
  session::WhatIf question;
  question.fail_nodes = {"apart"};
  const auto answer = d_->level->what_if(question, now_)();
  ASSERT_EQ(answer.broken.size(), 2u) << "there and back: what is left on plane 2 takes 100 ms";
  EXPECT_EQ(answer.broken[0].term, "latency");
  EXPECT_EQ(answer.broken[0].after, 100'000u);
}

}  // namespace
}  // namespace qanat
