// Reservation: how much of a plane to pay for a slot ahead, used or not, where what exceeds it goes over another plane that is
// paid by use. One more unit is worth it as long as it is used with a probability of at least reserved price / use price: the
// newsvendor's quantile of what is expected (Arrow, Harris, Marschak: Optimal Inventory Policy, 1951).
#pragma once

#include "controller/te/forecast.hh"

namespace qanat::te {

// Both of a unit of rate over the same time.
struct UsePrices {
  double reserved = 1;
  double used = 2;
};

// What is exceeded with a probability of 1 − share, as if errors were normal. share: 0 to 1, neither of them.
double quantile(const Forecast::Expected& expected, double share);
// A rate, in the forecast's unit; 0 where paying by use is as cheap.
double worth_reserving(const Forecast::Expected& expected, const UsePrices& prices);

}  // namespace qanat::te
