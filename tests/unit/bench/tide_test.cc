// The tide on paper: reservations that follow prices, overflow, and work that waits for the ebb.
#include "bench/tide/tide.hh"

#include <gtest/gtest.h>

#include <cmath>

namespace qanat::bench {
namespace {

double wave(std::size_t slot) { return 100 + 80 * std::sin(static_cast<double>(slot % 24) * 6.2831853 / 24); }

TEST(Tide, ReservesMoreTheDearerTheInternetIs) {
  const std::vector<Tenant> tenants{{300, 300}};
  Tide dear(tenants, {.private_slot = 1, .internet_slot = 5}, 24),
      cheap(tenants, {.private_slot = 1, .internet_slot = 1.5}, 24),
      none(tenants, {.private_slot = 1, .internet_slot = 0.5}, 24);
  for (std::size_t s = 0; s < 96; ++s) {
    const std::vector<double> demand{wave(s) * (s % 2 == 0 ? 0.8 : 1.2)};
    for (Tide* tide : {&dear, &cheap, &none}) tide->pass(demand);
  }
  EXPECT_GT(dear.reserve(), cheap.reserve());
  EXPECT_EQ(none.reserve(), 0) << "paying by use is cheaper";
}

TEST(Tide, WhatExceedsTheReservationOverflows) {
  const std::vector<Tenant> tenants{{100, 150}, {100, 150}};
  Tide tide(tenants, {.private_slot = 1, .internet_slot = 2, .private_most = 120, .internet_most = 100}, 24);
  const auto slot = tide.pass_reserved(120, std::vector<double>{100, 90});
  EXPECT_DOUBLE_EQ(slot.over_private, 120);
  EXPECT_DOUBLE_EQ(slot.over_internet, 70);
  EXPECT_DOUBLE_EQ(slot.cost, 120 + 2 * 70);
  EXPECT_DOUBLE_EQ(slot.missed, 0);
}

TEST(Tide, CommittedRatesComeBeforeBursts) {
  const std::vector<Tenant> tenants{{50, 200}, {100, 100}};
  Tide tide(tenants, {.private_slot = 1, .internet_slot = 2, .private_most = 160, .internet_most = 0}, 24);
  const auto slot = tide.pass_reserved(160, std::vector<double>{200, 100});
  EXPECT_DOUBLE_EQ(slot.missed, 0) << "both committed rates, 150";
  EXPECT_DOUBLE_EQ(slot.refused, 140) << "ten of the burst of 150 fit";
  EXPECT_DOUBLE_EQ(tide.pass_reserved(160, std::vector<double>{300, 0}).refused, 140)
      << "40 for want of room, 100 above the burst rate";
}

TEST(Tide, ReservesAlwaysWhatIsCommittedAndTheInternetCannotTake) {
  const std::vector<Tenant> tenants{{100, 100}};
  Tide tide(tenants, {.private_slot = 1, .internet_slot = 2, .private_most = 120, .internet_most = 30}, 24);
  EXPECT_DOUBLE_EQ(tide.reserve(), 100) << "nothing seen yet: what is committed";
  for (std::size_t s = 0; s < 48; ++s) tide.pass(std::vector<double>{10});
  EXPECT_DOUBLE_EQ(tide.reserve(), 70) << "whatever is expected";
}

TEST(Tide, WorkThatCanWaitGoesOutWithTheEbbAndNeverLate) {
  const std::vector<Tenant> tenants{{100, 100}};
  Tide tide(tenants, {.private_slot = 1, .internet_slot = 3}, 24);
  EXPECT_DOUBLE_EQ(
      tide.pass_reserved(100, std::vector<double>{100}, {{.volume = 60, .deadline = 2}}).deferred, 0)
      << "full: it waits";
  const auto ebb = tide.pass_reserved(100, std::vector<double>{60});
  EXPECT_DOUBLE_EQ(ebb.deferred, 40);
  EXPECT_DOUBLE_EQ(ebb.over_internet, 0);
  const auto due = tide.pass_reserved(100, std::vector<double>{100});
  EXPECT_DOUBLE_EQ(due.deferred, 20) << "its last slot: over the Internet";
  EXPECT_DOUBLE_EQ(due.over_internet, 20);
  EXPECT_DOUBLE_EQ(due.missed, 0);
}

TEST(Tide, ReservesForWorkThatWaits) {
  const std::vector<Tenant> tenants{{100, 100}};
  Tide tide(tenants, {.private_slot = 1, .internet_slot = 3}, 24);
  for (std::size_t s = 0; s < 48; ++s) tide.pass(std::vector<double>{50});
  const double before = tide.reserve();
  tide.pass_reserved(50, std::vector<double>{50}, {{.volume = 40, .deadline = 52}});
  EXPECT_NEAR(tide.reserve() - before, 10, 1) << "a quarter of it in each of the four slots left";
}

}  // namespace
}  // namespace qanat::bench
