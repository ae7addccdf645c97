// Stage B of path computation: which of the candidates a headend gets, given what it has.
// Improvements must be worth it (10 % and 1 ms); bad news never waits.
#pragma once

#include "controller/paths/candidates.hh"

namespace qanat::paths {

// A cheaper route replaces a usable one only when it saves at least a tenth and a millisecond.
constexpr bool worth_moving(std::uint32_t held_us, std::uint32_t better_us) {
  const std::uint32_t tenth = held_us / 10 + (held_us % 10 != 0);
  const std::uint32_t margin = tenth > 1000 ? tenth : 1000;
  return better_us < held_us && held_us - better_us >= margin;
}

enum class Unknowns : std::uint8_t {
  AreLost,    // a held route over links that nobody reports on gives way to one that is measured
  AreTrusted  // just after a start, before all nodes have reported: what was held is held on to
};

// The new choices for a pair. `held` may be empty. What is kept keeps the cost it was chosen at, so equal choices give
// equal configurations. When nothing usable is known, `held` stays as it is: the headend's own probes decide.
Choices select(const topology::Topology& topology, topology::Index from, topology::Index to,
               const RelayFilter& allowed, const Choices& held, Unknowns unknowns);

}  // namespace qanat::paths
