#include "controller/paths/candidate_table.hh"

#include <algorithm>

namespace qanat::paths {

using topology::PlaneLink;

void one_after_another(std::size_t tasks, const std::function<void(std::size_t)>& work) {
  for (std::size_t task = 0; task < tasks; ++task) work(task);
}

CandidateTable::CandidateTable(const topology::Topology& topology, const Objective& objective,
                               const MinPlus& kernels, Parallel parallel)
    : topology_(topology), objective_(objective), kernels_(kernels), parallel_(std::move(parallel)) {
  const std::size_t n = nodes(), r = relays();
  out_ = {n, r, kNoWay};
  in_ = {n, r, kNoWay};
  on_ = {r, n, kNoWay};
  on_turned_ = {n, r, kNoWay};
  on_relay_ = {r, n, kNoRelay};
  uses_ = {n, r, 0};
  ways_ = WayTable(n);
  near_.resize(n);
  near_place_ = {n, r, kFar};
  no_way_.assign(padded(n), kNoWay);
  relay_of_.assign(n, kNoRelay);
  for (std::size_t k = 0; k < r; ++k) relay_of_[node_of(k)] = static_cast<std::uint16_t>(k);
  risks_ = topology.lines_share();
  for (const Index relay : topology.relays()) risks_ |= topology.nodes()[relay].risk != 0;
}

void CandidateTable::want(std::span<const std::pair<Index, Index>> pairs) {
  wanted_.emplace(pairs.begin(), pairs.end());
}

// Once: what was wanted does not change.
void CandidateTable::make_room() {
  if (blocks_.nodes() != 0) return;
  const std::size_t n = nodes();
  const std::size_t columns = padded(n) / kLanes;
  std::vector<bool> some(wanted_ ? n * columns : 0);
  if (wanted_)
    for (const auto& [from, to] : *wanted_) some[from * columns + to / kLanes] = true;
  blocks_ = PairBlocks(n, relays(), [&](std::size_t from, std::size_t block) {
    return !wanted_ || some[from * columns + block];
  });
  marks_.assign(blocks_.cells(), Marks{.wanted = wanted_ ? 0 : ~Lanes{0}});
  marks_[0].wanted = 0;
  if (wanted_)
    for (const auto& [from, to] : *wanted_) marks(from, to / kLanes).wanted |= Lanes{1} << to % kLanes;

  direct_ = {blocks_, kNoWay};
  plane_ = {blocks_, std::uint8_t{0}};
  if (topology_.planes().size() > 1)
    for (std::size_t p = 0; p < topology_.planes().size(); ++p) flat_.emplace_back(blocks_, kNoWay);
  via_ = {blocks_, kNoWay};
  via_relay_ = {blocks_, kNoRelay};
  ways_.make([this](std::size_t from, std::size_t block) {
    return marks(static_cast<Index>(from), block).wanted != 0;
  });
  if (!objective_.limited()) return;
  least_out_.resize(n);
  least_in_.resize(n);
  const std::array<std::uint32_t, 3> most{objective_.most_rtt_us, objective_.most_loss_ppm,
                                          objective_.most_jitter_us};
  for (std::size_t s = 0; s < most.size(); ++s) {
    if (most[s] == 0) continue;
    sums_[s] = {blocks_, kNoWay};
    beyond_[s].assign(kLanes, std::min(most[s], kNoWay - 1) + 1);
  }
}

std::size_t CandidateTable::pair_bytes() const {
  const std::size_t planes = topology_.planes().size(), limits = objective_.limited() ? 3 : 0;
  const std::size_t pair = 2 * sizeof(std::uint32_t) + sizeof(std::uint8_t) + sizeof(std::uint16_t) +
                           ((planes > 1 ? planes : 0) + limits) * sizeof(std::uint32_t);
  return blocks_.cells() * (kLanes * pair + sizeof(Marks)) + blocks_.bytes();
}

void CandidateTable::build() {
  for (const Stage stage : kStages) run(stage);
}

// A task is as many rows as the widest product takes at a time, so that rows of one task share what they read.
void CandidateTable::for_rows(std::size_t rows, const std::function<void(std::size_t)>& work) const {
  constexpr std::size_t kRows = 16;
  parallel_((rows + kRows - 1) / kRows, [&](std::size_t task) {
    for (std::size_t i = task * kRows; i < std::min(rows, (task + 1) * kRows); ++i) work(i);
  });
}

// A cache line of every row at a time.
void CandidateTable::turn(const std::function<const std::uint32_t*(std::size_t)>& row_of,
                          Grid<std::uint32_t>& to) const {
  constexpr std::size_t kLine = 16;
  parallel_((nodes() + kLine - 1) / kLine, [&](std::size_t task) {
    const std::size_t first = task * kLine, end = std::min(nodes(), first + kLine);
    for (std::size_t k = 0; k < relays(); ++k) {
      const std::uint32_t* row = row_of(k);
      for (std::size_t j = first; j < end; ++j) to[j][k] = row[j];
    }
  });
}

void CandidateTable::run(Stage stage) {
  const std::size_t n = nodes(), r = relays();
  if (n == 0) return;  // nobody has enrolled yet
  // Products go by large strips of rows: each prepares its right side once.
  const auto products = [&](std::size_t rows, const auto& product) {
    const std::size_t strip = std::max<std::size_t>(64, (rows + 7) / 8 / 4 * 4);
    parallel_((rows + strip - 1) / strip,
              [&](std::size_t task) { product(task * strip, std::min(strip, rows - task * strip)); });
  };
  switch (stage) {
    case Stage::Load:
      make_room();
      for_rows(n, [&](std::size_t i) {
        for (std::size_t cell = blocks_.begin(i); cell < blocks_.end(i); ++cell) {
          const std::size_t first = blocks_.block_of(cell) * kLanes;
          for (std::size_t j = first; j < std::min(n, first + kLanes); ++j)
            load_link(static_cast<Index>(i), static_cast<Index>(j));
        }
      });
      turn([this](std::size_t k) { return direct_.row(node_of(k)); }, in_);
      for_rows(n, [&](std::size_t j) {
        load_least_out(static_cast<Index>(j));
        load_least_in(static_cast<Index>(j));
        find_near(static_cast<Index>(j));
      });
      break;
    case Stage::On: {
      std::vector<const std::uint32_t*> left(padded(r), out_[0]), right(padded(r), no_way_.data());
      for (std::size_t k = 0; k < r; ++k) {
        left[k] = out_[node_of(k)];
        right[k] = direct_.row(node_of(k));
      }
      products(r, [&](std::size_t k, std::size_t rows) {
        kernels_.product(left.data() + k, rows, right.data(), in_.rows(), out_.stride(), blocks() * kLanes,
                         on_.rows() + k, on_relay_.rows() + k);
      });
      for_rows(r, [&](std::size_t k) {
        const std::uint32_t* straight = direct_.row(node_of(k));
        for (Index j = 0; j < n; ++j) {
          if (straight[j] > on_[k][j]) continue;
          on_[k][j] = straight[j];
          on_relay_[k][j] = kNoRelay;
        }
        on_[k][node_of(k)] = kNoWay;
      });
      turn([this](std::size_t k) { return on_[k]; }, on_turned_);
      break;
    }
    case Stage::Via: {
      // All of a row at once, or what there is of it one by one.
      std::vector<const std::uint32_t*> left;
      std::vector<std::uint32_t*> cost;
      std::vector<std::uint16_t*> over;
      std::vector<Index> some;
      for (Index i = 0; i < n; ++i) {
        if (!blocks_.full(i)) {
          some.push_back(i);
          continue;
        }
        left.push_back(out_[i]);
        cost.push_back(via_.row(i));
        over.push_back(via_relay_.row(i));
      }
      products(left.size(), [&](std::size_t i, std::size_t rows) {
        kernels_.product(left.data() + i, rows, on_.rows(), on_turned_.rows(), out_.stride(),
                         blocks() * kLanes, cost.data() + i, over.data() + i);
      });
      for_rows(some.size(), [&](std::size_t row) {
        const Index i = some[row];
        for (std::size_t cell = blocks_.begin(i); cell < blocks_.end(i); ++cell) {
          const std::size_t first = blocks_.block_of(cell) * kLanes;
          for (std::size_t lane = 0; lane < std::min(kLanes, n - first); ++lane)
            via_.cell(cell)[lane] =
                kernels_.least(out_[i], on_turned_[first + lane], out_.stride(), via_relay_.cell(cell)[lane]);
        }
      });
      for_rows(n, [&](std::size_t i) {
        if (blocks_.has(i, i)) {
          via_(i, i) = kNoWay;
          via_relay_(i, i) = kNoRelay;
        }
        std::fill_n(uses_[i], r, std::uint16_t{0});
        for (std::size_t cell = blocks_.begin(i); cell < blocks_.end(i); ++cell) {
          const std::uint16_t* relay = via_relay_.cell(cell);
          for (std::size_t lane = 0; lane < std::min(kLanes, n - blocks_.block_of(cell) * kLanes); ++lane)
            if (relay[lane] != kNoRelay) ++uses_[i][relay[lane]];
        }
      });
      break;
    }
    case Stage::Choose:
      // A block of endpoints at a time: what leads to them from all relays stays in the cache for all headends.
      parallel_(blocks(), [&](std::size_t block) {
        for (const Index i : blocks_.rows_of(block)) choose(i, block, ~Lanes{0});
      });
      break;
  }
}

// Nothing where there is no room for the pair: nobody wants it, and it leads over no relay.
void CandidateTable::load_link(Index from, Index to) {
  const std::size_t cell = blocks_.cell(from, to / kLanes), lane = to % kLanes;
  if (cell == 0) return;
  std::uint32_t best = kNoWay;
  std::uint8_t plane = 0;
  if (from != to) {
    const auto links = topology_.links(from, to);
    for (std::size_t p = 0; p < links.size(); ++p) {
      const std::uint32_t cost = objective_.cost(links[p]);
      if (!flat_.empty()) flat_[p].cell(cell)[lane] = cost;
      if (cost >= best) continue;
      best = cost;
      plane = links[p].plane.value;
    }
  }
  direct_.cell(cell)[lane] = best;
  plane_.cell(cell)[lane] = plane;
  if (objective_.limited() && from != to) {
    const PlaneLink link = plane == 0 ? PlaneLink{} : topology_.link(from, to, ids::PlaneId{plane});
    const std::array<std::uint32_t, 3> sums{link.rtt_us, link.loss_ppm, link.jitter_us};
    for (std::size_t s = 0; s < sums.size(); ++s)
      if (!beyond_[s].empty()) sums_[s].cell(cell)[lane] = plane == 0 ? kNoWay : std::min(sums[s], kNoWay);
  }
  const std::uint16_t relay = relay_of_[to];
  if (relay == kNoRelay) return;
  const bool usable = best != kNoWay && objective_.allows(topology_.nodes()[to]);
  out_[from][relay] = usable ? std::min(best + objective_.relay_us, kNoWay) : kNoWay;
}

// The best way on from a relay to one node, as the product gives it.
void CandidateTable::go_on(std::size_t relay, Index to) {
  const Index at = node_of(relay);
  if (at == to) return;
  on_[relay][to] = kernels_.least(out_[at], in_[to], out_.stride(), on_relay_[relay][to]);
  const std::uint32_t straight = direct_(at, to);
  if (straight > on_[relay][to]) return;
  on_[relay][to] = straight;
  on_relay_[relay][to] = kNoRelay;
}

std::uint32_t CandidateTable::cost(Index from, Index to, Way way) const {
  if (!way.exists()) return kNoWay;
  std::uint64_t sum = 0;
  Index at = from;
  for (std::size_t hop = 0; hop < way.hops(); ++hop) {
    const bool last = hop + 1 == way.hops();
    const Index next = last ? to : node_of(hop == 0 ? way.first : way.second);
    sum += objective_.cost(topology_.link(at, next, ids::PlaneId{way.plane(hop)})) +
           (last ? 0 : objective_.relay_us);
    at = next;
  }
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(sum, kNoWay));
}

Route CandidateTable::route(Way way) const {
  Route out;
  out.relay_count = static_cast<std::uint8_t>(way.hops() - 1);
  for (std::size_t hop = 0; hop < way.hops(); ++hop) {
    out.planes[hop] = ids::PlaneId{way.plane(hop)};
    if (hop > 0) out.relays[hop - 1] = topology_.nodes()[node_of(hop == 1 ? way.first : way.second)].id;
  }
  return out;
}

Choices CandidateTable::lists(Index from, Index to) const {
  Choices out;
  for (std::size_t rank = 0; rank < kMaxLists; ++rank) {
    const Way found = way(from, to, rank);
    if (!found.exists()) break;
    out.push_back({route(found), cost(from, to, found)});
  }
  return out;
}

}  // namespace qanat::paths
