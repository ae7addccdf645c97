// CandidateTable, limits: what a whole way adds up to, and the cheapest way within the limits where the cheapest of all
// breaks one. The general problem is NP-hard; over at most two relays it is a search that bounds cut short.
#include <algorithm>

#include "controller/paths/candidate_table.hh"

namespace qanat::paths {

using topology::PlaneLink;

Sums CandidateTable::least_of(Index node, bool out) const {
  constexpr std::uint64_t kBoundless = ~0ull >> 2;
  Sums least{kBoundless, kBoundless, kBoundless};
  for (const Index other : topology_.relays()) {
    if (other == node) continue;
    for (const PlaneLink& link : out ? topology_.links(node, other) : topology_.links(other, node)) {
      if (objective_.cost(link) == kNoWay) continue;
      least.rtt_us = std::min<std::uint64_t>(least.rtt_us, link.rtt_us);
      least.loss_ppm = std::min<std::uint64_t>(least.loss_ppm, link.loss_ppm);
      least.jitter_us = std::min<std::uint64_t>(least.jitter_us, link.jitter_us);
    }
  }
  return least;
}

void CandidateTable::load_least_out(Index node) {
  if (objective_.limited()) least_out_[node] = least_of(node, true);
}

void CandidateTable::load_least_in(Index node) {
  if (objective_.limited()) least_in_[node] = least_of(node, false);
}

Sums CandidateTable::sums(Index from, Index to, Way way) const {
  Sums out;
  Index at = from;
  for (std::size_t hop = 0; hop < way.hops(); ++hop) {
    const Index next = hop + 1 == way.hops() ? to : node_of(hop == 0 ? way.first : way.second);
    out.add(topology_.link(at, next, ids::PlaneId{way.plane(hop)}));
    at = next;
  }
  return out;
}

// sums().meets() of a way over the cheapest planes, from what is at hand of these.
bool CandidateTable::cheapest_meets(Index from, Index to, Way way) const {
  for (std::size_t s = 0; s < beyond_.size(); ++s) {
    if (beyond_[s].empty()) continue;
    // A cost counts the whole round trip and more.
    if (s == 0 && std::min(direct_(from, to), via_(from, to)) < beyond_[s][0]) continue;
    std::uint64_t sum = 0;
    Index at = from;
    for (const std::uint16_t relay : {way.first, way.second}) {
      if (relay == kNoRelay) continue;
      sum += sums_[s](at, node_of(relay));
      at = node_of(relay);
    }
    if (sum + sums_[s](at, to) >= beyond_[s][0]) return false;
  }
  return true;
}

// May this link between two relays have changed what the pair gets within the limits?
bool CandidateTable::concerns(Index from, Index to, std::uint16_t first, std::uint16_t second) const {
  const Way held = ways_[from][to][0];
  if (held.first == first && held.second == second) return true;
  const std::uint64_t with =
      std::uint64_t{out_[from][first]} + out_[node_of(first)][second] + in_[to][second];
  return with < kNoWay && (!held.exists() || with <= cost(from, to, held));
}

// No way over relays can meet the limits: its first and its last link alone break one.
bool CandidateTable::hopeless(Index from, Index to) const {
  Sums least = least_out_[from];
  least.add(least_in_[to]);
  return !least.meets(objective_);
}

// A first look over the near relays alone finds what bounds the search over all of them.
Way CandidateTable::constrained(Index from, Index to) const {
  if (direct_(from, to) == kNoWay && hopeless(from, to)) return {};
  std::uint64_t least = kNoWay;
  const Way near = constrained(from, to, true, least);
  if (hopeless(from, to)) return near;
  if (near.exists()) ++least;  // what costs the same comes first by the order of ties
  return constrained(from, to, false, least);
}

Way CandidateTable::constrained(Index from, Index to, bool near_only, std::uint64_t& least) const {
  Way best;
  const auto offer = [&](std::uint64_t cost, const Sums& sums, Way way) {
    if (cost >= least || !sums.meets(objective_)) return;
    least = cost;
    best = way;
  };
  const auto each = [&](Index a, Index b, std::uint64_t cost, const Sums& so_far, const auto& next) {
    for (const PlaneLink& link : topology_.links(a, b)) {
      const std::uint32_t add = objective_.cost(link);
      if (add == kNoWay || cost + add >= least) continue;
      Sums sums = so_far;
      sums.add(link);
      if (sums.meets(objective_)) next(cost + add, sums, link.plane.value);
    }
  };
  each(from, to, 0, {},
       [&](std::uint64_t cost, const Sums& sums, std::uint8_t p) { offer(cost, sums, direct_way(p)); });
  for (std::uint16_t a = 0; a < relays(); ++a) {
    const Index first = node_of(a);
    if (near_only && !is_near(from, a)) continue;
    // on_ bounds what any way on from here costs.
    if (first == to || out_[from][a] == kNoWay || std::uint64_t{out_[from][a]} + on_[a][to] >= least)
      continue;
    each(from, first, objective_.relay_us, {}, [&](std::uint64_t cost, const Sums& in, std::uint8_t p) {
      Sums bound = in;
      bound.add(least_in_[to]);
      if (!bound.meets(objective_)) return;
      each(first, to, cost, in,
           [&](std::uint64_t sum, const Sums& sums, std::uint8_t q) { offer(sum, sums, way_over(a, p, q)); });
      if (near_only) return;
      const std::uint32_t* out = out_[first];
      const std::uint32_t* in_row = in_[to];
      for (std::uint16_t b = 0; b < relays(); ++b) {
        if (cost + out[b] + in_row[b] >= least) continue;
        const Index second = node_of(b);
        if (second == from || second == to || b == a || out[b] == kNoWay) continue;
        each(first, second, cost + objective_.relay_us, in,
             [&](std::uint64_t on, const Sums& mid, std::uint8_t q) {
               each(second, to, on, mid, [&](std::uint64_t sum, const Sums& sums, std::uint8_t s) {
                 offer(sum, sums, way_over(a, b, p, q, s));
               });
             });
      }
    });
  }
  return best;
}

}  // namespace qanat::paths
