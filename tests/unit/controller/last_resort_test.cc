// A relay that is drained softly carries nothing where there is another way, and somebody's traffic again where there is no
// other any more, in whichever order the two come.
#include "controller/session/what_if.hh"
#include "tests/unit/controller/one_domain.hh"

namespace qanat {
namespace {

class LastResort : public OneDomain {
 protected:
  policy::Rules rules_;
  void drain(policy::DrainMode mode) {
    rules_.drains = {{.node = "relay", .mode = mode}};
    d_->level->set_rules(rules_, now_);
  }
  void set_direct(std::uint32_t rtt_us) { rtt_[{&city_, &far_}] = rtt_us; }
  std::vector<std::uint32_t> direct() const { return {far_.id << 8}; }
};

TEST_F(LastResort, ADrainedRelayIsTakenWhenTheOtherWayDies) {
  drain(policy::DrainMode::Soft);
  run(1s);
  ASSERT_EQ(city_.first_list(far_.id), direct());
  session::WhatIf question;
  question.fail_links = {{"city", "far"}};
  const auto foretold = d_->level->what_if(question, now_)();
  ASSERT_EQ(foretold.moved.size(), 2u);
  ASSERT_TRUE(foretold.moved[0].after.has_value()) << "not cut off";
  EXPECT_EQ(foretold.moved[0].after->names, (std::vector<std::string>{"relay", "far"}));
  set_direct(0);
  run(500ms);
  EXPECT_EQ(city_.first_list(far_.id), over_relay());
  EXPECT_EQ(far_.first_list(city_.id).front(), relay_.id << 8 | 1);
  const auto version = city_.held.version();
  run(5s);
  EXPECT_EQ(city_.held.version(), version) << "and held on to";
  set_direct(100'000);
  run(2s);
  EXPECT_EQ(city_.first_list(far_.id), direct()) << "until there is another one again";
}

TEST_F(LastResort, TheDeathBeforeTheDrainsFirstTickIsTheSame) {
  drain(policy::DrainMode::Soft);
  set_direct(0);
  run(500ms);
  EXPECT_EQ(city_.first_list(far_.id), over_relay());
  set_direct(100'000);
  run(2s);
  EXPECT_EQ(city_.first_list(far_.id), direct());
  set_direct(0);
  run(500ms);
  EXPECT_EQ(city_.first_list(far_.id), over_relay());
}

TEST_F(LastResort, WhatGoesByItIsPlannedForAndKeepsItsPromise) {
  ASSERT_TRUE(
      d_->level->put_tenant({.name = "lab", .vni = 100, .members = {{"city", {}, {}}, {"far", {}, {}}}}, now_)
          .empty());
  rules_.slas = {{.tenant = "lab", .tier = ids::Tier::Bulk, .most_rtt_us = 60'000}};
  drain(policy::DrainMode::Soft);
  run(20s);
  ASSERT_EQ(city_.first_list(far_.id), direct());
  EXPECT_EQ(d_->level->slas().at(1).state, session::SlaView::State::Broken) << d_->level->slas().at(1).term;
  set_direct(0);
  Envelope e;
  auto& demand = *e.mutable_telemetry()->add_demands();
  demand.set_peer(far_.id);
  demand.set_tier(static_cast<std::uint32_t>(ids::Tier::Bulk));
  demand.set_kbps(20'000);
  demand.set_packet_bytes(1400);
  for (int i = 0; i < 4; ++i) {
    d_->level->on_envelope(city_.id, e, now_);
    run(5s);
  }
  ASSERT_EQ(city_.first_list(far_.id), over_relay());
  for (const auto& sla : d_->level->slas()) EXPECT_EQ(sla.state, session::SlaView::State::Kept) << sla.term;
  EXPECT_EQ(d_->level->traffic().demands, 1u);
  EXPECT_GT(d_->level->traffic().plane_bps.at(1), 30e6) << "two hops";
}

TEST_F(LastResort, AHardDrainIsNobodys) {
  drain(policy::DrainMode::Hard);
  run(1s);
  set_direct(0);
  run(3s);
  EXPECT_EQ(city_.first_list(far_.id), direct()) << "dead, and kept: the box's own probes decide";
}

TEST_F(LastResort, ABoxThatIsNoRelayDoesNotBecomeOne) {
  Box town("town");
  d_->enrol(town);
  d_->connect(town);
  boxes_.push_back(&town);
  rtt_[{&city_, &town}] = rtt_[{&town, &far_}] = 5'000;
  rules_.drains = {{.node = "relay", .mode = policy::DrainMode::Hard},
                   {.node = "town", .mode = policy::DrainMode::Soft}};
  d_->level->set_rules(rules_, now_);
  run(10s);
  set_direct(0);
  run(3s);
  EXPECT_EQ(city_.first_list(far_.id), direct());
  rtt_.clear();
  boxes_.pop_back();
}

}  // namespace
}  // namespace qanat
