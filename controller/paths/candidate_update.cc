// CandidateTable, incrementally: what a few changed links leave different, and nothing else, to the same bytes as build().
//
//   link i → j   out[i][j] if j is a relay, in[j][i] if i is one
//   on           row i and column j, element by element; what differs in them is `moved`
//   via          row i and column j; elsewhere where a relay's moved way was used (the reverse index) or now is cheaper
//   choose       pairs whose rank 1 moved, the pair of the link, row i if j is near it, column j of headends that have i near
//
// An element is the least of a thousand sums of which one or two changed: unless what it stands on got worse, the old least
// and the changed ones say all.
#include <algorithm>
#include <atomic>
#include <bit>
#include <iterator>
#include <map>

#include "controller/paths/candidate_table.hh"

namespace qanat::paths {

struct CandidateTable::Difference {
  Difference(const PairBlocks& pairs, std::size_t relays)
      : dirty(pairs.cells()),
        best(pairs.cells()),
        moved(relays, pairs.blocks()),
        fell(relays, false),
        other(relays, false) {}
  // A bit for each column. Dense: all of it is cleared for every change.
  class Bits {
   public:
    Bits(std::size_t rows, std::size_t blocks) : blocks_(blocks), words_(rows * blocks) {}
    Lanes* operator[](std::size_t row) { return words_.data() + row * blocks_; }
    const Lanes* operator[](std::size_t row) const { return words_.data() + row * blocks_; }

   private:
    std::size_t blocks_;
    std::vector<Lanes> words_;
  };
  static void mark(Bits& in, std::size_t row, Index to) { in[row][to / kLanes] |= bit(to); }
  static Lanes bit(Index to) { return Lanes{1} << to % kLanes; }
  bool is_moved(std::size_t relay, Index to) const {
    return (moved[relay][to / kLanes] >> to % kLanes & 1) != 0;
  }

