// Chance: every random choice of a link, as a function of (seed, purpose, packet number) and nothing else.
// No state: what happens to packet 1,000 does not depend on which settings the first 999 met.
#pragma once

#include <cstdint>

namespace qanat::linkem {

class Chance {
 public:
  // What is decided: choices of different purposes are independent under one seed.
  enum class Purpose : std::uint64_t { Loss = 1, Corrupt, Duplicate, Delay, Aqm, Flap, Nat, Scenario };
  Chance(std::uint64_t seed, Purpose purpose)
      : key_(mix(seed ^ mix(static_cast<std::uint64_t>(purpose) * kGolden))) {}

  // `draw` (0 … 7) tells several draws for one packet apart.
  std::uint64_t bits(std::uint64_t number, unsigned draw = 0) const {
    return mix(key_ + (number * 8 + draw) * kGolden);
  }
  double uniform(std::uint64_t number, unsigned draw = 0) const {  // [0, 1)
    return static_cast<double>(bits(number, draw) >> 11) * 0x1p-53;
  }
  bool happens(double share, std::uint64_t number, unsigned draw = 0) const {
    return uniform(number, draw) < share;
  }
  double normal(std::uint64_t number, unsigned draw = 0) const;       // mean 0, deviation 1; two draws
  double exponential(std::uint64_t number, unsigned draw = 0) const;  // mean 1

 private:
  static constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15;
  // SplitMix64 (Steele, Lea, Flood 2014): its k-th output is this function of seed + k · golden.
  static std::uint64_t mix(std::uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  std::uint64_t key_;
};

}  // namespace qanat::linkem
