#include "controller/paths/selection.hh"

#include <algorithm>

namespace qanat::paths {

using telemetry::LinkState;

Choices select(const topology::Topology& topology, topology::Index from, topology::Index to,
               const RelayFilter& allowed, const Choices& held, Unknowns unknowns) {
  const CandidateSet candidates(topology, from, to, allowed);
  Choices chosen;
  std::vector<Route> routes;
  for (std::size_t rank = 0; rank < kMaxLists; ++rank) {
    const Candidate* fresh = rank == 0 ? candidates.best() : candidates.backup(routes);
    const Choice* keep = nullptr;
    if (rank < held.size() && std::find(routes.begin(), routes.end(), held[rank].route) == routes.end()) {
      const RouteNow now = evaluate(topology, from, to, held[rank].route, allowed);
      const bool trusted = now.state == LinkState::Unknown && unknowns == Unknowns::AreTrusted;
      const bool usable = now.state == LinkState::Usable || trusted;
      const std::uint32_t cost = trusted ? held[rank].cost_us : now.cost_us;
      const bool as_disjoint = rank == 0 || fresh == nullptr ||
                               overlap_of(held[rank].route, routes) <= overlap_of(fresh->route, routes);
      if (usable && as_disjoint && (fresh == nullptr || !worth_moving(cost, fresh->cost_us)))
        keep = &held[rank];
    }
    if (keep == nullptr && fresh == nullptr) {
      if (rank == 0) return held;
      break;
    }
    chosen.push_back(keep != nullptr ? *keep : Choice{fresh->route, fresh->cost_us});
    routes.push_back(chosen.back().route);
  }
  return chosen;
}

}  // namespace qanat::paths
