// What pairs will ask for by the time of day, from the days before.
#include <gtest/gtest.h>

#include "tests/unit/controller/traffic_world.hh"

namespace qanat::domain {
namespace {

TEST(DemandForecast, KnowsTheTideADayLater) {
  Days d;
  d.pass(0, 96);
  EXPECT_EQ(d.forecast.expected(d.key, Days::at(96)), 0) << "the day's last quarter is not over";
  d.pass(96, 136);
  EXPECT_NEAR(d.forecast.expected(d.key, Days::at(135) + 600), 20 * kMbit, 3 * kMbit);
  EXPECT_NEAR(d.forecast.expected(d.key, Days::at(136) - DemandForecast::kAhead), 80 * kMbit, 8 * kMbit);
  EXPECT_EQ(d.forecast.expected(Days::at(135)).size(), 1u);
  EXPECT_EQ(d.forecast.expected({NodeId{1}, NodeId{2}, Tier::Bulk}, Days::at(135)), 0);
}

TEST(DemandForecast, IsBoundedAndBelievesNoClockThatJumps) {
  Days d;
  d.pass(0, 100);
  d.forecast.observe({}, kStart, Days::at(102));
  EXPECT_EQ(d.forecast.size(), 0u) << "two quarters of an hour that nobody saw";
  d.pass(103, 104);
  d.forecast.observe({}, kStart, Days::at(90));
  EXPECT_EQ(d.forecast.size(), 0u);
  d.pass(91, 92);
  for (std::size_t slot = 92; slot < 92 + DemandForecast::kIdle + 1; ++slot)
    d.forecast.observe({}, kStart, Days::at(slot));
  EXPECT_EQ(d.forecast.size(), 0u) << "two days without demand";
  DemandBook many;
  for (std::uint32_t peer = 2; peer < 6000; ++peer)
    many.on_report({NodeId{1}, NodeId{peer}, Tier::Bulk}, {1'000'000, 1000, false}, kStart);
  d.forecast.observe(many, kStart, Days::at(400));
  EXPECT_EQ(d.forecast.size(), DemandForecast::kMost);
  d.forecast.forget(NodeId{1});
  EXPECT_EQ(d.forecast.size(), 0u);
}

}  // namespace
}  // namespace qanat::domain
