// CandidateTable, incrementally: what a few changed links leave different, and nothing else, to the same bytes as build().
//
//   link i → j   out[i][j] if j is a relay, in[j][i] if i is one
//   on           row i and column j, element by element; what differs in them is `moved`
//   via          row i and column j; elsewhere where a relay's moved way was used (the reverse index) or now is cheaper
//   choose       pairs whose rank 1 moved, the pair of the link, row i if j is near it, column j of headends that have i near
#include <algorithm>
#include <atomic>
#include <bit>
#include <set>

#include "controller/paths/candidate_table.hh"

namespace qanat::paths {

struct CandidateTable::Difference {
  Difference(std::size_t nodes, std::size_t relays, std::size_t blocks)
      : dirty(nodes, blocks, 0), moved(relays, blocks, 0), fell(relays, false) {}
  static void mark(Grid<Lanes>& in, std::size_t row, Index to) {
    in[row][to / kLanes] |= Lanes{1} << to % kLanes;
  }

  std::set<Index> rows;     // headends with another cost to a relay
  std::set<Index> columns;  // endpoints with another cost from a relay
  Grid<Lanes> dirty;        // [node][block] pairs whose ways are chosen anew
  Grid<Lanes> moved;        // [relay][block] best ways on that are different now
  std::vector<bool> fell;   // [relay] and some of them cheaper
};

std::size_t CandidateTable::update(std::span<const Link> changed) {
  const std::size_t n = nodes(), r = relays();
  Difference d(n, r, blocks());

  // 1. The links themselves.
  for (const auto& [from, to] : changed) {
    if (from == to) continue;
    load_link(from, to);
    Difference::mark(d.dirty, from, to);
    if (relay_of_[to] != kNoRelay) d.rows.insert(from);
    if (relay_of_[from] == kNoRelay) continue;
    in_[to][relay_of_[from]] = direct_[from][to];
    d.columns.insert(to);
  }
  if (objective_.limited()) {
    for (const auto& [from, to] : changed) {
      load_least(from);
      load_least(to);
    }
  }
  for (const Index from : d.rows) {
    const auto old = near_[from];
    find_near(from);
    bool concerns = old != near_[from];
    for (const auto& [a, b] : changed)
      concerns |= a == from && relay_of_[b] != kNoRelay && is_near(from, relay_of_[b]);
    if (concerns) std::fill_n(d.dirty[from], blocks(), ~Lanes{0});
  }

  // 2. Best ways on. A way also differs when a link of it does, its cost may be what it was.
  for (const auto& [from, to] : changed) {
    const std::uint16_t relay = relay_of_[from];
    if (relay == kNoRelay) continue;
    Difference::mark(d.moved, relay, to);
    for (std::size_t k = 0; k < r; ++k)
      if (on_relay_[k][to] == relay) Difference::mark(d.moved, k, to);
    if (relay_of_[to] == kNoRelay) continue;
    for (Index j = 0; j < n; ++j)
      if (on_relay_[relay][j] == relay_of_[to]) Difference::mark(d.moved, relay, j);
  }
  const auto compare = [&](std::size_t relay, Index to, std::uint32_t cost, std::uint16_t over) {
    if (cost == on_[relay][to] && over == on_relay_[relay][to]) return;
    Difference::mark(d.moved, relay, to);
    if (on_[relay][to] < cost) d.fell[relay] = true;
    on_turned_[to][relay] = on_[relay][to];
  };
  std::vector<std::uint32_t> costs(padded(n));
  std::vector<std::uint16_t> overs(padded(n));
  for (const Index from : d.rows) {
    const std::uint16_t relay = relay_of_[from];
    if (relay == kNoRelay) continue;
    std::copy_n(on_[relay], n, costs.data());
    std::copy_n(on_relay_[relay], n, overs.data());
    go_on(relay);
    for (Index to = 0; to < n; ++to) compare(relay, to, costs[to], overs[to]);
  }
  for (const Index to : d.columns) {
    for (std::size_t relay = 0; relay < r; ++relay) {
      if (d.rows.contains(node_of(relay))) continue;
      const std::uint32_t cost = on_[relay][to];
      const std::uint16_t over = on_relay_[relay][to];
      go_on(relay, to);
      compare(relay, to, cost, over);
    }
  }

  // 3. Best ways over relays. Headends are independent of each other from here on.
  std::vector<std::uint16_t> moved;  // relays with moved ways
  for (std::uint16_t k = 0; k < r; ++k)
    if (std::any_of(d.moved[k], d.moved[k] + blocks(), [](Lanes l) { return l != 0; })) moved.push_back(k);
  const auto again = [&](Index from, Index to) {  // one element anew
    std::uint16_t relay = kNoRelay;
    const std::uint32_t cost =
        from == to ? kNoWay : kernels_.least(out_[from], on_turned_[to], out_.stride(), relay);
    std::uint16_t& known = via_relay_[from][to];
    const bool over_moved = relay != kNoRelay && (d.moved[relay][to / kLanes] >> to % kLanes & 1) != 0;
    if (cost != via_[from][to] || relay != known || over_moved) Difference::mark(d.dirty, from, to);
    if (known != kNoRelay) --uses_[from][known];
    if (relay != kNoRelay) ++uses_[from][relay];
    via_[from][to] = cost;
    known = relay;
  };
  const auto headend = [&](Index from) {
    if (d.rows.contains(from)) {
      // Links of this headend moved: rank 1 over them is another way though its cost and relay stay.
      for (const auto& [a, b] : changed) {
        if (a != from || relay_of_[b] == kNoRelay) continue;
        for (Index to = 0; to < n; ++to)
          if (via_relay_[from][to] == relay_of_[b]) Difference::mark(d.dirty, from, to);
      }
      for (Index to = 0; to < n; ++to) again(from, to);
      return;
    }
    for (const Index to : d.columns) again(from, to);
    for (const std::uint16_t relay : moved) {
      const std::uint32_t base = out_[from][relay];
      const bool used = uses_[from][relay] != 0;
      if (base == kNoWay || (!used && !d.fell[relay])) continue;
      for (std::size_t block = 0; block < blocks(); ++block) {
        const Lanes here = d.moved[relay][block];
        if (here == 0) continue;
        const std::size_t first = block * kLanes;
        // base − 1: a sum that equals the known one counts too, for the lower relay wins.
        Lanes look = kernels_.below(base - 1, on_[relay] + first, via_[from] + first) & here;
        if (used) {
          for (Lanes left = here & ~look; left != 0; left &= left - 1) {
            const auto lane = static_cast<std::size_t>(std::countr_zero(left));
            if (via_relay_[from][first + lane] == relay) look |= Lanes{1} << lane;
          }
        }
        for (; look != 0; look &= look - 1)
          again(from, static_cast<Index>(first + static_cast<std::size_t>(std::countr_zero(look))));
      }
    }
  };

  // 4. The ways themselves.
  std::atomic<std::size_t> different{0};
  for_rows(n, [&](std::size_t row) {
    const auto from = static_cast<Index>(row);
    headend(from);
    for (const auto& [a, b] : changed)
      if (relay_of_[a] != kNoRelay && is_near(from, relay_of_[a])) Difference::mark(d.dirty, from, b);
    for (const std::uint16_t relay : moved) {
      if (!is_near(from, relay)) continue;
      for (std::size_t block = 0; block < blocks(); ++block)
        d.dirty[from][block] |= further_[from][block] & d.moved[relay][block];
    }
    if (objective_.limited()) {
      for (const auto& [a, b] : changed) {
        const std::uint16_t first = relay_of_[a], second = relay_of_[b];
        for (std::size_t block = 0; block < blocks(); ++block) {
          const Lanes here = constrained_[from][block];
          if (here == 0) continue;
          if (a == from) d.dirty[from][block] |= here;
          if (b / kLanes == block) d.dirty[from][block] |= here & Lanes{1} << b % kLanes;
          if (first == kNoRelay || second == kNoRelay) continue;
          for (Lanes left = here & ~d.dirty[from][block]; left != 0; left &= left - 1) {
            const auto lane = static_cast<std::size_t>(std::countr_zero(left));
            if (concerns(from, static_cast<Index>(block * kLanes + lane), first, second))
              d.dirty[from][block] |= left & -left;
          }
        }
      }
    }
    std::size_t here = 0;
    for (std::size_t block = 0; block < blocks(); ++block) {
      const Lanes dirty = d.dirty[from][block];
      if (dirty == 0) continue;
      const std::size_t first = block * kLanes, lanes = std::min(kLanes, n - first);
      std::array<std::array<Way, kLanes>, kMaxLists> before;
      for (std::size_t rank = 0; rank < kMaxLists; ++rank)
        std::copy_n(ways_[rank][from] + first, lanes, before[rank].begin());
      choose(from, block, dirty);
      for (std::size_t lane = 0; lane < lanes; ++lane) {
        bool other = false;
        for (std::size_t rank = 0; rank < kMaxLists; ++rank)
          other |= ways_[rank][from][first + lane] != before[rank][lane];
        here += other;
      }
    }
    different += here;
  });
  return different;
}

}  // namespace qanat::paths
