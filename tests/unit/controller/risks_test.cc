// Boxes and lines that share a risk, from the rules to the lists that a box holds: city and far, with three relays between
// them, and where a test wants it direct ways on three planes.
#include "controller/session/what_if.hh"
#include "tests/unit/controller/one_domain.hh"

namespace qanat {
namespace {

class Risks : public ::testing::Test {
 protected:
  Now now_{base::Time{} + 1000s, 1'800'000'000};
  const std::string file_ = ::testing::TempDir() + "qanat_risks_" + std::to_string(::getpid()) + ".db";
  Box city_{"city"}, far_{"far"}, near_{"near", true}, beside_{"beside", true}, apart_{"apart", true};
  std::vector<Box*> boxes_{&city_, &far_, &near_, &beside_, &apart_};
  std::unique_ptr<DomainWorld> d_ = std::make_unique<DomainWorld>(1, now_, file_);
  policy::Rules rules_;
  bool direct_ = false;

  void SetUp() override {
    for (Box* box : boxes_) d_->enrol(*box);
    for (Box* box : boxes_) d_->connect(*box);
    rules_.risks = {{.name = "duct", .nodes = {"near", "beside"}}};
    run(3s);
  }
  ~Risks() override {
    d_.reset();
    for (const char* suffix : {"", "-wal", "-shm"}) std::remove((file_ + suffix).c_str());
  }
  void run(base::Duration time, bool measured = true) {
    for (base::Duration t{}; t < time; t += 100ms) {
      now_.mono += 100ms;
      std::uint32_t rtt = 10'000;
      for (const Box* relay : {&near_, &beside_, &apart_}) {
        if (measured) d_->measure(city_, relay->id, rtt);
        if (measured) d_->measure(*relay, far_.id, rtt);
        rtt += 5'000;
      }
      for (const std::uint32_t plane : {1u, 2u, 3u})
        if (measured && direct_) d_->measure(city_, far_.id, 1'000 + 2'000 * plane, true, plane);
      d_->level->on_timer(now_);
      for (Box* box : boxes_) d_->deliver(*box);
    }
  }
  // Over which relay each list that city holds goes to far, in their order.
  std::vector<std::string> relays() const {
    std::vector<std::string> out;
    const auto* policy = city_.policy(far_.id);
    for (const auto& path : policy->paths())
      for (const Box* relay : {&near_, &beside_, &apart_})
        if (path.segments(0) >> 8 == relay->id && path.segments_size() == 2) out.push_back(relay->name);
    return out;
  }
};

TEST_F(Risks, ABackupKeepsOffWhatTheFirstListHangsOn) {
  ASSERT_EQ(relays(), (std::vector<std::string>{"near", "beside", "apart"})) << "by their delays";
  d_->level->set_rules(rules_, now_);
  run(3s);
  EXPECT_EQ(relays(), (std::vector<std::string>{"near", "apart", "beside"}));
  const auto lists = d_->level->paths({"city", "far", ids::Tier::Bulk});
  ASSERT_EQ(lists.size(), 3u);
  EXPECT_TRUE(lists[1].shares.empty());
  EXPECT_EQ(lists[2].shares, std::vector<std::string>{"duct"});
  d_->level->set_rules({}, now_);
  run(3s);
  for (const auto& list : d_->level->paths({"city", "far", ids::Tier::Bulk}))
    EXPECT_TRUE(list.shares.empty());
}

TEST_F(Risks, LinesThatShareOneKeepOffEachOtherLikewise) {
  rules_.risks = {{.name = "duct", .lines = {{"near", 1}, {"beside", 1}}},
                  {.name = "other", .lines = {{"near", 2}, {"apart", 2}, {"gone", 1}}}};
  d_->level->set_rules(rules_, now_);
  run(3s);
  EXPECT_EQ(relays(), (std::vector<std::string>{"near", "apart", "beside"}));
  const auto lists = d_->level->paths({"city", "far", ids::Tier::Bulk});
  ASSERT_EQ(lists.size(), 3u);
  EXPECT_TRUE(lists[1].shares.empty());
  EXPECT_EQ(lists[2].shares, std::vector<std::string>{"duct"});
}

TEST_F(Risks, AnEndsOwnLineIsAvoidedByAnotherPlane) {
  direct_ = true;
  run(3s);
  const auto planes = [&] {
    std::vector<std::uint32_t> out;
    for (const auto& path : city_.policy(far_.id)->paths())
      if (path.segments_size() == 1) out.push_back(path.first_plane());
    return out;
  };
  ASSERT_EQ(planes(), (std::vector<std::uint32_t>{1, 2, 3}));
  rules_.risks = {{.name = "building", .lines = {{"city", 1}, {"city", 2}}}};
  d_->level->set_rules(rules_, now_);
  run(3s);
  EXPECT_EQ(planes(), (std::vector<std::uint32_t>{1, 3, 2}));
  for (const auto& list : d_->level->paths({"city", "far", ids::Tier::Bulk})) {
    const bool shares = list.first_plane == 2 || list.segments.size() > 1;  // relays are reached by plane 1
    EXPECT_EQ(list.shares, shares ? std::vector<std::string>{"building"} : std::vector<std::string>{})
        << list.first_plane;
  }
  rules_.risks[0].lines.push_back({"city", 3});
  d_->level->set_rules(rules_, now_);
  run(3s);
  for (const auto& list : d_->level->paths({"city", "far", ids::Tier::Bulk}))
    EXPECT_TRUE(list.shares.empty()) << "no line of city's is without it";
}

TEST_F(Risks, WhatIfFailsTheLinesThatShareOneAndNoOthers) {
  direct_ = true;
  rules_.risks = {{.name = "building", .nodes = {"near"}, .lines = {{"city", 1}, {"far", 2}, {"gone", 3}}}};
  d_->level->set_rules(rules_, now_);
  run(3s);
  session::WhatIf question;
  question.fail_risks = {"building"};
  const auto answer = d_->level->what_if(question, now_)();
  ASSERT_TRUE(answer.problems.empty());
  const auto moved = [&](const std::string& from, const std::string& to) {
    const auto at = std::find_if(answer.moved.begin(), answer.moved.end(),
                                 [&](const auto& m) { return m.from == from && m.to == to; });
    return at == answer.moved.end() ? nullptr : &*at;
  };
  for (const auto& [from, to] : {std::pair{"city", "far"}, {"far", "city"}}) {
    ASSERT_NE(moved(from, to), nullptr);
    ASSERT_TRUE(moved(from, to)->after.has_value());
    EXPECT_EQ(moved(from, to)->after->planes, std::vector<std::uint32_t>{3});
  }
  ASSERT_NE(moved("city", "beside"), nullptr) << "city's line is gone";
  EXPECT_FALSE(moved("city", "beside")->after.has_value());
  EXPECT_EQ(moved("far", "beside"), nullptr) << "far's line on plane 1 is not";
}

TEST_F(Risks, ARestartKeepsThem) {
  d_->level->set_rules(rules_, now_);
  run(3s);
  const auto version = city_.held.version();
  d_.reset();
  d_ = std::make_unique<DomainWorld>(1, now_, file_);
  d_->level->set_rules(rules_, now_);
  for (Box* box : boxes_) d_->connect(*box);
  run(2s, false);
  run(20s);
  EXPECT_EQ(city_.held.version(), version);
  EXPECT_EQ(relays(), (std::vector<std::string>{"near", "apart", "beside"}));
}

TEST_F(Risks, WhatIfFailsAllThatShareOne) {
  d_->level->set_rules(rules_, now_);
  run(3s);
  session::WhatIf question;
  question.fail_risks = {"duct"};
  const auto answer = d_->level->what_if(question, now_)();
  const auto moved = std::find_if(answer.moved.begin(), answer.moved.end(),
                                  [](const auto& m) { return m.from == "city" && m.to == "far"; });
  ASSERT_NE(moved, answer.moved.end());
  EXPECT_EQ(moved->after->names, (std::vector<std::string>{"apart", "far"}));
  question.fail_risks = {"flood"};
  EXPECT_EQ(d_->level->what_if(question, now_)().problems,
            std::vector<std::string>{"fail_risks: no risk 'flood'"});
}

}  // namespace
}  // namespace qanat
