// Random: seeded streams of numbers for everything that a simulation draws: keys, handshakes, faults, flows.
// Each user has a stream of its own, so that one more draw in one place changes nothing in another.
#pragma once

#include <cstdint>
#include <span>

namespace qanat::sim {

// Bijective mixing of 64 bits (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
constexpr std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

// What a stream is for; with a number (of a node, a wire …) it names one.
enum class Stream : std::uint64_t {
  Node = 1,
  Wire,
  Controller,
  Domain,
  Faults,
  Flows,
  Strays,
  Start,
  Clocks
};

class Random {
 public:
  Random(std::uint64_t seed, Stream stream, std::uint64_t number = 0)
      : state_(mix(seed + 0x9e3779b97f4a7c15ULL) ^
               mix(static_cast<std::uint64_t>(stream) << 48 ^ (number + 1))) {}

  std::uint64_t next() { return mix(state_ += 0x9e3779b97f4a7c15ULL); }
  // 0 … n − 1; n > 0. The bias of n/2^64 does not matter here.
  std::uint64_t below(std::uint64_t n) { return next() % n; }
  double unit() { return static_cast<double>(next() >> 11) * 0x1p-53; }
  void fill(std::span<std::uint8_t> out) {
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::uint8_t>(next() >> 24);
  }

 private:
  std::uint64_t state_;
};

}  // namespace qanat::sim
