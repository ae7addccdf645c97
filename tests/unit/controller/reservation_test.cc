// Forecasts that learn a day and follow the last hour; how much of what they expect is worth reserving.
#include "controller/te/reservation.hh"

#include <gtest/gtest.h>

#include <cmath>

namespace qanat::te {
namespace {

double wave(std::size_t slot) { return 100 + 80 * std::sin(static_cast<double>(slot % 24) * 6.2831853 / 24); }

TEST(Forecast, LearnsADayAndFollowsTheLastHour) {
  Forecast forecast(24);
  EXPECT_EQ(forecast.expect(1).mean, 0);
  for (std::size_t s = 0; s < 72; ++s) forecast.observe(wave(s));
  for (std::size_t ahead = 1; ahead <= 24; ++ahead)
    EXPECT_NEAR(forecast.expect(ahead).mean, wave(71 + ahead), 1);
  for (std::size_t s = 72; s < 78; ++s) forecast.observe(1.5 * wave(s));  // a busier day
  EXPECT_NEAR(forecast.expect(1).mean, 1.5 * wave(78), 0.1 * wave(78));
}

TEST(Forecast, GoesOnFromWhatWasKept) {
  Forecast forecast(24);
  for (std::size_t s = 0; s < 30; ++s) forecast.observe(wave(s) * (s % 2 == 0 ? 0.9 : 1.1));
  Forecast again(24, forecast.state());
  for (std::size_t s = 30; s < 60; ++s) {
    EXPECT_EQ(again.expect(1).mean, forecast.expect(1).mean);
    EXPECT_EQ(again.expect(3).deviation, forecast.expect(3).deviation);
    for (Forecast* f : {&forecast, &again}) f->observe(wave(s));
  }
  Forecast::State broken = forecast.state();
  broken.means.pop_back();
  EXPECT_EQ(Forecast(24, broken).observed(), 0u) << "of another day: begins anew";
  broken = forecast.state();
  broken.ratio = std::nan("");
  EXPECT_EQ(Forecast(24, broken).observed(), 0u);
}

TEST(Reservation, IsWhatIsExpectedAndMoreTheDearerUseIs) {
  const Forecast::Expected expected{100, 10};
  EXPECT_NEAR(worth_reserving(expected, {1, 2}), 100, 1e-6) << "used half of the time";
  EXPECT_NEAR(worth_reserving(expected, {1, 4}), 106.745, 0.001) << "z of 0.75";
  EXPECT_NEAR(worth_reserving(expected, {1, 1.25}), 91.584, 0.001) << "z of 0.2";
  EXPECT_EQ(worth_reserving(expected, {1, 1}), 0) << "paying by use is as cheap";
  EXPECT_EQ(worth_reserving({1, 10}, {1, 1.25}), 0) << "nothing below 0";
  EXPECT_GT(worth_reserving(expected, {0, 1}), 140) << "free: all that may come";
}

// Of samples of the distribution, the rate that would have cost least is the one that was reserved.
TEST(Reservation, CostsLeastInExpectation) {
  const Forecast::Expected expected{100, 20};
  for (const double use : {1.2, 2.0, 5.0, 20.0}) {
    const auto cost = [&](double reserved) {
      double sum = 0;
      for (int i = 0; i < 1000; ++i) {
        const double demand = quantile(expected, (i + 0.5) / 1000);
        sum += reserved + use * std::max(0.0, demand - reserved);
      }
      return sum;
    };
    const double best = worth_reserving(expected, {1, use});
    for (const double other : {0.0, best * 0.9, best - 1, best + 1, best * 1.1, 200.0})
      EXPECT_GT(cost(other), cost(best)) << "use at " << use << ", " << other << " for " << best;
  }
}

}  // namespace
}  // namespace qanat::te
