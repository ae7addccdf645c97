#include "controller/te/reservation.hh"

#include <algorithm>
#include <cmath>

namespace qanat::te {

double quantile(const Forecast::Expected& expected, double share) {
  double low = -6, high = 6;  // bisection on erfc
  for (int step = 0; step < 40; ++step) {
    const double middle = (low + high) / 2;
    (0.5 * std::erfc(-middle / std::sqrt(2.0)) < share ? low : high) = middle;
  }
  return expected.mean + expected.deviation * low;
}

double worth_reserving(const Forecast::Expected& expected, const UsePrices& prices) {
  if (prices.used <= prices.reserved) return 0;
  if (prices.reserved <= 0) return std::max(0.0, quantile(expected, 1 - 1e-6));  // it costs nothing
  return std::max(0.0, quantile(expected, 1 - prices.reserved / prices.used));
}

}  // namespace qanat::te
