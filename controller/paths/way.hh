// Way: a Route as the candidate table keeps it, six bytes: millions of them are in memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "controller/paths/min_plus.hh"

namespace qanat::paths {

// Relays by their index in Topology::relays(). planes: four bits a hop, the headend's lowest; 0: no way at all.
struct Way {
  std::uint16_t first = kNoRelay;
  std::uint16_t second = kNoRelay;
  std::uint16_t planes = 0;

  bool exists() const { return planes != 0; }
  std::size_t hops() const { return 1u + (first != kNoRelay) + (second != kNoRelay); }
  std::uint8_t plane(std::size_t hop) const { return planes >> (4 * hop) & 15; }
  bool operator==(const Way&) const = default;
};

constexpr Way direct_way(std::uint8_t plane) { return {kNoRelay, kNoRelay, plane}; }
constexpr Way way_over(std::uint16_t relay, std::uint8_t in, std::uint8_t out) {
  return {relay, kNoRelay, static_cast<std::uint16_t>(in | out << 4)};
}
constexpr Way way_over(std::uint16_t first, std::uint16_t second, std::uint8_t in, std::uint8_t between,
                       std::uint8_t out) {
  return {first, second, static_cast<std::uint16_t>(in | between << 4 | out << 8)};
}

}  // namespace qanat::paths
