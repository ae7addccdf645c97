#include "tools/linkem/chance.hh"

#include <cmath>
#include <numbers>

namespace qanat::linkem {

double Chance::normal(std::uint64_t number, unsigned draw) const {
  // Box–Muller; 1 − u keeps the logarithm's argument above zero.
  const double radius = std::sqrt(-2 * std::log(1 - uniform(number, draw)));
  return radius * std::cos(2 * std::numbers::pi * uniform(number, draw + 1));
}

double Chance::exponential(std::uint64_t number, unsigned draw) const {
  return -std::log(1 - uniform(number, draw));
}

}  // namespace qanat::linkem
