// Links whose two directions differ: what one direction loses is no reason to leave the other.
#include "tests/unit/controller/one_domain.hh"

namespace qanat {
namespace {

// city ─ far directly 30 ms, over the relay 40 ms; the direct way's losses are set.
class Asymmetry : public OneDomain {
 protected:
  std::uint32_t lost_there_ = 0, lost_back_ = 0;  // of a hundred

  void SetUp() override {
    rtt_.erase({&city_, &far_});
    OneDomain::SetUp();
  }
  void go_on(base::Duration time, bool far_speaks) {
    for (base::Duration t{}; t < time; t += 500ms) {
      d_->measure_both(city_, far_.id, 30'000, lost_there_, lost_back_);
      if (far_speaks) d_->measure_both(far_, city_.id, 30'000, lost_back_, lost_there_);
      run(500ms);
    }
  }
  std::vector<std::uint32_t> there() const { return city_.first_list(far_.id); }
  std::vector<std::uint32_t> back() const { return far_.first_list(city_.id); }
  std::vector<std::uint32_t> directly(const Box& to) const { return {to.id << 8}; }
  std::vector<std::uint32_t> over_relay_to(const Box& to) const { return {relay_.id << 8 | 1, to.id << 8}; }
};

TEST_F(Asymmetry, ADirectionThatLosesIsLeftAndTheOtherKept) {
  for (const bool far_speaks : {true, false}) {
    lost_there_ = lost_back_ = 0;
    go_on(40s, far_speaks);
    ASSERT_EQ(there(), directly(far_));
    ASSERT_EQ(back(), directly(city_));
    lost_there_ = 20;
    go_on(40s, far_speaks);
    EXPECT_EQ(there(), over_relay_to(far_)) << far_speaks;
    EXPECT_EQ(back(), directly(city_)) << far_speaks;
    lost_there_ = 0, lost_back_ = 20;
    go_on(40s, far_speaks);
    EXPECT_EQ(there(), directly(far_)) << far_speaks;
    EXPECT_EQ(back(), over_relay_to(city_)) << far_speaks;
  }
}

TEST_F(Asymmetry, TheMatrixSaysWhichDirectionItIs) {
  lost_there_ = 20;
  go_on(40s, true);
  std::map<std::string, std::uint32_t> loss;
  for (const auto& link : d_->level->matrix(now_)) loss[link.from + ">" + link.to] = link.loss_ppm;
  EXPECT_NEAR(loss.at("city>far"), 200'000, 2'000);
  EXPECT_LT(loss.at("far>city"), 2'000u);
}

TEST_F(Asymmetry, WhatItWasIsKept) {
  go_on(20s, true);
  const auto loss = [](const std::vector<session::LinkView>& links) {
    for (const auto& link : links)
      if (link.from == "city" && link.to == "far") return link.loss_ppm;
    return ~0u;
  };
  lost_there_ = 20;
  go_on(30s, true);
  EXPECT_GT(loss(d_->level->matrix_at(now_, now_.unix_s).links.value()), 150'000u);
  EXPECT_EQ(loss(d_->level->matrix_at(now_, now_.unix_s - 31).links.value()), 0u);
  const auto before = d_->level->matrix_at(now_, now_.unix_s - 3600);
  EXPECT_FALSE(before.links.has_value());
  EXPECT_EQ(before.kept_since, now_.unix_s - 53);
  EXPECT_TRUE(d_->level->matrix_at(now_, before.kept_since).links.has_value());
}

TEST_F(Asymmetry, DeathIsBothDirections) {
  go_on(10s, true);
  d_->measure(far_, city_.id, 0, false);
  run(2s);
  EXPECT_EQ(there(), over_relay_to(far_));
  EXPECT_EQ(back(), over_relay_to(city_));
}

}  // namespace
}  // namespace qanat