  using Relays = std::vector<std::uint16_t>;  // ascending
  std::map<Index, Relays> rows;               // headends with another cost to these relays
  std::map<Index, Relays> columns;            // endpoints with another cost from these relays
  std::map<Index, Relays> fell_at;  // of each of `columns`, the relays with a cheaper best way on to it
  Relays moved_rows;                // relays of `rows` with moved ways
  std::vector<Lanes> dirty;         // [cell] pairs whose ways are chosen anew
  std::vector<Lanes> best;          // [cell] pairs of which only the best way may be another
  Bits moved;                       // [relay][block] best ways on that are different now
  std::vector<bool> fell, other;    // [relay] and some of them cheaper, some not
};

namespace {

struct Least {
  std::uint32_t cost = kNoWay;
  std::uint16_t over = kNoRelay;
  void offer(std::uint32_t sum, std::uint16_t relay) {
    if (sum < cost || (sum == cost && sum < kNoWay && relay < over)) *this = {sum, relay};
  }
};

// The least of left[k] + right(k) when it was `old` and only the terms of `changed` are different. False when it stood on
// one of them that is worse now: then all have to be looked at.
template <typename Right>
bool follow(Least old, std::span<const std::uint16_t> changed, const std::uint32_t* left, Right&& right,
            Least& now) {
  now = old;
  for (const std::uint16_t k : changed) {
    const std::uint32_t sum = left[k] + right(k);
    if (k == old.over && sum > old.cost) return false;
    now.offer(sum, k);
  }
  return true;
}

}  // namespace

std::size_t CandidateTable::update(std::span<const Link> changed) {
  const std::size_t n = nodes(), r = relays();
  if (n == 0) return 0;
  Difference d(blocks_, r);

  // 1. The links themselves.
  for (const auto& [from, to] : changed) {
    if (from == to) continue;
    load_link(from, to);
    if (const std::size_t cell = blocks_.cell(from, to / kLanes); cell != 0)
      d.dirty[cell] |= Difference::bit(to);
    if (relay_of_[to] != kNoRelay) d.rows[from].push_back(relay_of_[to]);
    if (relay_of_[from] == kNoRelay) continue;
    in_[to][relay_of_[from]] = direct_(from, to);
    d.columns[to].push_back(relay_of_[from]);
  }
  for (auto* side : {&d.rows, &d.columns}) {
    for (auto& [node, relays] : *side) {
      std::sort(relays.begin(), relays.end());
      relays.erase(std::unique(relays.begin(), relays.end()), relays.end());
    }
  }
  if (objective_.limited()) {
    for (const auto& [from, to] : changed) {
      load_least_out(from);
      load_least_in(to);
    }
  }
  for (const auto& [from, to] : d.rows) {
    const auto old = near_[from];
    find_near(from);
    const bool concerns =
        old != near_[from] ||
        std::any_of(to.begin(), to.end(), [this, at = from](std::uint16_t k) { return is_near(at, k); });
    if (concerns)
      std::fill_n(d.dirty.begin() + static_cast<std::ptrdiff_t>(blocks_.begin(from)),
                  blocks_.end(from) - blocks_.begin(from), ~Lanes{0});
  }

  // 2. Best ways on. A way also differs when a link of it does, its cost may be what it was.
  for (const auto& [to, over] : d.columns) {
    d.fell_at[to];
    for (const std::uint16_t relay : over) Difference::mark(d.moved, relay, to);
    for (std::size_t k = 0; k < r; ++k)
      if (std::binary_search(over.begin(), over.end(), on_relay_[k][to])) Difference::mark(d.moved, k, to);
  }
  const auto go_on_again = [&](std::uint16_t relay, Index to, const Difference::Relays& terms) {
    const Index at = node_of(relay);
    if (at == to) return;
    const Least old{on_turned_[to][relay], on_relay_[relay][to]};
    const std::uint32_t straight = in_[to][relay];
    Least now;
    if ((old.over == kNoRelay && straight > old.cost) ||
        !follow(
            old, terms, out_[at], [&](std::uint16_t k) { return in_[to][k]; }, now)) {
      go_on(relay, to);
      now = {on_[relay][to], on_relay_[relay][to]};
    } else if (straight <= now.cost) {
      now = {straight, kNoRelay};
    }
    if (now.cost == old.cost && now.over == old.over) return;
    on_[relay][to] = now.cost;
    on_relay_[relay][to] = now.over;
    Difference::mark(d.moved, relay, to);
    if (now.cost < old.cost) {
      d.fell[relay] = true;
      if (const auto column = d.fell_at.find(to); column != d.fell_at.end()) column->second.push_back(relay);
    } else {
      d.other[relay] = true;
    }
    on_turned_[to][relay] = now.cost;
  };
  for (const auto& [from, over] : d.rows) {
    const std::uint16_t relay = relay_of_[from];
    if (relay == kNoRelay) continue;
    for (Index to = 0; to < n; ++to) {
      if (std::binary_search(over.begin(), over.end(), on_relay_[relay][to]))
        Difference::mark(d.moved, relay, to);
      if (const auto column = d.columns.find(to); column != d.columns.end()) {
        Difference::Relays terms;
        std::set_union(over.begin(), over.end(), column->second.begin(), column->second.end(),
                       std::back_inserter(terms));
        go_on_again(relay, to, terms);
      } else {
        go_on_again(relay, to, over);
      }
    }
  }
  for (const auto& [to, over] : d.columns) {
    for (std::uint16_t relay = 0; relay < r; ++relay) {
      if (const std::size_t soon = relay + 8u; soon < r) {  // a column: every element in another line
        __builtin_prefetch(&on_relay_[soon][to]);
        __builtin_prefetch(&out_[node_of(soon)][over.front()]);
      }
      if (!d.rows.contains(node_of(relay))) go_on_again(relay, to, over);
    }
  }

  // 3. Best ways over relays. Headends are independent of each other from here on.
  std::vector<Lanes> elsewhere(blocks(),
                               ~Lanes{0});  // but in the columns, which are looked at for every headend
  for (const auto& [to, over] : d.columns) elsewhere[to / kLanes] &= ~(Lanes{1} << to % kLanes);
  for (const auto& [from, over] : d.rows) {
    const std::uint16_t k = relay_of_[from];
    if (k != kNoRelay && std::any_of(d.moved[k], d.moved[k] + blocks(), [](Lanes l) { return l != 0; }))
      d.moved_rows.push_back(k);
  }
  std::sort(d.moved_rows.begin(), d.moved_rows.end());
  const Difference::Relays none;
  // fell: the relays whose ways on to it may be cheaper now. on: their costs, from where they lie together.
  const auto again = [&](Index from, Index to, const Difference::Relays& fell, const Difference::Relays& own,
                         const auto& on) {
    const std::size_t cell = blocks_.cell(from, to / kLanes), lane = to % kLanes;
    if (from == to || cell == 0) return;
    std::uint32_t& via = via_.cell(cell)[lane];
    std::uint16_t& over = via_relay_.cell(cell)[lane];
    constexpr std::size_t kFew = 24;  // of which one by one is cheaper than looking at all
    const auto differs = [&](std::uint16_t k) {
      return d.is_moved(k, to) || std::binary_search(own.begin(), own.end(), k);
    };
    const Least old{via, over};
    const auto sum = [&](std::uint16_t k) { return out_[from][k] + on(k); };
    Least now = old;
    if (fell.size() + own.size() > kFew ||
        (old.over != kNoRelay && differs(old.over) && sum(old.over) > old.cost)) {
      now.cost = kernels_.least(out_[from], on_turned_[to], out_.stride(), now.over);
    } else {
      for (const auto* terms : {&fell, &own})
        for (const std::uint16_t k : *terms) now.offer(sum(k), k);
    }
    if (now.cost != old.cost || now.over != old.over || (now.over != kNoRelay && differs(now.over))) {
      d.best[cell] |= Difference::bit(to);
      __builtin_prefetch(&ways_[from][to]);  // read soon, and far from all others
      __builtin_prefetch(direct_.cell(cell) + lane);
    }
    if (now.cost == old.cost && now.over == old.over) return;
    if (old.over != kNoRelay) --uses_[from][old.over];
    if (now.over != kNoRelay) ++uses_[from][now.over];
    via = now.cost;
    over = now.over;
  };
  // False where no way into a column can be cheaper than the known one. Its cheaper ones end with a changed link a → to, so
  // they cost what leads to a at least: out, or via and a's work; via_ is that before or after, both are no more.
  const auto may_fall = [&](Index from, Index to, const Difference::Relays& own) {
    if (!own.empty()) return true;
    const std::uint32_t known = via_(from, to);
    for (const std::uint16_t relay : d.columns.at(to)) {
      const Index at = node_of(relay);
      if (at == from || d.columns.contains(at)) return true;
      if (std::min(out_[from][relay], via_(from, at) + objective_.relay_us) + in_[to][relay] <= known)
        return true;
    }
    return std::any_of(d.moved_rows.begin(), d.moved_rows.end(),
                       [&](std::uint16_t k) { return out_[from][k] + on_turned_[to][k] <= known; });
  };
  const auto headend = [&](Index from) {
    const auto row = d.rows.find(from);
    const Difference::Relays& own = row == d.rows.end() ? none : row->second;
    if (from + 1u < n) {  // far from each other, so asked for one headend ahead
      for (const auto& [to, fell] : d.fell_at) {
        __builtin_prefetch(&via_(from + 1, to));
        __builtin_prefetch(&via_relay_(from + 1, to));
        __builtin_prefetch(&ways_[from + 1][to]);
      }
      for (const std::uint16_t relay : d.moved_rows) {
        __builtin_prefetch(&out_[from + 1][relay]);
        __builtin_prefetch(&uses_[from + 1][relay]);
        __builtin_prefetch(&near_place_[from + 1][relay]);
      }
    }
    for (const auto& [to, fell] : d.fell_at)
      again(from, to, may_fall(from, to, own) ? fell : none, own,
            [row = on_turned_[to]](std::uint16_t k) { return row[k]; });
    const std::size_t begin = blocks_.begin(from), end = blocks_.end(from);
    std::vector<Lanes> look(end - begin, 0);
    const auto look_for = [&](std::uint16_t relay, const Lanes* which, bool cheaper, bool dearer) {
      const std::uint32_t base = out_[from][relay];
      const bool used = dearer && uses_[from][relay] != 0;
      cheaper = cheaper && base != kNoWay;
      if (!used && !cheaper) return;
      for (std::size_t cell = begin; cell < end; ++cell) {
        const std::size_t block = blocks_.block_of(cell);
        const Lanes here = (which == nullptr ? ~Lanes{0} : which[block]) & elsewhere[block];
        if (here == 0) continue;
        Lanes& found = look[cell - begin];
        // base − 1: a sum that equals the known one counts too: it may be the same way, and the lower relay wins.
        if (cheaper) found |= kernels_.below(base - 1, on_[relay] + block * kLanes, via_.cell(cell)) & here;
        if (used) found |= kernels_.same(relay, via_relay_.cell(cell)) & here;
        if (found != 0) __builtin_prefetch(via_relay_.cell(cell));
      }
    };
    for (const std::uint16_t relay : own) look_for(relay, nullptr, true, true);
    for (const std::uint16_t relay : d.moved_rows) {
      // Over a link that is cheaper now it leads nowhere that the link's far end does not lead at less.
      const std::uint32_t* on = out_[node_of(relay)];
      const auto& over = d.rows.find(node_of(relay))->second;
      const bool leads = d.fell[relay] && std::any_of(over.begin(), over.end(), [&](std::uint16_t next) {
                           return out_[from][relay] + on[next] <= out_[from][next];
                         });
      look_for(relay, d.moved[relay], leads, d.other[relay] || !d.fell[relay]);
    }
    for (std::size_t cell = begin; cell < end; ++cell) {
      for (Lanes left = look[cell - begin]; left != 0; left &= left - 1) {
        const auto to = static_cast<Index>(blocks_.block_of(cell) * kLanes +
                                           static_cast<std::size_t>(std::countr_zero(left)));
        if (to < n) again(from, to, d.moved_rows, own, [&](std::uint16_t k) { return on_[k][to]; });
      }
    }
  };

  // 4. Which pairs choose anew, and the ways themselves.
  std::atomic<std::size_t> different{0};
  for_rows(n, [&](std::size_t row) {
    const auto from = static_cast<Index>(row);
    headend(from);
    for (const auto& [to, over] : d.columns) {
      const std::size_t cell = blocks_.cell(from, to / kLanes);
      if (cell != 0 &&
          std::any_of(over.begin(), over.end(), [&](std::uint16_t k) { return is_near(from, k); }))
        d.dirty[cell] |= Difference::bit(to);
    }
    for (const std::uint16_t relay : d.moved_rows) {
      if (!is_near(from, relay)) continue;
      for (std::size_t cell = blocks_.begin(from); cell < blocks_.end(from); ++cell)
        d.dirty[cell] |= marks_[cell].further & d.moved[relay][blocks_.block_of(cell)];
    }
    for (const auto& [to, over] : d.columns) {
      const std::size_t cell = blocks_.cell(from, to / kLanes);
      if ((marks_[cell].further & Difference::bit(to)) == 0) continue;
      if (std::any_of(near_[from].begin(), near_[from].end(),
                      [&, at = to](const Near& near) { return d.is_moved(near.relay, at); }))
        d.dirty[cell] |= Difference::bit(to);
    }
    if (objective_.limited()) {
      for (const auto& [a, b] : changed) {
        const std::uint16_t first = relay_of_[a], second = relay_of_[b];
        for (std::size_t cell = blocks_.begin(from); cell < blocks_.end(from); ++cell) {
          const Lanes here = marks_[cell].constrained;
          if (here == 0) continue;
          const std::size_t block = blocks_.block_of(cell);
          if (a == from) d.dirty[cell] |= here;
          if (b / kLanes == block) d.dirty[cell] |= here & Difference::bit(b);
          if (first == kNoRelay || second == kNoRelay) continue;
          for (Lanes left = here & ~d.dirty[cell]; left != 0; left &= left - 1) {
            const auto lane = static_cast<std::size_t>(std::countr_zero(left));
            if (concerns(from, static_cast<Index>(block * kLanes + lane), first, second))
              d.dirty[cell] |= left & -left;
          }
        }
      }
    }
    std::size_t here = 0;
    for (std::size_t cell = blocks_.begin(from); cell < blocks_.end(from); ++cell)
      if (const Lanes best = d.best[cell] & ~d.dirty[cell]; best != 0)
        d.dirty[cell] |= choose_after_best(from, blocks_.block_of(cell), best, here);
    different += here;
  });

  // A block of endpoints at a time, as when everything is chosen: ways to it stay in the cache for all headends.
  constexpr std::size_t kParts = 7;  // of its headends, so that no thread gets all of a busy block
  parallel_(blocks() * kParts, [&](std::size_t task) {
    const std::size_t block = task / kParts, part = task % kParts;
    std::size_t here = 0;
    std::array<Ways, kLanes> before;
    const auto rows = blocks_.rows_of(block);
    for (std::size_t row = rows.size() * part / kParts; row < rows.size() * (part + 1) / kParts; ++row) {
      const Index from = rows[row];
      const Lanes dirty = d.dirty[blocks_.cell(from, block)];
      if (dirty == 0) continue;
      const auto each = [&](const auto& look) {  // of the dirty ones that are nodes
        for (Lanes left = dirty; left != 0; left &= left - 1) {
          const auto lane = static_cast<std::size_t>(std::countr_zero(left));
          if (block * kLanes + lane < n) look(before[lane], block * kLanes + lane);
        }
      };
      each([&](Ways& was, std::size_t to) { was = ways_[from][to]; });
      choose(from, block, dirty);
      each([&](const Ways& was, std::size_t to) { here += ways_[from][to] != was; });
    }
    different += here;
  });
  return different;
}

}  // namespace qanat::paths
