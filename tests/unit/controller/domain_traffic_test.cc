// Traffic in a whole domain, in which two pairs share a relay's line that is too narrow for both.
#include <gtest/gtest.h>

#include <functional>

#include "tests/unit/controller/traffic_world.hh"

namespace qanat::domain {
namespace {

// A second city; both hold the list over the relay first.
class TrafficInADomain : public OneDomain {
 protected:
  Box town_{"town"};
  TrafficInADomain() {
    boxes_.push_back(&town_);
    rtt_[{&town_, &far_}] = 100'000;
    rtt_[{&town_, &relay_}] = 20'000;
  }
  void report(const Box& from, std::uint32_t kbps, Tier tier = Tier::Bulk) {
    Envelope e;
    auto& demand = *e.mutable_telemetry()->add_demands();
    demand.set_peer(far_.id);
    demand.set_tier(static_cast<std::uint32_t>(tier));
    demand.set_kbps(kbps);
    demand.set_packet_bytes(1400);
    d_->level->on_envelope(from.id, e, now_);
  }
  void line(const Box& of, std::uint32_t kbps, std::uint32_t plane = 1) {
    Envelope e;
    auto& line = *e.mutable_telemetry()->add_lines();
    line.set_plane(plane);
    line.set_rate_kbps(kbps);
    d_->level->on_envelope(of.id, e, now_);
  }
  void carry(std::uint32_t kbps, base::Duration time) {
    for (base::Duration t{}; t < time; t += 5s) {
      for (const Box* box : {&city_, &town_}) report(*box, kbps);
      run(5s);
    }
  }
  const proto::v1::SrPolicy* bulk(const Box& box) const {
    for (const auto& p : box.held.policies())
      if (p.endpoint() == far_.id && p.tier() == 2) return &p;
    return nullptr;
  }
  static std::vector<std::uint32_t> weights(const proto::v1::SrPolicy& policy) {
    std::vector<std::uint32_t> out;
    for (const auto& path : policy.paths()) out.push_back(path.weight());
    return out;
  }
  std::uint64_t version() const { return city_.held.version(); }
};

TEST_F(TrafficInADomain, SpreadsTwoPairsOverWhatIsLeft) {
  run(20s);
  ASSERT_EQ(bulk(city_)->paths_size(), 2);
  ASSERT_EQ(city_.first_list(far_.id), over_relay());
  const std::uint64_t quiet = version();
  line(relay_, 100'000);
  carry(30'000, 20s);
  EXPECT_EQ(version(), quiet) << "there is room: nothing is sent";
  EXPECT_EQ(d_->level->traffic().demands, 2u);
  carry(80'000, 40s);
  for (const Box* box : {&city_, &town_}) {
    const auto w = weights(*bulk(*box));
    EXPECT_NEAR(w[0], 450, 80);
    EXPECT_EQ(w[0] + w[1], Spread::kWhole);
    EXPECT_EQ(weights(*box->policy(far_.id)), (std::vector<std::uint32_t>{1, 1}))
        << "interactive did not ask";
  }
  double relayed = 0;
  for (const auto& path : d_->level->paths({"", "far", Tier::Bulk}))
    if (path.names.size() == 2) relayed += path.allocated_bps;
  EXPECT_LE(relayed, 100 * kMbit);
  EXPECT_GE(relayed, 80 * kMbit);
  const auto traffic = d_->level->traffic();
  EXPECT_EQ(traffic.spread, 2u);
  EXPECT_NEAR(traffic.carried_bps / traffic.demand_bps, 1, 0.02);

  const std::uint64_t spread = version();
  carry(80'000, 30s);
  EXPECT_LE(version(), spread + 1) << "what does not change is not sent again";
  carry(0, 120s);
  EXPECT_EQ(weights(*bulk(city_)), (std::vector<std::uint32_t>{1, 1})) << "by preference again";
  EXPECT_EQ(d_->level->traffic().demands, 0u);
}

TEST_F(TrafficInADomain, OffPeakAnotherPlaneIsTheCheaperOne) {
  // A way over plane 2, longer than the relay's, whose price is higher in the daytime only.
  const auto on = [this](std::uint32_t plane) {
    std::uint32_t sum = 0;
    for (const auto& path : bulk(city_)->paths())
      if (path.first_plane() == plane) sum += path.weight();
    return sum;
  };
  const auto pass = [&](base::Duration time) {
    for (base::Duration t{}; t < time; t += 5s) {
      for (int i = 0; i < 5; ++i) {
        d_->measure(city_, far_.id, 60'000, true, 2);
        run(1s);
      }
      report(city_, 30'000);
    }
  };
  now_.unix_s = 1'800'000'000 / 86'400 * 86'400 + 12 * 3600;
  policy::Rules rules;
  rules.prices[1] = {.price = 1};
  rules.prices[2] = {
      .price = 3, .off_peak_price = 0.5, .off_peak_from_s = 22 * 3600, .off_peak_until_s = 6 * 3600};
  d_->level->set_rules(rules, now_);
  pass(40s);
  ASSERT_EQ(bulk(city_)->paths_size(), 3);
  EXPECT_EQ(on(2), 0u) << "the way without a relay on plane 1 is the cheapest";
  EXPECT_EQ(on(1), Spread::kWhole);
  EXPECT_NEAR(d_->level->traffic().cost_per_hour, 30, 1) << "a hop of 1, not the relay's two";
  now_.unix_s += 11 * 3600;
  pass(30s);
  EXPECT_EQ(on(2), Spread::kWhole);
  EXPECT_NEAR(d_->level->traffic().plane_bps.at(2), 30 * kMbit, kMbit);
  EXPECT_NEAR(d_->level->traffic().cost_per_hour, 15, 1);
}

TEST_F(TrafficInADomain, WhatIsReservedOfAPlaneIsUsedUpAndFollowsDemandFromSlotToSlot) {
  const auto on = [this](std::uint32_t plane) {
    std::uint32_t sum = 0;
    for (const auto& path : bulk(city_)->paths())
      if (path.first_plane() == plane) sum += path.weight();
    return sum;
  };
  const auto pass = [&](base::UnixSeconds seconds, std::uint32_t kbps) {
    for (base::UnixSeconds t = 0; t < seconds; t += 5) {
      for (int i = 0; i < 5; ++i) {
        d_->measure(city_, far_.id, 60'000, true, 2);
        run(1s);
        ++now_.unix_s;
      }
      if (kbps != 0) report(city_, kbps);
    }
  };
  constexpr base::UnixSeconds kSlot = 300;
  now_.unix_s = 1'800'000'000 / 86'400 * 86'400;
  std::vector<session::Event> reserved;
  d_->level->on_event([&](const session::Event& event) {
    if (event.kind == "plane_reserved") reserved.push_back(event);
  });
  pass(40, 30'000);
  policy::Rules rules;
  rules.prices[2] = {.price = 3};
  rules.reserved[1] = {.per_hour = 1, .most_bps = 100 * kMbit, .slot_s = kSlot};
  d_->level->set_rules(rules, now_);
  pass(10, 30'000);
  ASSERT_EQ(reserved.size(), 1u);
  EXPECT_EQ(reserved[0].fields.front().second, "1");
  auto traffic = d_->level->traffic();
  EXPECT_NEAR(traffic.reserves.at(1).reserved_bps, 30 * kMbit, kMbit) << "what was asked for at that moment";
  EXPECT_EQ(traffic.reserves.at(1).until % kSlot, 0u);
  EXPECT_LE(on(2), 1u) << "not split";

  pass(120, 60'000);
  traffic = d_->level->traffic();
  EXPECT_NEAR(on(2), 500, 100) << "what exceeds it goes over the other plane";
  EXPECT_NEAR(traffic.reserves.at(1).used_bps, 30 * kMbit, 3 * kMbit) << "and what is paid for is used";
  EXPECT_NEAR(traffic.cost_per_hour, 30 + 3 * 30, 15);

  while (now_.unix_s % 86'400 < kSlot - 30) pass(5, 60'000);
  traffic = d_->level->traffic();
  ASSERT_TRUE(traffic.reserves.at(1).next_bps);
  EXPECT_GT(*traffic.reserves.at(1).next_bps, 45 * kMbit) << "the next slot is known before it begins";
  while (now_.unix_s % 86'400 < 2 * kSlot + 30) pass(5, 60'000);
  traffic = d_->level->traffic();
  EXPECT_GE(traffic.reserves.at(1).reserved_bps, 60 * kMbit);
  EXPECT_LE(on(2), 1u) << "there is room again";
  EXPECT_EQ(reserved.size(), 3u);

  // A restart keeps what is paid for, and it costs whether used or not.
  d_->level = std::make_unique<Domain>(DomainConfig{.name = "d1", .domain = 1, .probe_plan = {}}, d_->store,
                                       d_->authority, d_->members, now_);
  d_->members.level = d_->level.get();
  d_->level->set_rules(rules, now_);
  EXPECT_EQ(d_->level->traffic().reserves.at(1).reserved_bps, traffic.reserves.at(1).reserved_bps);
  for (Box* box : boxes_) d_->connect(*box);
  pass(30, 0);
  EXPECT_EQ(d_->level->traffic().demands, 0u);
  EXPECT_NEAR(d_->level->traffic().cost_per_hour, traffic.reserves.at(1).reserved_bps / kMbit, 0.1);
  d_->level->set_rules({}, now_);
  EXPECT_TRUE(d_->level->traffic().reserves.empty());
  EXPECT_EQ(d_->level->traffic().cost_per_hour, 0);
}

TEST_F(TrafficInADomain, ATierThatIsLimitedIsSplitOverItsOwnListsAlone) {
  const auto pass = [&](base::Duration time) {
    for (base::Duration t{}; t < time; t += 5s) {
      for (int i = 0; i < 5; ++i) {
        d_->measure(city_, far_.id, 110'000, true, 2);
        d_->measure(city_, relay_.id, 25'000, true, 2);
        d_->measure(relay_, far_.id, 25'000, true, 2);
        run(1s);
      }
      report(city_, 150'000);
    }
  };
  ASSERT_TRUE(
      d_->level->put_tenant({.name = "lab", .vni = 100, .members = {{"city", {}, {}}, {"far", {}, {}}}}, now_)
          .empty());
  policy::Rules rules;
  rules.limits = {{.tenant = "lab", .tier = Tier::Bulk, .planes = {2}}};
  d_->level->set_rules(rules, now_);
  line(relay_, 100'000, 2);
  pass(60s);
  const auto split = weights(*bulk(city_));
  ASSERT_EQ(split.size(), 2u);
  for (const auto& path : bulk(city_)->paths()) EXPECT_EQ(path.first_plane(), 2u);
  EXPECT_NEAR(split[0], 500, 160) << "over the relay, whose line takes 100 of 150";
  EXPECT_EQ(split[0] + split[1], Spread::kWhole);
  EXPECT_NEAR(d_->level->traffic().carried_bps, 150 * kMbit, 5 * kMbit);
  EXPECT_EQ(d_->level->paths({"city", "far", Tier::Bulk}).at(1).reason, "split");
  const auto version = city_.held.version();
  d_->level = std::make_unique<Domain>(DomainConfig{.name = "d1", .domain = 1, .probe_plan = {}}, d_->store,
                                       d_->authority, d_->members, now_);
  d_->members.level = d_->level.get();
  d_->level->set_rules(rules, now_);
  for (Box* box : boxes_) d_->connect(*box);
  pass(10s);
  EXPECT_EQ(city_.held.version(), version) << "a restart keeps the split";
  rules.limits.front().planes = {1};
  d_->level->set_rules(rules, now_);
  for (int tick = 0; tick < 50; ++tick) {
    run(100ms);
    if (tick < 3) continue;
    for (const auto& path : bulk(city_)->paths()) ASSERT_EQ(path.first_plane(), 1u);
  }
  EXPECT_EQ(weights(*bulk(city_)), (std::vector<std::uint32_t>{1, 1})) << "that split was of other lists";
}

TEST_F(TrafficInADomain, WhatGoesByAWayOfItsOwnLeavesTheSharedOnesToTheOthers) {
  ASSERT_TRUE(
      d_->level->put_tenant({.name = "lab", .vni = 100, .members = {{"city", {}, {}}, {"far", {}, {}}}}, now_)
          .empty());
  policy::Rules rules;
  rules.slas = {{.tenant = "lab", .tier = Tier::Interactive, .most_jitter_us = 5'000}};
  d_->level->set_rules(rules, now_);
  line(relay_, 100'000);
  const auto pass = [&](base::Duration time) {
    for (base::Duration t{}; t < time; t += 5s) {
      report(city_, 70'000);
      report(city_, 60'000, Tier::Interactive);
      run(5s);
    }
  };
  pass(40s);
  ASSERT_EQ(city_.first_list(far_.id), over_relay());
  EXPECT_GT(weights(*bulk(city_))[1], 1u) << "130 of 100: bulk makes room";
  jitter_[{&city_, &relay_}] = 8'000;
  pass(60s);
  ASSERT_EQ(city_.first_list(far_.id), std::vector<std::uint32_t>{far_.id << 8}) << "a way of its own";
  EXPECT_EQ(weights(*bulk(city_)), (std::vector<std::uint32_t>{1, 1})) << "which leaves 70 of 100";
  EXPECT_EQ(weights(*city_.policy(far_.id)), (std::vector<std::uint32_t>{1, 1}));
}

TEST_F(TrafficInADomain, AWayOfItsOwnEndsASplitAtOnce) {
  ASSERT_TRUE(
      d_->level->put_tenant({.name = "lab", .vni = 100, .members = {{"city", {}, {}}, {"far", {}, {}}}}, now_)
          .empty());
  policy::Rules rules;
  rules.slas = {{.tenant = "lab", .tier = Tier::Interactive, .most_jitter_us = 5'000}};
  d_->level->set_rules(rules, now_);
  line(relay_, 100'000);
  for (int i = 0; i < 10; ++i) {
    report(city_, 150'000, Tier::Interactive);
    run(5s);
  }
  ASSERT_GT(weights(*city_.policy(far_.id))[1], 1u);
  jitter_[{&city_, &relay_}] = 8'000;
  int own = 0;
  for (int tick = 0; tick < 100; ++tick) {
    run(100ms);
    if (city_.first_list(far_.id) == over_relay()) continue;
    ASSERT_EQ(weights(*city_.policy(far_.id)), (std::vector<std::uint32_t>{1, 1})) << "tick " << tick;
    ++own;
  }
  EXPECT_GT(own, 30);
}

TEST_F(TrafficInADomain, TellsWhatATenantWithRatesGets) {
  ASSERT_TRUE(
      d_->level->put_tenant({.name = "lab", .vni = 100, .members = {{"city", {}, {}}, {"far", {}, {}}}}, now_)
          .empty());
  policy::Rules rules;
  rules.rates = {{.tenant = "lab", .committed_bps = 50 * kMbit, .burst_bps = 60 * kMbit}};
  d_->level->set_rules(rules, now_);
  ASSERT_EQ(d_->level->traffic().tenants.size(), 1u) << "without demand too";
  EXPECT_EQ(d_->level->traffic().tenants[0].committed_bps, 50 * kMbit);
  run(20s);
  line(relay_, 100'000);
  carry(80'000, 40s);
  const auto traffic = d_->level->traffic();
  ASSERT_EQ(traffic.tenants.size(), 1u);
  EXPECT_EQ(traffic.tenants[0].tenant, "lab");
  EXPECT_NEAR(traffic.tenants[0].asked_bps, 80 * kMbit, kMbit);
  EXPECT_LE(traffic.tenants[0].carried_bps, 61 * kMbit) << "nothing is planned for beyond its burst rate";
  EXPECT_GE(traffic.tenants[0].carried_bps, 54 * kMbit);
}

TEST_F(TrafficInADomain, AFreezeKeepsSplitsAndARestartTrustsThem) {
  run(20s);
  line(relay_, 100'000);
  policy::Rules rules;
  rules.freezes.push_back({0, now_.unix_s + 3600, "a fair"});
  d_->level->set_rules(rules, now_);
  carry(80'000, 30s);
  EXPECT_EQ(weights(*bulk(city_)), (std::vector<std::uint32_t>{1, 1}));
  d_->level->set_rules({}, now_);
  carry(80'000, 30s);
  const auto split = weights(*bulk(city_));
  EXPECT_NE(split, (std::vector<std::uint32_t>{1, 1}));

  const std::uint64_t before = version();
  d_->level = std::make_unique<Domain>(DomainConfig{.name = "d1", .domain = 1, .probe_plan = {}}, d_->store,
                                       d_->authority, d_->members, now_);
  d_->members.level = d_->level.get();
  for (Box* box : boxes_) d_->connect(*box);
  run(14s);
  EXPECT_EQ(weights(*bulk(city_)), split);
  EXPECT_EQ(version(), before) << "one that has just started changes nothing";
  run(30s);
  EXPECT_EQ(weights(*bulk(city_)), (std::vector<std::uint32_t>{1, 1})) << "nobody spoke of traffic since";
}

TEST_F(TrafficInADomain, PlansElsewhereAndWaitsForNobody) {
  run(20s);
  std::vector<std::function<void()>> waiting;
  DomainConfig config{.name = "d1", .domain = 1, .probe_plan = {}};
  config.planning.elsewhere = [&](std::function<void()> work) { waiting.push_back(std::move(work)); };
  d_->level = std::make_unique<Domain>(config, d_->store, d_->authority, d_->members, now_);
  d_->members.level = d_->level.get();
  for (Box* box : boxes_) d_->connect(*box);
  line(relay_, 100'000);
  carry(80'000, 40s);
  EXPECT_EQ(waiting.size(), 1u) << "one at a time";
  EXPECT_EQ(weights(*bulk(city_)), (std::vector<std::uint32_t>{1, 1}));
  EXPECT_EQ(city_.first_list(far_.id), over_relay()) << "all else goes on";
  EXPECT_EQ(d_->level->traffic().late_plans, 1u) << "counted once";
  waiting.front()();
  run(PlanRun::kEvery);
  EXPECT_NE(weights(*bulk(city_)), (std::vector<std::uint32_t>{1, 1}));
  carry(80'000, 10s);
  EXPECT_EQ(waiting.size(), 2u) << "and then the next";
  d_->level.reset();
  waiting.back()();  // who asked for it is gone
}

TEST_F(TrafficInADomain, MakesRoomBeforeTheTideOfYesterdayComesAgain) {
  run(20s);
  line(relay_, 100'000);
  constexpr std::size_t kTide = 40;  // of the day's quarters
  const auto quarter = [&](std::size_t slot, std::uint32_t kbps) {
    now_.unix_s = Days::at(slot);
    for (const Box* box : {&city_, &town_}) report(*box, kbps);
    run(8s);
  };
  for (std::size_t slot = kTide - 1; slot < kTide - 1 + 96; ++slot)
    quarter(slot, slot == kTide ? 80'000 : 30'000);
  run(10s);
  EXPECT_EQ(weights(*bulk(city_)), (std::vector<std::uint32_t>{1, 1})) << "30 Mbit/s each fit";
  quarter(kTide - 1 + 96, 30'000);
  EXPECT_EQ(weights(*bulk(city_)), (std::vector<std::uint32_t>{1, 1})) << "and do for another quarter";
  EXPECT_EQ(d_->level->traffic().rise_bps, 0);
  now_.unix_s = Days::at(kTide + 96) - DemandForecast::kAhead;
  for (const Box* box : {&city_, &town_}) report(*box, 30'000);
  run(10s);
  EXPECT_NE(weights(*bulk(city_)), (std::vector<std::uint32_t>{1, 1}));
  EXPECT_GT(d_->level->traffic().rise_bps, 40 * kMbit);
  EXPECT_EQ(d_->level->traffic().forecasts, 2u);
}

TEST_F(TrafficInADomain, NonsenseIsPassedOver) {
  run(20s);
  Envelope e;
  for (const std::uint32_t peer : {0u, 99u, 0xffffffffu}) {
    auto& demand = *e.mutable_telemetry()->add_demands();
    demand.set_peer(peer);
    demand.set_tier(2);
    demand.set_kbps(1000);
  }
  auto& demand = *e.mutable_telemetry()->add_demands();
  demand.set_peer(far_.id);
  demand.set_tier(9);
  demand.set_kbps(1000);
  auto& path = *e.mutable_telemetry()->add_paths();
  path.set_path_id(4711);
  path.set_endpoint(far_.id);
  path.set_tier(2);
  path.set_capacity_kbps(1);
  auto& line = *e.mutable_telemetry()->add_lines();
  line.set_plane(4000);
  d_->level->on_envelope(city_.id, e, now_);
  run(10s);
  EXPECT_EQ(d_->level->traffic().demands, 0u);
}

}  // namespace
}  // namespace qanat::domain
