// What operators say about ways is done, undone, and foretold by what-if: the answer is what happens afterwards.
#include "controller/domain/steering.hh"

#include "controller/session/what_if.hh"
#include "tests/unit/controller/one_domain.hh"

namespace qanat {
namespace {

using policy::DrainMode;
using session::WhatIf;

class Steered : public OneDomain {
 protected:
  policy::Rules rules_;
  void rule() { d_->level->set_rules(rules_, now_); }
  std::vector<std::uint32_t> direct() const { return {far_.id << 8}; }
  session::WhatIfAnswer ask(const WhatIf& question) { return d_->level->what_if(question, now_)(); }
  const proto::v1::SrPolicy* lists() const { return city_.policy(far_.id); }
};

TEST_F(Steered, ASoftDrainMovesWhatCanMoveAndGivesItBack) {
  rules_.drains = {{.node = "relay", .mode = DrainMode::Soft}};
  rule();
  run(1s);
  EXPECT_EQ(city_.first_list(far_.id), direct());
  EXPECT_EQ(lists()->paths_size(), 1) << "not as a backup either";
  EXPECT_NE(city_.policy(relay_.id), nullptr) << "the relay itself is reached as before";
  rules_.drains.clear();
  rule();
  run(2s);
  EXPECT_EQ(city_.first_list(far_.id), over_relay());
}

TEST_F(Steered, ASoftDrainTakesNobodysLastWayAndAHardOneDoes) {
  rtt_[{&city_, &far_}] = 0;
  run(1s);
  ASSERT_EQ(city_.first_list(far_.id), over_relay());
  rules_.drains = {{.node = "relay", .mode = DrainMode::Soft}};
  rule();
  run(2s);
  EXPECT_EQ(city_.first_list(far_.id), over_relay());
  rules_.drains[0].mode = DrainMode::Hard;
  rule();
  run(2s);
  EXPECT_EQ(lists(), nullptr);
  rules_.drains.clear();
  rule();
  run(2s);
  EXPECT_EQ(city_.first_list(far_.id), over_relay());
}

TEST_F(Steered, WhoHangsIsSeenWithSinceWhen) {
  run(2s);
  EXPECT_EQ(d_->level->status(now_).behind, 0u);
  rules_.drains = {{.node = "relay", .mode = DrainMode::Soft}};
  rule();
  now_.mono += 3s;  // and nobody hears of it
  const auto status = d_->level->status(now_);
  EXPECT_EQ(status.behind, 2u) << "city and far";
  EXPECT_DOUBLE_EQ(status.behind_seconds, 3);
  run(1s);
  EXPECT_EQ(d_->level->status(now_).behind, 0u);
}

TEST_F(Steered, AMaintenanceWindowBeginsAndEndsByItself) {
  rules_.drains = {
      {.node = "relay", .mode = DrainMode::Soft, .from = now_.unix_s + 10, .until = now_.unix_s + 20}};
  rule();
  run(1s);
  EXPECT_EQ(city_.first_list(far_.id), over_relay()) << "not yet";
  now_.unix_s += 10;
  run(1s);
  EXPECT_EQ(city_.first_list(far_.id), direct());
  now_.unix_s += 10;
  run(2s);
  EXPECT_EQ(city_.first_list(far_.id), over_relay());
}

TEST_F(Steered, APrescribedWayIsTakenWhileItWorks) {
  rules_.routes = {{.from = "city", .to = "far", .via = {}, .pinned = true, .avoid = {}}};
  rule();
  run(1s);
  EXPECT_EQ(city_.first_list(far_.id), direct()) << "although the relay's is shorter";
  EXPECT_EQ(lists()->paths_size(), 2) << "which is the backup";
  rtt_[{&city_, &far_}] = 0;
  run(1s);
  EXPECT_EQ(city_.first_list(far_.id), over_relay());
  rtt_[{&city_, &far_}] = 100'000;
  run(2s);
  EXPECT_EQ(city_.first_list(far_.id), direct());
}

TEST_F(Steered, WhatIsAvoidedCarriesNothingUntilThereIsNothingElse) {
  rules_.routes = {{.from = "city", .to = "far", .via = {}, .pinned = false, .avoid = {"relay"}}};
  rule();
  run(1s);
  EXPECT_EQ(city_.first_list(far_.id), direct());
  EXPECT_EQ(far_.first_list(city_.id).size(), 2u) << "the way back is another pair's";
  const auto version = city_.held.version();
  run(10s);
  EXPECT_EQ(city_.held.version(), version) << "and it stays so without a change";
  rtt_[{&city_, &far_}] = 0;
  run(1s);
  EXPECT_EQ(city_.first_list(far_.id), over_relay());
}

TEST_F(Steered, ADearPlaneIsLeftForACheaperOne) {
  // A second line between the two, slower by 30 ms.
  const auto both = [&](base::Duration time) {
    for (base::Duration t{}; t < time; t += 100ms) {
      d_->measure(city_, far_.id, 70'000, true, 2);
      run(100ms);
    }
  };
  both(2s);
  EXPECT_EQ(city_.first_list(far_.id), over_relay());
  rules_.tolls_us = {{1, 50'000}};
  rule();
  both(2s);
  EXPECT_EQ(city_.first_list(far_.id), direct());
  EXPECT_EQ(lists()->paths(0).first_plane(), 2u);
}

TEST_F(Steered, AFreezeHoldsWhatServesAndLeavesWhatDoesNot) {
  rules_.freezes = {{.from = 0, .until = now_.unix_s + 3600, .why = "holidays"}};
  rule();
  rtt_[{&city_, &far_}] = 10'000;  // better than over the relay by far
  run(20s);
  EXPECT_EQ(city_.first_list(far_.id), over_relay());
  rtt_[{&relay_, &far_}] = 0;
  run(3s);
  EXPECT_EQ(city_.first_list(far_.id), direct()) << "what died is left, frozen or not";
  rtt_[{&relay_, &far_}] = 1'000;
  rtt_[{&city_, &far_}] = 100'000;
  run(20s);
  EXPECT_EQ(city_.first_list(far_.id), direct());
  now_.unix_s += 3600;
  run(3s);
  EXPECT_EQ(city_.first_list(far_.id), over_relay()) << "and all goes on when it ends";
}

TEST_F(Steered, SoManyPairsMoveInAMinuteAsTheyMay) {
  rules_.moves_permille_a_minute = 1;  // of six pairs: one
  rule();
  rtt_[{&city_, &far_}] = 10'000;
  run(20s);
  const auto directly = [&] {
    return (city_.first_list(far_.id) == direct()) +
           (far_.first_list(city_.id) == std::vector{city_.id << 8});
  };
  EXPECT_EQ(directly(), 1);
  EXPECT_EQ(city_.policy(far_.id)->paths_size(), 2) << "who waits has the better way as a backup";
  run(60s);
  EXPECT_EQ(directly(), 2);
}

TEST_F(Steered, WhatIfForetellsWhatThenHappens) {
  rules_.slas = {{.tenant = "lab", .tier = ids::Tier::Interactive, .most_rtt_us = 60'000}};
  rule();
  session::TenantView lab{.name = "lab",
                          .vni = 100,
                          .members = {{"city", {"100.96.1.1/32"}, {}}, {"far", {"100.96.2.1/32"}, {}}}};
  ASSERT_TRUE(d_->level->put_tenant(lab, now_).empty());
  run(1s);
  EXPECT_TRUE(ask({}).moved.empty()) << "nothing changes by asking what would change by nothing";

  WhatIf question;
  question.fail_nodes = {"relay"};
  const auto answer = ask(question);
  ASSERT_EQ(answer.moved.size(), 2u) << "city to far and back; the relay's own pairs are gone with it";
  EXPECT_EQ(answer.moved[0].before->names, (std::vector<std::string>{"relay", "far"}));
  EXPECT_EQ(answer.moved[0].after->names, std::vector<std::string>{"far"});
  EXPECT_EQ(answer.moved[0].after->rtt_us, 100'000u);
  ASSERT_EQ(answer.broken.size(), 2u);
  EXPECT_EQ(answer.broken[0].term, "latency");
  EXPECT_EQ(answer.broken[0].before, 40'000u);
  EXPECT_EQ(answer.broken[0].after, 100'000u);
  EXPECT_EQ(city_.first_list(far_.id), over_relay()) << "asking moved nothing";

  rtt_[{&city_, &relay_}] = rtt_[{&relay_, &far_}] = 0;
  run(1s);
  EXPECT_EQ(city_.first_list(far_.id), direct()) << "and so it goes";
  EXPECT_EQ(ask({}).already_broken.size(), 2u);
}

TEST_F(Steered, WhatIfKnowsCutOffPairsNewLinksAndPrices) {
  WhatIf question;
  question.fail_planes = {1};
  auto answer = ask(question);
  ASSERT_EQ(answer.moved.size(), 6u);
  EXPECT_FALSE(answer.moved[0].after.has_value()) << "cut off";
  question = {};
  question.add_links = {{"city", "far", 2, 8'000, 0}};
  answer = ask(question);
  ASSERT_EQ(answer.moved.size(), 2u);
  EXPECT_EQ(answer.moved[0].after->planes, std::vector<std::uint32_t>{2});
  question.tolls_us = {{2, 200'000}};
  EXPECT_TRUE(ask(question).moved.empty()) << "too dear";
  question = {};
  question.fail_links = {{"city", "relay", 0}};
  question.fail_nodes = {"nobody"};
  EXPECT_EQ(ask(question).problems, std::vector<std::string>{"fail_nodes: no node 'nobody'"});
}

TEST_F(Steered, WhatIfMovesADemandAndSaysWhatIsLeftOfIt) {
  WhatIf question;
  question.demands = {
      {.from = "city", .to = "far", .moved_to = "relay", .tier = ids::Tier::Bulk, .mbps = 80},
      {.from = "city", .to = "relay", .moved_to = {}, .tier = ids::Tier::Interactive, .mbps = 50}};
  question.capacities = {{"city", "relay", 1, 100}, {"city", "far", 1, 30}, {"relay", "far", 1, 60}};
  const auto answer = ask(question);
  ASSERT_EQ(answer.demands.size(), 2u);
  EXPECT_DOUBLE_EQ(answer.demands[0].before, 80) << "50 over the relay and 30 directly";
  EXPECT_DOUBLE_EQ(answer.demands[0].after, 50) << "what the higher tier leaves of the only line there";
  EXPECT_DOUBLE_EQ(answer.demands[1].before, 50) << "the higher tier first";
  EXPECT_EQ(answer.demands[0].way_after->names, std::vector<std::string>{"relay"});
}

}  // namespace
}  // namespace qanat
