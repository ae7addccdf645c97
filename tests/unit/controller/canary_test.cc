// A change that some boxes get first: the others wait; it goes to all when its boxes fare as before, and is taken back when not.
#include "controller/domain/canary.hh"

#include "controller/northbound/intents.hh"
#include "tests/unit/controller/one_domain.hh"

namespace qanat::northbound {
namespace {

using session::CanaryEnd;
using session::CanaryPlan;
using session::CanaryView;

class Canaries : public OneDomain {
 protected:
  const By by_{"alice", "192.0.2.7:4711"};
  std::unique_ptr<Intents> intents_;

  void SetUp() override {
    OneDomain::SetUp();
    intents_ = std::make_unique<Intents>(*d_->level, d_->store, now_);
    for (Box* box : boxes_) fare(*box, 20'000, 0);
    apply(lab(1));
  }
  static std::string lab(int generation) {
    const std::string address = std::to_string(generation);
    return R"({"tenants": {"lab": {"vni": 100, "members": [{"node": "city", "addresses": ["100.96.1.)" +
           address + R"(/32"]}, {"node": "far", "addresses": ["100.96.2.)" + address + R"(/32"]}]}}})";
  }
  Intents::Outcome apply(const std::string& json, const CanaryPlan* plan = nullptr) {
    auto outcome =
        intents_->apply(std::get<Wanted>(parse_intent(json)), Intents::Run::Real, "apply", by_, now_, plan);
    run(300ms);
    return outcome;
  }
  // A box's whole report.
  void fare(const Box& box, std::uint32_t rtt_us, std::uint32_t loss_ppm, bool alive = true,
            std::uint64_t drops = 0) {
    Envelope e;
    auto& path = *e.mutable_telemetry()->add_paths();
    path.set_active(true);
    path.set_alive(alive);
    path.set_rtt_us(rtt_us);
    path.set_loss_ppm(loss_ppm);
    auto& counter = *e.mutable_telemetry()->add_counters();
    counter.set_name("drop_acl");
    counter.set_value(drops);
    d_->level->on_envelope(box.id, e, now_);
  }
  // Which of the changes a box has: the last part of its own address.
  static std::string has(const Box& box) {
    for (const auto& member : box.held.tenants(0).members())
      if (member.node_id() == box.id) return member.addresses(0);
    return "";
  }
  CanaryView begin(std::uint32_t watch_s = 10) {
    const CanaryPlan plan{.names = {"city"}, .watch_s = watch_s};
    EXPECT_TRUE(std::holds_alternative<Applied>(apply(lab(2), &plan)));
    return d_->level->canary().value_or(CanaryView{});
  }
};

