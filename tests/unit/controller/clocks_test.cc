// A controller whose wall clock jumps, hours or months, ahead and back: what it decides by monotonic time does not notice, what it
// decides by the calendar is right again as soon as the clock is.
#include "tests/unit/controller/one_domain.hh"

namespace qanat {
namespace {

class Clocks : public OneDomain {
 protected:
  static constexpr base::UnixSeconds kHour = 3600;

  // Of every list that a box holds, its relay has the key: by the epoch's number and the token's own bits.
  void lists_are_good() const {
    for (const Box* from : {&city_, &far_})
      for (const auto& policy : from->held.policies())
        for (const auto& path : policy.paths()) {
          if (path.segments_size() < 2) continue;  // needs no relay's leave
          EXPECT_GT(path.expires_unix_s(), now_.unix_s + 5 * policy::kDay);
          EXPECT_LE(path.expires_unix_s(), now_.unix_s + policy::kTokenLife);
          const std::vector<std::uint32_t> segments(path.segments().begin(), path.segments().end());
          EXPECT_EQ(path.token_epoch(), policy::token_epoch_of(policy::week_of(now_.unix_s)));
          const auto& keys = relay_.held.relay_keys();
          EXPECT_TRUE(std::any_of(
              keys.begin(), keys.end(),
              [&](const auto& key) {
                if (key.epoch() != path.token_epoch() || key.not_after_unix_s() < now_.unix_s) return false;
                policy::RelaySecret secret{};
                std::copy(key.key().begin(), key.key().end(), secret.begin());
                return path.tokens(0) ==
                       policy::mint(secret, {ids::NodeId{relay_.id}, ids::NodeId{from->id},
                                             static_cast<ids::Tier>(policy.tier()),
                                             static_cast<std::uint32_t>(path.expires_unix_s()),
                                             static_cast<std::uint8_t>(path.token_epoch()), segments});
              }))
              << "the relay cannot check what " << from->name << " shows it";
        }
  }
};

TEST_F(Clocks, HoursAheadAndBackChangeNoWay) {
  const auto first = city_.first_list(far_.id);
  ASSERT_EQ(first, over_relay());
  for (const std::int64_t hours : {7, -7, 13, -13, -5, 5}) {
    now_.unix_s += static_cast<base::UnixSeconds>(hours) * kHour;
    run(3s);
    EXPECT_EQ(city_.first_list(far_.id), first) << hours;
    lists_are_good();
  }
  EXPECT_TRUE(d_->members.closed.empty()) << "nobody was sent away";
}

TEST_F(Clocks, MonthsAheadAndBackLeaveListsThatRelaysCanCheck) {
  for (const std::int64_t days : {45, -45, -30, 30}) {
    now_.unix_s += static_cast<base::UnixSeconds>(days) * policy::kDay;
    const auto before = city_.held.version();
    run(5s);
    EXPECT_EQ(city_.first_list(far_.id), over_relay()) << days;
    EXPECT_GT(city_.held.version(), before) << "versions know no clock";
    lists_are_good();
    EXPECT_LE(relay_.held.relay_keys_size(), 4);
  }
  EXPECT_TRUE(d_->members.closed.empty());
}

TEST_F(Clocks, AMaintenanceWindowIsKeptAfterTheClockWasAheadOfIt) {
  policy::Rules rules;
  rules.drains = {{.node = "relay",
                   .mode = policy::DrainMode::Soft,
                   .from = now_.unix_s + kHour,
                   .until = now_.unix_s + 2 * kHour}};
  d_->level->set_rules(rules, now_);
  run(1s);
  now_.unix_s += 5 * kHour;
  run(1s);
  EXPECT_EQ(city_.first_list(far_.id), over_relay()) << "over, as far as it knows";
  now_.unix_s -= 5 * kHour;
  run(1s);
  now_.unix_s += kHour + 60;
  run(1s);
  EXPECT_EQ(city_.first_list(far_.id), std::vector<std::uint32_t>{far_.id << 8}) << "it begins all the same";
  now_.unix_s -= kHour;
  run(2s);
  EXPECT_EQ(city_.first_list(far_.id), over_relay()) << "put back to before it, it is not yet";
}

TEST_F(Clocks, JoinTokensEndByTheClockThatIs) {
  const std::string token = d_->token("late");
  Box late{"late"};
  now_.unix_s += 2 * kHour;
  EXPECT_TRUE(d_->level->enrol(late.request(token), now_).has_refusal());
  now_.unix_s -= 2 * kHour;
  EXPECT_TRUE(d_->level->enrol(late.request(token), now_).has_enrolled()) << "not used up by the refusal";
}

}  // namespace
}  // namespace qanat
