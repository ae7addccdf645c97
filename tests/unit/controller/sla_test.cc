// Promises to tenants, watched: what is broken for a while is told, with what and how much, and told again when it is well.
#include <unistd.h>

#include <cstdio>

#include "controller/session/what_if.hh"
#include "tests/unit/controller/one_domain.hh"

namespace qanat {
namespace {

using session::SlaView;

class Promises : public OneDomain {
 protected:
  std::vector<session::Event> told_;

  void SetUp() override {
    OneDomain::SetUp();
    ASSERT_TRUE(
        d_->level
            ->put_tenant({.name = "lab", .vni = 100, .members = {{"city", {}, {}}, {"far", {}, {}}}}, now_)
            .empty());
    d_->level->on_event([this](const session::Event& event) {
      if (event.kind.starts_with("sla_")) told_.push_back(event);
    });
    run(6s);  // until what was measured counts
  }
  // As OneDomain's, with the wall clock going on.
  void run(std::chrono::seconds time) {
    for (; time > 0s; time -= 1s) {
      OneDomain::run(1s);
      ++now_.unix_s;
    }
  }
  void promise(std::uint32_t most_rtt_us) {
    policy::Rules rules;
    rules.slas.push_back({.tenant = "lab", .tier = ids::Tier::Interactive, .most_rtt_us = most_rtt_us});
    d_->level->set_rules(rules, now_);
  }
  void set_rtt(std::uint32_t rtt_us) {
    rtt_[{&city_, &relay_}] = rtt_[{&relay_, &far_}] = rtt_us;
    rtt_[{&city_, &far_}] = rtt_us == 0 ? 0 : 100'000;
  }
  SlaView view(const std::string& term) const {
    for (const auto& sla : d_->level->slas())
      if (sla.term == term) return sla;
    ADD_FAILURE() << "no term " << term;
    return {};
  }
  static std::string field(const session::Event& event, const std::string& key) {
    for (const auto& [name, value] : event.fields)
      if (name == key) return value;
    return "";
  }
};

TEST_F(Promises, WhatIsBrokenIsToldAndToldAgainWhenItIsWell) {
  promise(60'000);
  run(12s);
  EXPECT_TRUE(told_.empty());
  EXPECT_EQ(view("latency").state, SlaView::State::Kept);
  EXPECT_EQ(view("latency").pairs, 2u);
  EXPECT_EQ(view("latency").worst, 40'000u);

  set_rtt(45'000);
  const auto began = now_;
  run(15s);
  ASSERT_EQ(told_.size(), 1u);
  EXPECT_EQ(told_[0].kind, "sla_broken");
  EXPECT_EQ(field(told_[0], "tenant"), "lab");
  EXPECT_EQ(field(told_[0], "tier"), "interactive");
  EXPECT_EQ(field(told_[0], "term"), "latency");
  EXPECT_EQ(field(told_[0], "limit"), "60000");
  EXPECT_EQ(field(told_[0], "unit"), "us");
  EXPECT_GT(std::stoul(field(told_[0], "worst")), 60'000u);
  EXPECT_EQ(field(told_[0], "pairs"), "2");
  EXPECT_EQ(field(told_[0], "broken"), "2");
  EXPECT_EQ(view("latency").state, SlaView::State::Broken);
  EXPECT_GE(view("latency").since, began.unix_s);
  EXPECT_EQ(view("path").state, SlaView::State::Kept);

  set_rtt(20'000);
  run(9s);
  EXPECT_EQ(told_.size(), 1u) << "well again for so short a time is no news";
  run(20s);
  ASSERT_EQ(told_.size(), 2u);
  EXPECT_EQ(told_[1].kind, "sla_kept");
  EXPECT_GE(std::stoul(field(told_[1], "broken_s")), 10u);
  EXPECT_EQ(view("latency").broken, 0u);
}

TEST_F(Promises, APairWithoutAnyWayBreaksThePathAlone) {
  promise(60'000);
  run(12s);
  set_rtt(0);
  run(10s);
  ASSERT_EQ(told_.size(), 1u);
  EXPECT_EQ(field(told_[0], "term"), "path");
  EXPECT_EQ(field(told_[0], "limit"), "");
  EXPECT_EQ(field(told_[0], "from"), "city");
  EXPECT_EQ(view("latency").pairs, 0u);
}

TEST_F(Promises, WhatIsNotPromisedAnyMoreIsForgotten) {
  promise(30'000);
  run(5s);
  ASSERT_EQ(told_.size(), 1u) << "broken from the start";
  promise(50'000);
  run(5s);
  EXPECT_EQ(view("latency").state, SlaView::State::Unknown) << "another promise, not watched long enough";
  run(8s);
  EXPECT_EQ(view("latency").state, SlaView::State::Kept);
  EXPECT_EQ(told_.size(), 1u);
  d_->level->set_rules({}, now_);
  run(2s);
  EXPECT_TRUE(d_->level->slas().empty());
}

class TierWays : public Promises {
 protected:
  void promise_jitter(std::uint32_t most_us) {
    policy::Rules rules;
    rules.slas.push_back({.tenant = "lab", .tier = ids::Tier::Interactive, .most_jitter_us = most_us});
    d_->level->set_rules(rules, now_);
  }
  std::vector<std::uint32_t> direct() const { return {far_.id << 8}; }
};

TEST_F(TierWays, ATierThatTheSharedWaysFailGetsOneOfItsOwn) {
  promise_jitter(5'000);
  run(12s);
  ASSERT_EQ(city_.first_list(far_.id), over_relay());
  jitter_[{&city_, &relay_}] = 8'000;
  run(8s);
  EXPECT_EQ(city_.first_list(far_.id), direct()) << "longer, and steady";
  EXPECT_EQ(far_.first_list(city_.id).size(), 1u) << "both directions";
  for (const ids::Tier tier : {ids::Tier::Critical, ids::Tier::Bulk, ids::Tier::Scavenger})
    EXPECT_EQ(city_.first_list(far_.id, tier), over_relay()) << ids::to_string(tier);
  EXPECT_EQ(city_.policy(far_.id)->paths_size(), city_.policy(far_.id, ids::Tier::Bulk)->paths_size())
      << "the shared ways stand behind it";
  run(12s);
  EXPECT_EQ(view("jitter").state, SlaView::State::Kept);
  EXPECT_TRUE(d_->level->what_if({}, now_)().already_broken.empty()) << "what-if knows of it";

  jitter_.clear();
  run(9s);
  EXPECT_EQ(city_.first_list(far_.id), direct()) << "well again for so short a time moves nobody";
  run(10s);
  EXPECT_EQ(city_.first_list(far_.id), over_relay());
}

TEST_F(TierWays, WhatIsOverInAMomentMovesNobody) {
  promise_jitter(5'000);
  run(12s);
  jitter_[{&city_, &relay_}] = 8'000;
  run(1s);
  jitter_.clear();
  run(10s);
  EXPECT_EQ(city_.first_list(far_.id), over_relay());
}

TEST_F(TierWays, WithoutAWayThatKeepsItTheSharedOnesServe) {
  promise_jitter(5'000);
  run(12s);
  jitter_ = {{{&city_, &relay_}, 8'000}, {{&city_, &far_}, 9'000}};
  run(15s);
  EXPECT_EQ(city_.first_list(far_.id), over_relay());
  EXPECT_EQ(view("jitter").state, SlaView::State::Broken);
  jitter_[{&city_, &far_}] = 0;
  run(5s);
  EXPECT_EQ(city_.first_list(far_.id), direct()) << "as soon as there is one";
}

TEST_F(TierWays, AnOwnWayThatDiesIsLeftAndAPromiseThatEndsToo) {
  promise_jitter(5'000);
  jitter_[{&city_, &relay_}] = 8'000;
  run(12s);
  ASSERT_EQ(city_.first_list(far_.id), direct());
  rtt_[{&city_, &far_}] = 0;
  run(5s);
  EXPECT_EQ(city_.first_list(far_.id), over_relay());
  rtt_[{&city_, &far_}] = 100'000;
  run(10s);
  ASSERT_EQ(city_.first_list(far_.id), direct());
  d_->level->set_rules({}, now_);
  run(3s);
  EXPECT_EQ(city_.first_list(far_.id), over_relay());
}

TEST_F(TierWays, WhoIsNoMemberAnyMoreGoesWithTheOthers) {
  promise_jitter(5'000);
  jitter_[{&city_, &relay_}] = 8'000;
  run(12s);
  ASSERT_EQ(city_.first_list(far_.id), direct());
  ASSERT_TRUE(
      d_->level
          ->put_tenant({.name = "lab", .vni = 100, .members = {{"city", {}, {}}, {"relay", {}, {}}}}, now_)
          .empty());
  run(5s);
  EXPECT_EQ(city_.first_list(far_.id), over_relay());
}

class TierWaysRestart : public ::testing::TestWithParam<ids::Tier> {};

TEST_P(TierWaysRestart, KeepsThem) {
  const ids::Tier promised = GetParam();
  const ids::Tier other = promised == ids::Tier::Bulk ? ids::Tier::Scavenger : ids::Tier::Bulk;
  const std::string file = ::testing::TempDir() + "qanat_tiers_" + std::to_string(::getpid()) + ".db";
  Now now{base::Time{} + 1000s, 1'800'000'000};
  Box city{"city"}, far{"far"}, relay{"relay", true};
  const auto round = [&](DomainWorld& d, int ticks, bool measured) {
    for (int i = 0; i < ticks; ++i) {
      now.mono += 100ms;
      if (measured) {
        d.measure(city, far.id, 100'000);
        d.measure(city, relay.id, 20'000, true, 1, 8'000);
        d.measure(relay, far.id, 20'000);
      }
      d.level->on_timer(now);
      for (Box* box : {&city, &far, &relay}) d.deliver(*box);
    }
  };
  policy::Rules rules;
  rules.slas.push_back({.tenant = "lab", .tier = promised, .most_jitter_us = 5'000});
  {
    DomainWorld d(1, now, file);
    for (Box* box : {&city, &far, &relay}) {
      d.enrol(*box);
      d.connect(*box);
    }
    ASSERT_TRUE(
        d.level->put_tenant({.name = "lab", .vni = 100, .members = {{"city", {}, {}}, {"far", {}, {}}}}, now)
            .empty());
    d.level->set_rules(rules, now);
    round(d, 120, true);
    ASSERT_EQ(city.first_list(far.id, promised).size(), 1u);
    ASSERT_EQ(city.first_list(far.id, other).size(), 2u);
  }
  const auto version = city.held.version();
  {
    DomainWorld d(1, now, file);
    d.level->set_rules(rules, now);
    round(d, 20, false);
    for (Box* box : {&city, &far, &relay}) d.connect(*box);
    round(d, 20, false);
    round(d, 200, true);
    EXPECT_EQ(city.held.version(), version) << "neither the tier's way nor the others'";
    d.level->set_rules({}, now);
    round(d, 30, true);
    EXPECT_EQ(city.first_list(far.id, promised).size(), 2u);
  }
  for (const char* suffix : {"", "-wal", "-shm"}) std::remove((file + suffix).c_str());
}

INSTANTIATE_TEST_SUITE_P(EveryTier, TierWaysRestart, ::testing::ValuesIn(ids::kTiers));

TEST(SlaWatch, SecondsDecideAndNotLooks) {
  const policy::Sla sla{.tenant = "lab", .most_loss_ppm = 1000};
  domain::SlaWatch watch;
  Now now{base::Time{} + 1s, 1'000};
  const auto look = [&](std::uint32_t loss_ppm, base::Duration later) {
    now.mono += later;
    now.unix_s +=
        static_cast<base::UnixSeconds>(std::chrono::duration_cast<std::chrono::seconds>(later).count());
    watch.begin({sla});
    watch.judge(sla, {1, 2}, domain::WayFigures{.loss_ppm = loss_ppm});
    return watch.end(now);
  };
  EXPECT_TRUE(look(0, 1s).empty());
  EXPECT_TRUE(look(0, 10s).empty());
  EXPECT_TRUE(look(2000, 1s).empty());
  EXPECT_TRUE(look(2000, 2s).empty());
  EXPECT_TRUE(look(500, 1s).empty()) << "it was well in between: anew";
  EXPECT_TRUE(look(2000, 1s).empty());
  const auto broken = look(3000, 3s);
  ASSERT_EQ(broken.size(), 1u);
  EXPECT_EQ(broken[0].state.is, SlaView::State::Broken);
  EXPECT_EQ(broken[0].state.since, 1'016u) << "the first look that said so";
  EXPECT_EQ(broken[0].state.last.worst, 3000u);
  EXPECT_TRUE(look(0, 1s).empty());
  EXPECT_TRUE(look(0, 9s).empty());
  const auto kept = look(0, 1s);
  ASSERT_EQ(kept.size(), 1u);
  EXPECT_EQ(kept[0].before_since, 1'016u);
}

}  // namespace
}  // namespace qanat
