#include "controller/paths/candidates.hh"

#include <algorithm>
#include <tuple>

namespace qanat::paths {

using telemetry::LinkState;
using topology::Index;
using topology::kUnreachable;
using topology::PlaneLink;
using topology::Topology;

namespace {

std::uint32_t add(std::uint32_t a, std::uint32_t b) {
  const std::uint64_t sum = std::uint64_t{a} + b;
  return sum >= kUnreachable ? kUnreachable : static_cast<std::uint32_t>(sum);
}

// Through which nodes a route goes, by index.
struct Way {
  std::array<Index, kMaxRelays + 2> nodes{};
  std::size_t hops = 0;
};

Way make_way(Index from, std::initializer_list<Index> relays, Index to) {
  Way way;
  way.nodes[0] = from;
  std::size_t at = 1;
  for (const Index relay : relays) way.nodes[at++] = relay;
  way.nodes[at] = to;
  way.hops = at;
  return way;
}

Candidate make_candidate(const Topology& topology, const Way& way) {
  Candidate c;
  c.route.relay_count = static_cast<std::uint8_t>(way.hops - 1);
  for (std::size_t i = 1; i < way.hops; ++i) c.route.relays[i - 1] = topology.nodes()[way.nodes[i]].id;
  c.cost_us = static_cast<std::uint32_t>((way.hops - 1) * kRelayCostUs);
  return c;
}

// The cheapest plane at every hop; nothing when a hop has none.
bool cheapest(const Topology& topology, const Way& way, Candidate& out) {
  out = make_candidate(topology, way);
  for (std::size_t hop = 0; hop < way.hops; ++hop) {
    const PlaneLink* link = topology.best(way.nodes[hop], way.nodes[hop + 1]);
    if (link == nullptr) return false;
    out.route.planes[hop] = link->plane;
    out.cost_us = add(out.cost_us, link->cost_us);
  }
  return out.cost_us != kUnreachable;
}

// Every combination of usable planes along a way.
void every_plane(const Topology& topology, const Way& way, std::size_t hop, Candidate partial,
                 std::vector<Candidate>& out) {
  if (hop == way.hops) {
    if (partial.cost_us != kUnreachable) out.push_back(partial);
    return;
  }
  for (const PlaneLink& link : topology.links(way.nodes[hop], way.nodes[hop + 1])) {
    if (link.state != LinkState::Usable) continue;
    Candidate next = partial;
    next.route.planes[hop] = link.plane;
    next.cost_us = add(partial.cost_us, link.cost_us);
    every_plane(topology, way, hop + 1, next, out);
  }
}

bool cheaper(const Candidate& a, const Candidate& b) {
  return std::tie(a.cost_us, a.route) < std::tie(b.cost_us, b.route);
}

std::uint32_t best_cost(const Topology& topology, Index from, Index to) {
  const PlaneLink* link = topology.best(from, to);
  return link == nullptr ? kUnreachable : link->cost_us;
}

}  // namespace

CandidateSet::CandidateSet(const Topology& topology, Index from, Index to, const RelayFilter& allowed) {
  std::vector<Index> relays;
  for (const Index relay : topology.relays()) {
    if (relay != from && relay != to && allowed(relay)) relays.push_back(relay);
  }

  // 1. Exact: the cheapest of all ways over at most two relays.
  Candidate best, candidate;
  const auto consider = [&](const Way& way) {
    if (cheapest(topology, way, candidate) && cheaper(candidate, best)) best = candidate;
  };
  consider(make_way(from, {}, to));
  for (const Index a : relays) {
    const std::uint32_t first = best_cost(topology, from, a);
    if (first == kUnreachable) continue;
    consider(make_way(from, {a}, to));
    for (const Index b : relays) {
      if (b == a || add(first, best_cost(topology, a, b)) > best.cost_us) continue;  // cannot win any more
      consider(make_way(from, {a, b}, to));
    }
  }
  if (best.cost_us == kUnreachable) return;

  // 2. The pool that backups come from: every combination of planes over the relays with the least detour.
  std::vector<std::pair<std::uint32_t, Index>> near;
  for (const Index relay : relays) {
    // Either half may be missing: a two-relay way enters at one relay and leaves at another.
    const std::uint32_t in = best_cost(topology, from, relay), out = best_cost(topology, relay, to);
    const std::uint32_t detour = in == kUnreachable ? out : out == kUnreachable ? in : add(in, out);
    if (detour != kUnreachable) near.emplace_back(detour, relay);
  }
  std::sort(near.begin(), near.end());
  if (near.size() > kBackupRelays) near.resize(kBackupRelays);
  const auto pool = [&](const Way& way) {
    every_plane(topology, way, 0, make_candidate(topology, way), candidates_);
  };
  pool(make_way(from, {}, to));
  for (const auto& [detour_a, a] : near) {
    pool(make_way(from, {a}, to));
    for (const auto& [detour_b, b] : near) {
      if (a != b) pool(make_way(from, {a, b}, to));
    }
  }
  candidates_.push_back(best);  // its relays may be outside the pool
  std::sort(candidates_.begin(), candidates_.end(), cheaper);
  candidates_.erase(std::unique(candidates_.begin(), candidates_.end(),
                                [](const Candidate& a, const Candidate& b) { return a.route == b.route; }),
                    candidates_.end());
}

Overlap overlap_of(const Route& route, const std::vector<Route>& chosen) {
  // The node that hop i of a route starts at and the one it leads to; 0 stands for headend and endpoint.
  const auto start = [](const Route& r, std::size_t i) { return i == 0 ? ids::NodeId{} : r.relays[i - 1]; };
  const auto end = [](const Route& r, std::size_t i) {
    return i == r.relay_count ? ids::NodeId{} : r.relays[i];
  };
  Overlap overlap;
  for (const Route& other : chosen) {
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

const Candidate* CandidateSet::backup(const std::vector<Route>& chosen) const {
  const Candidate* found = nullptr;
  Overlap least;
  for (const Candidate& candidate :
       candidates_) {  // ascending cost: the first of equal overlap is the cheapest
    if (std::find(chosen.begin(), chosen.end(), candidate.route) != chosen.end()) continue;
    const Overlap overlap = overlap_of(candidate.route, chosen);
    if (found != nullptr && !(overlap < least)) continue;
    found = &candidate;
    least = overlap;
  }
  return found;
}

RouteNow evaluate(const Topology& topology, Index from, Index to, const Route& route,
                  const RelayFilter& allowed) {
  RouteNow now{LinkState::Usable, static_cast<std::uint32_t>(route.relay_count * kRelayCostUs)};
  Index at = from;
  for (std::size_t hop = 0; hop < route.hops(); ++hop) {
    Index next = to;
    if (hop < route.relay_count) {
      const auto relay = topology.index_of(route.relays[hop]);
      if (!relay || !topology.nodes()[*relay].relay || *relay == from || *relay == to || !allowed(*relay)) {
        return {LinkState::Dead, kUnreachable};
      }
      next = *relay;
    }
    const PlaneLink link = topology.link(at, next, route.planes[hop]);
    if (link.state == LinkState::Dead) return {LinkState::Dead, kUnreachable};
    if (link.state == LinkState::Unknown) now.state = LinkState::Unknown;
    now.cost_us = add(now.cost_us, link.cost_us);
    at = next;
  }
  return now;
}

}  // namespace qanat::paths
