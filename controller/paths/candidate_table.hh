// Stage A of path computation: for every pair of nodes up to four ways over at most two relays, with their costs, a pure
// function of one topology and one objective. Rank 1 is exact: the cheapest way that meets every limit. The others are
// chosen greedily: disjoint first, then cheap.
//
//   load    costs of links under the objective                 direct[i][j], out[i][k] to relay k with its work
//   on      the best way on from relay k, over one more relay  on[k][j] = min(direct[k][j], min over b of out[k][b] + direct[b][j])
//   via     the best way over relays                           via[i][j] = min over k of out[i][k] + on[k][j]
//   choose  rank 1 = min(direct, via), limits checked; ranks 2–4
//
// On and out are N × R; direct, via and the ways are of the pairs that are wanted, of those that begin or end at a relay, and
// of some beside them (pair_grid.hh).
//
// Ties of cost: the direct way, then the lower first relay, then no second relay, then the lower one; the lower plane.
#pragma once

#include <array>
#include <bit>
#include <functional>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "controller/paths/grid.hh"
#include "controller/paths/objective.hh"
#include "controller/paths/pair_grid.hh"
#include "controller/paths/segment_route.hh"
#include "controller/paths/way_table.hh"

namespace qanat::paths {

using topology::Index;

// Backups go over borders and over this many relays nearest to the headend.
inline constexpr std::size_t kNearRelays = 16;

// Runs work(0) … work(tasks − 1), possibly several at a time; the caller's, because a core starts no threads.
using Parallel = std::function<void(std::size_t tasks, const std::function<void(std::size_t)>& work)>;
void one_after_another(std::size_t tasks, const std::function<void(std::size_t)>& work);

class CandidateTable {
 public:
  static constexpr std::size_t kMostNodes = 65'535;
  // The topology outlives it; at most kMostNodes. Empty until build().
  CandidateTable(const topology::Topology& topology, const Objective& objective,
                 const MinPlus& kernels = min_plus(), Parallel parallel = one_after_another);

  // Only these pairs get ways (without it all do): those that policy permits. Before build().
  void want(std::span<const std::pair<Index, Index>> pairs);

  enum class Stage : std::uint8_t { Load, On, Via, Choose };
  static constexpr std::array<Stage, 4> kStages{Stage::Load, Stage::On, Stage::Via, Stage::Choose};
  // All stages, in order; run() one of them, for who wants to know what each takes.
  void build();
  void run(Stage stage);

  using Link = std::pair<Index, Index>;
  // The links of these pairs of nodes are different now. Leaves the same bytes as build(). Returns how many pairs of
  // nodes got other ways.
  std::size_t update(std::span<const Link> changed);

  const Objective& objective() const { return objective_; }
  const topology::Topology& topology() const { return topology_; }
  // Calls with the ends of every wanted pair, headend by headend.
  template <typename F>
  void each_wanted(F&& with) const;
  // Of memory: what ways take, and what stands for the nets that they are found in.
  std::size_t way_bytes() const { return ways_.bytes(); }
  std::size_t pair_bytes() const;
  // Null where neither relays nor lines share a risk.
  const topology::Topology* risky() const { return risks_ ? &topology_ : nullptr; }
  // rank 0 … kMaxLists − 1; ways of one pair exist up to some rank and not beyond.
  Way way(Index from, Index to, std::size_t rank) const { return ways_[from][to][rank]; }
  std::uint32_t cost(Index from, Index to, Way way) const;
  Route route(Way way) const;
  // What the pair gets, best first; empty when no way meets the limits.
  Choices lists(Index from, Index to) const;

 private:
  using Lanes = std::uint64_t;  // of one block of kLanes endpoints
  static constexpr std::uint8_t kFar = 255;

  std::size_t nodes() const { return topology_.nodes().size(); }
  std::size_t relays() const { return topology_.relays().size(); }
  Index node_of(std::size_t relay) const { return topology_.relays()[relay]; }
  std::size_t blocks() const { return blocks_.blocks(); }
  void for_rows(std::size_t rows, const std::function<void(std::size_t row)>& work) const;
  // to[j][k] = row_of(k)[j] for all nodes j and relays k.
  void turn(const std::function<const std::uint32_t*(std::size_t relay)>& row_of,
            Grid<std::uint32_t>& to) const;

  void make_room();
  void load_link(Index from, Index to);
  void load_least_out(Index node);
  void load_least_in(Index node);
  Sums least_of(Index node, bool out) const;
  void find_near(Index from);
  bool is_near(Index from, std::uint16_t relay) const { return near_place_[from][relay] != kFar; }
  void go_on(std::size_t relay, Index to);