TEST_F(Canaries, TheOthersWaitUntilItsTimeIsUp) {
  EXPECT_EQ(begin().canaries, std::vector<std::string>{"city"});
  EXPECT_EQ(has(city_), "100.96.1.2/32");
  EXPECT_EQ(has(far_), "100.96.2.1/32");
  run(5s);
  for (Box* box : boxes_) fare(*box, 21'000, 100);
  EXPECT_FALSE(intents_->settle(now_).has_value());
  EXPECT_TRUE(std::holds_alternative<Intents::Watched>(apply(lab(3)))) << "one at a time";
  run(6s);
  const auto settled = intents_->settle(now_);
  ASSERT_TRUE(settled.has_value());
  EXPECT_TRUE(settled->passed);
  run(300ms);
  EXPECT_EQ(has(far_), "100.96.2.2/32");
  EXPECT_EQ(intents_->version(), 2u);
  EXPECT_TRUE(std::holds_alternative<Applied>(apply(lab(3))));
}

TEST_F(Canaries, WhatMakesItsBoxesFareWorseIsTakenBack) {
  struct Case {
    const char* why;
    std::uint32_t rtt_us, loss_ppm;
    bool alive;
    std::uint64_t drops;
  };
  for (const Case& c :
       {Case{"loss", 20'000, 40'000, true, 0}, Case{"round trip", 80'000, 0, true, 0},
        Case{"are dead", 0, 0, false, 0}, Case{"dropped by a box", 20'000, 0, true, 1'000'000}}) {
    for (Box* box : boxes_) fare(*box, 20'000, 0);
    begin(60);
    run(2s);
    for (Box* box : {&far_, &relay_}) fare(*box, 20'000, 0);
    fare(city_, c.rtt_us, c.loss_ppm, c.alive, c.drops);
    run(200ms);
    const auto settled = intents_->settle(now_);
    ASSERT_TRUE(settled.has_value()) << c.why;
    EXPECT_FALSE(settled->passed) << c.why;
    ASSERT_EQ(settled->faults.size(), 1u) << c.why;
    EXPECT_NE(settled->faults[0].find(c.why), std::string::npos) << settled->faults[0];
    run(300ms);
    EXPECT_EQ(has(city_), "100.96.1.1/32") << c.why;
    EXPECT_EQ(has(far_), "100.96.2.1/32") << c.why;
    fare(city_, 20'000, 0, true, c.drops);
    run(2s);
    fare(city_, 20'000, 0, true, c.drops);
  }
}

TEST_F(Canaries, WhatBecameWorseForTheOthersTooIsNotItsFault) {
  begin();
  run(2s);
  for (Box* box : boxes_) fare(*box, 20'000, 40'000);
  run(9s);
  const auto settled = intents_->settle(now_);
  ASSERT_TRUE(settled.has_value());
  EXPECT_TRUE(settled->passed);
}

TEST_F(Canaries, OneThatLosesItsSessionTakesItBack) {
  begin(60);
  d_->level->on_closed(city_.id, now_);
  run(4s);
  const auto settled = intents_->settle(now_);
  ASSERT_TRUE(settled.has_value());
  EXPECT_FALSE(settled->passed);
  EXPECT_EQ(settled->faults, std::vector<std::string>{"city lost its session"});
}

TEST_F(Canaries, AnOperatorNeedNotWait) {
  begin(60);
  ASSERT_TRUE(intents_->settle_at_once(CanaryEnd::TakenBack, by_, now_).has_value());
  run(300ms);
  EXPECT_EQ(has(city_), "100.96.1.1/32");
  EXPECT_EQ(intents_->version(), 3u);
  begin(60);
  ASSERT_TRUE(intents_->settle_at_once(CanaryEnd::GoesToAll, by_, now_).has_value());
  run(300ms);
  EXPECT_EQ(has(far_), "100.96.2.2/32");
  EXPECT_FALSE(intents_->settle_at_once(CanaryEnd::GoesToAll, by_, now_).has_value());
}

TEST_F(Canaries, RevocationsReachThoseThatAreHeldBackAndNothingElseDoes) {
  begin(60);
  d_->level->revoke("relay", now_);
  d_->deliver(far_);
  EXPECT_EQ(has(far_), "100.96.2.1/32");
  ASSERT_EQ(far_.held.denied_headends_size(), 1);
  EXPECT_EQ(far_.held.denied_headends(0), relay_.id);
}

TEST_F(Canaries, ARestartInBetweenTakesItBack) {
  begin(60);
  intents_.reset();
  Intents again(*d_->level, d_->store, now_);
  EXPECT_EQ(again.version(), 3u);
  EXPECT_EQ(again.current().tenants.at(0).members.at(0).addresses.at(0), "100.96.1.1/32");
  EXPECT_EQ(Intents(*d_->level, d_->store, now_).version(), 3u) << "once";
}

TEST_F(Canaries, AShareIsOfThoseThatTheChangeConcerns) {
  const CanaryPlan plan{.share_permille = 500, .watch_s = 60};
  EXPECT_TRUE(std::holds_alternative<Applied>(apply(lab(2), &plan)));
  const auto view = d_->level->canary();
  ASSERT_TRUE(view.has_value());
  ASSERT_EQ(view->canaries.size(), 1u) << "half of city and far";
  EXPECT_NE(view->canaries[0], "relay");
  EXPECT_NE(has(city_) == "100.96.1.2/32", has(far_) == "100.96.2.2/32");
}

TEST_F(Canaries, NamesThatNobodyHasAreRefused) {
  const CanaryPlan plan{.names = {"moon"}};
  const auto outcome = apply(lab(2), &plan);
  ASSERT_TRUE(std::holds_alternative<Problems>(outcome));
  EXPECT_EQ(std::get<Problems>(outcome).front(), "canary 'moon' is no box of this domain");
  EXPECT_EQ(intents_->version(), 1u);
}

}  // namespace
}  // namespace qanat::northbound
