// Stage A of path computation: candidates and their costs, a pure function of one topology.
// Rank 1 is exact over every relay and pair of relays; the backups are chosen greedily, disjoint ones first.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "controller/paths/segment_route.hh"
#include "controller/topology/topology.hh"

namespace qanat::paths {

// Each relay adds its own work to a round trip: two passes of about 100 µs.
inline constexpr std::uint32_t kRelayCostUs = 200;
// Backups look at this many relays: those with the least detour.
inline constexpr std::size_t kBackupRelays = 16;

// Whether a relay may carry for this pair; a domain allows its own, the global level all.
using RelayFilter = std::function<bool(topology::Index relay)>;

struct Candidate {
  Route route;
  std::uint32_t cost_us = topology::kUnreachable;
};

// What a candidate shares with the routes already chosen, worst kind first: links, relays, planes.
struct Overlap {
  std::uint32_t links = 0;
  std::uint32_t relays = 0;
  std::uint32_t planes = 0;
  auto operator<=>(const Overlap&) const = default;
};

class CandidateSet {
 public:
  // All candidates of one pair worth looking at, cheapest first (ties: Route's order). `from` ≠ `to`.
  CandidateSet(const topology::Topology& topology, topology::Index from, topology::Index to,
               const RelayFilter& allowed);

  // Null when nothing reaches `to`.
  const Candidate* best() const { return candidates_.empty() ? nullptr : &candidates_.front(); }
  // The next backup behind `chosen`: least overlap, then least cost, then Route's order; null when no other is left.
  const Candidate* backup(const std::vector<Route>& chosen) const;
  const std::vector<Candidate>& all() const { return candidates_; }

 private:
  std::vector<Candidate> candidates_;
};

Overlap overlap_of(const Route& route, const std::vector<Route>& chosen);

// A route's state and cost now. Dead when any link is; else Unknown when any link is.
struct RouteNow {
  telemetry::LinkState state = telemetry::LinkState::Unknown;
  std::uint32_t cost_us = topology::kUnreachable;
};
RouteNow evaluate(const topology::Topology& topology, topology::Index from, topology::Index to,
                  const Route& route, const RelayFilter& allowed);

}  // namespace qanat::paths
