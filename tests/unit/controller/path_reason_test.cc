// Why a list is the one it is: each reason beside what makes it true, and gone with it.
#include "controller/domain/path_reason.hh"

#include "tests/unit/controller/one_domain.hh"

namespace qanat {
namespace {

using policy::DrainMode;

class Reasons : public OneDomain {
 protected:
  policy::Rules rules_;
  void rule() { d_->level->set_rules(rules_, now_); }
  std::vector<session::PathView> lists(ids::Tier tier = ids::Tier::Interactive) const {
    return d_->level->paths({"city", "far", tier});
  }
  std::string first(ids::Tier tier = ids::Tier::Interactive) const {
    const auto all = lists(tier);
    return all.empty() ? "no list" : all.front().reason;
  }
};

TEST_F(Reasons, TheCheapestIsBestAndTheOthersStandBy) {
  const auto all = lists();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].reason, "best");
  EXPECT_EQ(all[1].reason, "backup");
}

TEST_F(Reasons, ALittleCheaperIsNotWorthAMove) {
  rtt_[{&city_, &far_}] = 38'000;
  run(20s);
  ASSERT_EQ(city_.first_list(far_.id), over_relay());
  EXPECT_EQ(first(), "held");
}

TEST_F(Reasons, MuchCheaperWaitsForTheEndOfAFreeze) {
  rules_.freezes = {{.from = 0, .until = now_.unix_s + 3600, .why = "holidays"}};
  rule();
  rtt_[{&city_, &far_}] = 10'000;
  run(20s);
  EXPECT_EQ(first(), "waits");
  now_.unix_s += 3600;
  run(3s);
  EXPECT_EQ(first(), "best");
}

TEST_F(Reasons, RulesOfThePairAreNamed) {
  rules_.routes = {{.from = "city", .to = "far", .via = {}, .pinned = true, .avoid = {}}};
  rule();
  run(2s);
  EXPECT_EQ(first(), "pinned");
  rtt_[{&city_, &far_}] = 0;
  run(2s);
  EXPECT_EQ(first(), "best") << "what is prescribed does not work";
  rtt_[{&city_, &far_}] = 100'000;
  rules_.routes = {{.from = "city", .to = "far", .via = {}, .pinned = false, .avoid = {"relay"}}};
  rule();
  run(3s);
  EXPECT_EQ(first(), "avoiding");
  rtt_[{&city_, &far_}] = 0;
  run(2s);
  ASSERT_EQ(city_.first_list(far_.id), over_relay());
  EXPECT_EQ(first(), "last_resort");
}

TEST_F(Reasons, ADrainedRelayIsTheLastResort) {
  rtt_[{&city_, &far_}] = 0;
  run(1s);
  rules_.drains = {{.node = "relay", .mode = DrainMode::Soft}};
  rule();
  run(2s);
  ASSERT_EQ(city_.first_list(far_.id), over_relay());
  EXPECT_EQ(first(), "last_resort");
}

TEST_F(Reasons, WhereNothingWorksTheLastOneIsKept) {
  rtt_[{&city_, &far_}] = rtt_[{&city_, &relay_}] = 0;
  run(3s);
  EXPECT_EQ(first(), "best_effort");
}

TEST_F(Reasons, ATiersOwnListKeepsItsPromiseAndTheOthersShareTheBest) {
  ASSERT_TRUE(
      d_->level->put_tenant({.name = "lab", .vni = 100, .members = {{"city", {}, {}}, {"far", {}, {}}}}, now_)
          .empty());
  rules_.slas = {{.tenant = "lab", .tier = ids::Tier::Interactive, .most_jitter_us = 5'000}};
  jitter_[{&city_, &relay_}] = 8'000;
  rule();
  run(12s);
  EXPECT_EQ(first(), "promise");
  EXPECT_EQ(first(ids::Tier::Bulk), "best");
}

TEST_F(Reasons, WhatABoxWasNotToldYetIsPending) {
  boxes_ = {&relay_, &far_};  // city acknowledges nothing
  run(1s);
  ASSERT_EQ(first(), "best");
  rtt_[{&city_, &far_}] = 10'000;
  run(2s);  // the first change is on its way
  rtt_[{&city_, &far_}] = 100'000;
  run(2s);
  EXPECT_EQ(first(), "pending");
}

}  // namespace
}  // namespace qanat