  Way rank1(Index from, Index to) const;
  Way best_way(Index from, Index to);
  void choose(Index from, std::size_t block, Lanes lanes);
  Lanes choose_disjoint(Index from, std::size_t first, Lanes lanes);
  bool choose_disjoint(Index from, Index to);
  bool settle_disjoint(Index from, Index to, const std::array<std::uint32_t, 3>& what);
  void choose_greedily(Index from, std::size_t block, Lanes lanes);
  // For pairs of which nothing but the best way may differ. Returns those that have to be chosen anew and counts the others
  // that have another best way now.
  Lanes choose_after_best(Index from, std::size_t block, Lanes lanes, std::size_t& different);
  bool replace_best(Index from, Index to, Way best);
  template <typename Try>
  void sweep(std::uint32_t base, const std::uint32_t* row, const std::uint32_t* limit, Way way,
             Try&& attempt);
  std::uint32_t overlap(Way a, Way b) const;
  std::uint32_t risks_of(Index from, Index to, Way way) const;

  // ---- limits over a whole way ----
  Sums sums(Index from, Index to, Way way) const;
  bool cheapest_meets(Index from, Index to, Way way) const;
  bool hopeless(Index from, Index to) const;
  Way constrained(Index from, Index to) const;
  Way constrained(Index from, Index to, bool near_only, std::uint64_t& least) const;
  bool concerns(Index from, Index to, std::uint16_t first, std::uint16_t second) const;

  struct Difference;

  // Of a block's pairs, a bit each.
  struct Marks {
    Lanes wanted = ~Lanes{0};
    Lanes disjoint = 0;     // that have three backups by choose_disjoint()
    Lanes further = 0;      // whose backups looked at ways over two relays
    Lanes constrained = 0;  // whose cheapest way breaks a limit
  };
  Marks& marks(Index from, std::size_t block) { return marks_[blocks_.cell(from, block)]; }

  const topology::Topology& topology_;
  Objective objective_;
  const MinPlus& kernels_;
  Parallel parallel_;
  std::optional<std::vector<Link>> wanted_;  // without it, all pairs

  // ---- made when links are loaded first ----
  PairBlocks blocks_;
  PairGrid<std::uint32_t> direct_;             // [node][node] the cheapest plane
  PairGrid<std::uint8_t> plane_;               // [node][node] that plane
  std::vector<PairGrid<std::uint32_t>> flat_;  // [plane][node][node], where there are several
  Grid<std::uint32_t> out_;                    // [node][relay] with the relay's own cost
  Grid<std::uint32_t> in_;                     // [node][relay] direct_, turned
  Grid<std::uint32_t> on_;                     // [relay][node]
  Grid<std::uint32_t> on_turned_;              // [node][relay]
  Grid<std::uint16_t> on_relay_;               // [relay][node] kNoRelay: direct
  PairGrid<std::uint32_t> via_;                // [node][node]
  PairGrid<std::uint16_t> via_relay_;          // [node][node]
  // The reverse index: how many endpoints a headend's via_ reaches over a relay first. Worse news of a relay's ways
  // concerns only headends with some.
  Grid<std::uint16_t> uses_;             // [node][relay]
  std::vector<std::vector<Near>> near_;  // [node] ascending
  Grid<std::uint8_t> near_place_;        // [node][relay] its place in near_, or kFar
  // One pair's next to each other: after a change pairs are looked at here and there, and each costs a cache line.
  using Ways = WayTable::Ways;
  WayTable ways_;                        // [node][node][rank], of blocks with wanted pairs
  std::vector<Marks> marks_;             // [cell]
  std::vector<std::uint32_t> no_way_;    // a row of kNoWay
  std::vector<std::uint16_t> relay_of_;  // [node] its index among relays, or kNoRelay
  // [rtt, loss, jitter][node][node] of the cheapest plane, capped at kNoWay, and a row of its limit + 1; where limited.
  std::array<PairGrid<std::uint32_t>, 3> sums_;
  std::array<std::vector<std::uint32_t>, 3> beyond_;
  bool risks_ = false;                      // some relay shares a risk, or some line
  std::vector<Sums> least_out_, least_in_;  // [node] the least of each sum over its links, where limits are
};

template <typename F>
void CandidateTable::each_wanted(F&& with) const {
  for (Index from = 0; from < nodes(); ++from)
    for (std::size_t cell = blocks_.begin(from); cell < blocks_.end(from); ++cell)
      for (Lanes left = marks_[cell].wanted; left != 0; left &= left - 1) {
        const auto to = static_cast<Index>(blocks_.block_of(cell) * kLanes +
                                           static_cast<std::size_t>(std::countr_zero(left)));
        if (to < nodes() && to != from) with(from, to);
      }
}

}  // namespace qanat::paths
