#include "controller/paths/selection.hh"

#include <algorithm>
#include <bit>
#include <tuple>

namespace qanat::paths {

using telemetry::LinkState;

RouteNow evaluate(const CandidateTable& table, Index from, Index to, const Route& route, Resting resting) {
  const topology::Topology& topology = table.topology();
  const Objective& objective = table.objective();
  std::uint64_t cost = std::uint64_t{route.relay_count} * objective.relay_us;
  LinkState state = LinkState::Usable;
  Sums sums;
  Index at = from;
  for (std::size_t hop = 0; hop < route.hops(); ++hop) {
    Index next = to;
    if (hop < route.relay_count) {
      const auto relay = topology.index_of(route.relays[hop]);
      if (!relay || *relay == from || *relay == to) return {LinkState::Dead, kNoWay};
      topology::Node node = topology.nodes()[*relay];
      node.relay |= node.resting && resting == Resting::AreRelays;
      if (!objective.allows(node)) return {LinkState::Dead, kNoWay};
      next = *relay;
    }
    const topology::PlaneLink link = topology.link(at, next, route.planes[hop]);
    const std::uint32_t add = objective.cost(link);
    if (link.state == LinkState::Unknown) {
      state = LinkState::Unknown;
    } else if (add == kNoWay) {
      return {LinkState::Dead, kNoWay};
    }
    sums.add(link);
    cost += add;
    at = next;
  }
  if (!sums.meets(objective)) return {LinkState::Dead, kNoWay};
  return {state, static_cast<std::uint32_t>(std::min<std::uint64_t>(cost, kNoWay))};
}

std::uint32_t risks_of(const Route& route, Index from, Index to, const topology::Topology& topology) {
  const bool lines = topology.lines_share();
  std::uint32_t risks = 0;
  for (std::size_t i = 0; i < route.relay_count; ++i) {
    const auto at = topology.index_of(route.relays[i]);
    if (!at) continue;
    risks |= topology.nodes()[*at].risk;
    if (lines)
      risks |=
          topology.relay_line_risk(*at, route.planes[i]) | topology.relay_line_risk(*at, route.planes[i + 1]);
  }
  if (lines)
    risks |= topology.end_line_risk(from, route.planes[0]) |
             topology.end_line_risk(to, route.planes[route.relay_count]);
  return risks;
}

Overlap overlap_of(const Route& route, const std::vector<Route>& chosen, const Ends& ends) {
  // The node that hop i of a route starts at and the one it leads to; 0 stands for headend and endpoint.
  const auto start = [](const Route& r, std::size_t i) { return i == 0 ? ids::NodeId{} : r.relays[i - 1]; };
  const auto end = [](const Route& r, std::size_t i) {
    return i == r.relay_count ? ids::NodeId{} : r.relays[i];
  };
  Overlap overlap;
  const auto risks_here = [&ends](const Route& r) {
    return ends.risky == nullptr ? 0 : risks_of(r, ends.from, ends.to, *ends.risky);
  };
  const std::uint32_t risks = risks_here(route);
  for (const Route& other : chosen) {
    if (risks != 0) overlap.risks += static_cast<std::uint32_t>(std::popcount(risks & risks_here(other)));
    for (std::size_t i = 0; i < route.hops(); ++i) {
      bool plane_shared = false;
      for (std::size_t j = 0; j < other.hops(); ++j) {
        const bool plane = route.planes[i] == other.planes[j];
        plane_shared |= plane;
        overlap.links += plane && start(route, i) == start(other, j) && end(route, i) == end(other, j);
      }
      overlap.planes += plane_shared;
    }
    for (const ids::NodeId relay : route.relay_list()) {
      const auto theirs = other.relay_list();
      overlap.relays += std::find(theirs.begin(), theirs.end(), relay) != theirs.end();
    }
  }
  return overlap;
}

namespace {

// The candidate for a rank behind those chosen: for the first, the cheapest that its relays have room for, else the
// cheapest; for the others the one that shares least.
const Choice* next(const Choices& fresh, const std::vector<Route>& chosen, const RelayLoad& load,
                   const Ends& ends) {
  const Choice* found = nullptr;
  Overlap least;
  for (const Choice& choice : fresh) {
    if (std::find(chosen.begin(), chosen.end(), choice.route) != chosen.end()) continue;
    if (chosen.empty()) {
      if (load.has_room(choice.route)) return &choice;
      if (found == nullptr) found = &choice;
      continue;
    }
    const Overlap overlap = overlap_of(choice.route, chosen, ends);
    if (found != nullptr && std::tie(least, found->cost_us) <= std::tie(overlap, choice.cost_us)) continue;
    found = &choice;
    least = overlap;
  }
  return found;
}

}  // namespace

Choices select(const CandidateTable& table, Index from, Index to, const Choices& held, Unknowns unknowns,
               const RelayLoad& load, Margin margin) {
  return select(table.lists(from, to), table, from, to, held, unknowns, load, margin);
}

Choices select(const Choices& fresh, const CandidateTable& table, Index from, Index to, const Choices& held,
               Unknowns unknowns, const RelayLoad& load, Margin margin) {
  Choices chosen;
  std::vector<Route> routes;
  const Ends ends{table.risky(), from, to};
  for (std::size_t rank = 0; rank < kMaxLists; ++rank) {
    const Choice* better = next(fresh, routes, load, ends);
    const Choice* keep = nullptr;
    if (rank < held.size() && std::find(routes.begin(), routes.end(), held[rank].route) == routes.end()) {
      const RouteNow now = evaluate(table, from, to, held[rank].route);
      const bool trusted = now.state == LinkState::Unknown && unknowns == Unknowns::AreTrusted;
      const bool usable = now.state == LinkState::Usable || trusted;
      const std::uint32_t cost = trusted ? held[rank].cost_us : now.cost_us;
      const bool as_disjoint =
          rank == 0 || better == nullptr ||
          overlap_of(held[rank].route, routes, ends) <= overlap_of(better->route, routes, ends);
      // Off a relay that carries too many, if there is room elsewhere.
      const bool crowded = rank == 0 && better != nullptr && load.overloaded(held[0].route) &&
                           load.has_room(better->route) && better->route != held[0].route;
      if (usable && as_disjoint && !crowded &&
          (better == nullptr || !margin.worth_moving(cost, better->cost_us)))
        keep = &held[rank];
    }
    if (keep == nullptr && better == nullptr) {
      if (rank == 0) return held;
      break;
    }
    chosen.push_back(keep != nullptr ? *keep : *better);
    routes.push_back(chosen.back().route);
  }
  return chosen;
}

}  // namespace qanat::paths
