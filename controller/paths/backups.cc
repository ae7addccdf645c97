// CandidateTable, ranks: the exact best way, and behind it the disjoint ones.
#include <algorithm>
#include <bit>

#include "controller/paths/candidate_table.hh"

namespace qanat::paths {
namespace {

// A backup is ranked by what it shares with the ways before it, the worst kind first, then by its cost, in one number:
// what is shared stands in the three bits above kNoWay.
constexpr std::uint32_t kSharesPlane = 1u << 28;
constexpr std::uint32_t kSharesRisk = 2u << 28;
constexpr std::uint32_t kSharesRelay = 4u << 28;
constexpr std::uint32_t kSharesLink = 7u << 28;  // of a relay: the worst of what is shared there
constexpr std::uint32_t kNone = 7u << 28 | kNoWay;
constexpr std::uint32_t kDirect = 0xfffe;  // stands for a relay where there is none

}  // namespace

void CandidateTable::find_near(Index from) {
  auto& near = near_[from];
  near.clear();
  std::vector<Near> borders;
  for (std::uint16_t k = 0; k < relays(); ++k) {
    if (out_[from][k] == kNoWay) continue;
    (topology_.nodes()[node_of(k)].border ? borders : near).push_back({out_[from][k], k});
  }
  const std::size_t keep = std::min(near.size(), kNearRelays);
  std::nth_element(near.begin(), near.begin() + static_cast<std::ptrdiff_t>(keep), near.end());
  near.resize(keep);
  near.insert(near.end(), borders.begin(), borders.end());
  std::sort(near.begin(), near.end());
  if (near.size() >= kFar) near.resize(kFar - 1);  // more borders than there should be: the nearest of them
  std::fill_n(near_place_[from], relays(), kFar);
  for (std::size_t at = 0; at < near.size(); ++at)
    near_place_[from][near[at].relay] = static_cast<std::uint8_t>(at);
}

Way CandidateTable::rank1(Index from, Index to) const {
  const std::size_t cell = blocks_.cell(from, to / kLanes), lane = to % kLanes;
  const std::uint32_t direct = direct_.cell(cell)[lane];
  if (direct <= via_.cell(cell)[lane]) return direct == kNoWay ? Way{} : direct_way(plane_.cell(cell)[lane]);
  const std::uint16_t a = via_relay_.cell(cell)[lane], b = on_relay_[a][to];
  if (topology_.planes().size() == 1) {
    const std::uint8_t plane = topology_.planes()[0].value;
    return b == kNoRelay ? way_over(a, plane, plane) : way_over(a, b, plane, plane, plane);
  }
  const std::uint8_t in = plane_(from, node_of(a));
  if (b == kNoRelay) return way_over(a, in, plane_(node_of(a), to));
  return way_over(a, b, in, plane_(node_of(a), node_of(b)), plane_(node_of(b), to));
}

// Of its relays and of the lines that it goes by.
std::uint32_t CandidateTable::risks_of(Index from, Index to, Way way) const {
  const auto plane = [way](std::size_t hop) { return ids::PlaneId{way.plane(hop)}; };
  const std::size_t last = way.hops() - 1;
  const bool lines = topology_.lines_share();
  std::uint32_t risks = 0;
  if (lines) risks = topology_.end_line_risk(from, plane(0)) | topology_.end_line_risk(to, plane(last));
  for (std::size_t hop = 0; hop < last; ++hop) {
    const Index relay = node_of(hop == 0 ? way.first : way.second);
    risks |= topology_.nodes()[relay].risk;
    if (lines)
      risks |=
          topology_.relay_line_risk(relay, plane(hop)) | topology_.relay_line_risk(relay, plane(hop + 1));
  }
  return risks;
}

// But for risks.
std::uint32_t CandidateTable::overlap(Way a, Way b) const {
  std::uint32_t shared = 0;
  const std::array<std::uint16_t, 2> ra{a.first, a.second}, rb{b.first, b.second};
  const std::size_t la = a.hops() - 1, lb = b.hops() - 1;  // relays of each
  for (std::size_t i = 0; i < la; ++i)
    for (std::size_t j = 0; j < lb; ++j)
      if (ra[i] == rb[j]) shared |= kSharesRelay;
  const bool several = topology_.planes().size() > 1;
  if ((shared & kSharesRelay) == 0 && !several)
    return shared;  // a link is shared at a relay, or two direct ways are one
  for (std::size_t i = 0; i <= la; ++i) {
    for (std::size_t j = 0; j <= lb; ++j) {
      if (a.plane(i) != b.plane(j)) continue;
      if (several) shared |= kSharesPlane;
      const bool starts = i == 0 || j == 0 ? i == j : ra[i - 1] == rb[j - 1];
      const bool ends = i == la || j == lb ? i == la && j == lb : ra[i] == rb[j];
      if (starts && ends) shared |= kSharesLink;
    }
  }
  return shared;
}

// Tries a way for every endpoint of the block that it may be the best for.
template <typename Try>
void CandidateTable::sweep(std::uint32_t base, const std::uint32_t* row, const std::uint32_t* limit, Way way,
                           Try&& attempt) {
  for (Lanes hits = kernels_.below(base, row, limit); hits != 0; hits &= hits - 1) {
    const auto lane = static_cast<std::size_t>(std::countr_zero(hits));
    attempt(lane, way, base + row[lane]);
  }
}

// The cheapest within the limits, exactly; marks where that is not the cheapest of all.
Way CandidateTable::best_way(Index from, Index to) {
  const Way best = rank1(from, to);
  if (!objective_.limited()) return best;
  Lanes& constrained_here = marks(from, to / kLanes).constrained;
  const Lanes bit = Lanes{1} << to % kLanes;
  constrained_here &= ~bit;
  if (!best.exists() || cheapest_meets(from, to, best)) return best;
  constrained_here |= bit;
  return constrained(from, to);
}

void CandidateTable::choose(Index from, std::size_t block, Lanes lanes) {
  const std::size_t first = block * kLanes;
  lanes &= marks(from, block).wanted;
  if (first + kLanes > nodes()) lanes &= ~Lanes{0} >> (first + kLanes - nodes());
  if (from / kLanes == block) lanes &= ~(Lanes{1} << from % kLanes);
  if (lanes == 0) return;
  Marks& here = marks(from, block);
  here.further &= ~lanes;

  // 1. The best.
  Lanes open = 0;  // endpoints that may get another way
  for (Lanes left = lanes; left != 0; left &= left - 1) {
    const auto lane = static_cast<std::size_t>(std::countr_zero(left));
    const auto to = static_cast<Index>(first + lane);
    const Way best = best_way(from, to);
    ways_[from][to][0] = best;
    for (std::size_t rank = 1; rank < kMaxLists; ++rank) ways_[from][to][rank] = Way{};
    if (best.exists()) open |= Lanes{1} << lane;
  }

  // 2. The others: on one plane mostly three that share nothing; else one rank after the other.
  const Lanes existing = open;
  if (topology_.planes().size() == 1) {
    if (std::popcount(open) > 4) {
      open = choose_disjoint(from, first, open);
    } else {
      for (Lanes left = open; left != 0; left &= left - 1) {
        const auto to = static_cast<Index>(first + static_cast<std::size_t>(std::countr_zero(left)));
        if (choose_disjoint(from, to)) open &= ~(left & -left);
      }
    }
  }
  here.disjoint = (here.disjoint & ~lanes) | (existing & ~open);
  if (open != 0) choose_greedily(from, block, open);
}

// Three ways that share no relay and no risk with the best one nor with each other, cheapest first. Returns the endpoints
// that have not so many, for choose_greedily(): where there are three, its ranks are the same.
CandidateTable::Lanes CandidateTable::choose_disjoint(Index from, std::size_t first, Lanes lanes) {
  const auto& near = near_[from];
  Three three;
  std::fill_n(three.cost[0], 3 * kLanes, kNoWay);
  for (std::size_t lane = 0; lane < kLanes; ++lane)
    if ((lanes >> lane & 1) == 0) three.cost[2][lane] = 0;  // wants nothing

  // What the best way uses, a near relay at a time.
  std::array<Lanes, kFar> used;
  std::fill_n(used.begin(), near.size(), Lanes{0});
  Lanes used_direct = 0;
  std::array<std::uint32_t, kLanes> risk{};
  for (Lanes left = lanes; left != 0; left &= left - 1) {
    const auto lane = static_cast<std::size_t>(std::countr_zero(left));
    const Way best = ways_[from][first + lane][0];
    if (best.first == kNoRelay) used_direct |= Lanes{1} << lane;
    for (const std::uint16_t relay : {best.first, best.second}) {
      if (relay == kNoRelay) continue;
      if (is_near(from, relay)) used[near_place_[from][relay]] |= Lanes{1} << lane;
      if (risks_) risk[lane] |= topology_.nodes()[node_of(relay)].risk;
    }
  }

  if (risks_) {
    for (std::size_t at = 0; at < near.size(); ++at) {
      const std::uint32_t own = topology_.nodes()[node_of(near[at].relay)].risk;
      if (own == 0) continue;
      for (std::size_t lane = 0; lane < kLanes; ++lane)
        if ((risk[lane] & own) != 0) used[at] |= Lanes{1} << lane;
    }
  }
  // The straight way, a newcomer at nothing before all others.
  Offers offers{near, topology_.relays().data(), direct_.rows(), first, used.data(), {}, 0};
  Lanes straight = lanes & ~used_direct;
  for (std::size_t s = 0; s < beyond_.size(); ++s) {
    if (beyond_[s].empty()) continue;
    straight &= kernels_.below(0, sums_[s].block(from, first / kLanes), beyond_[s].data());
    offers.limits[offers.limit_count++] = {sums_[s].row(from), sums_[s].rows(), beyond_[s][0]};
  }
  const std::uint32_t* direct = direct_.block(from, first / kLanes);
  for (; straight != 0; straight &= straight - 1) {
    const auto lane = static_cast<std::size_t>(std::countr_zero(straight));
    if (direct[lane] == kNoWay) continue;
    three.cost[0][lane] = direct[lane];
    three.what[0][lane] = kDirect;
  }
  kernels_.offer(three, offers);

  Lanes rest = 0;
  for (Lanes left = lanes; left != 0; left &= left - 1) {
    const auto lane = static_cast<std::size_t>(std::countr_zero(left));
    const bool complete = three.cost[2][lane] < kNoWay &&
                          settle_disjoint(from, static_cast<Index>(first + lane),
                                          {three.what[0][lane], three.what[1][lane], three.what[2][lane]});
    if (!complete) rest |= Lanes{1} << lane;
  }
  return rest;
}

// The same for one endpoint: after a change it is often one of a block.
bool CandidateTable::choose_disjoint(Index from, Index to) {
  const Way best = ways_[from][to][0];
  std::uint32_t risk = 0;
  for (const std::uint16_t relay : {best.first, best.second})
    if (risks_ && relay != kNoRelay) risk |= topology_.nodes()[node_of(relay)].risk;
  std::array<std::uint32_t, 3> cost{kNoWay, kNoWay, kNoWay}, what{};
  const auto offer = [&](std::uint32_t sum, Index relay, std::uint32_t id) {
    if (sum >= cost[2]) return;
    for (std::size_t s = 0; s < beyond_.size(); ++s)
      if (!beyond_[s].empty() &&
          (relay == from ? 0 : sums_[s](from, relay)) + sums_[s](relay, to) >= beyond_[s][0])
        return;
    std::size_t at = 2;
    for (; at > 0 && sum < cost[at - 1]; --at) {
      cost[at] = cost[at - 1];
      what[at] = what[at - 1];
    }
    cost[at] = sum;
    what[at] = id;
  };
  if (best.first != kNoRelay) offer(direct_(from, to), from, kDirect);
  for (const Near& near : near_[from]) {
    if (near.cost_us >= cost[2]) break;
    if (near.relay == best.first || near.relay == best.second) continue;
    const Index relay = node_of(near.relay);
    if (risk != 0 && (topology_.nodes()[relay].risk & risk) != 0) continue;
    offer(near.cost_us + in_[to][near.relay], relay, near.relay);
  }
  return cost[2] < kNoWay && settle_disjoint(from, to, what);
}

// False when two of them share a risk.
bool CandidateTable::settle_disjoint(Index from, Index to, const std::array<std::uint32_t, 3>& what) {
  if (risks_) {
    std::uint32_t seen = 0;
    for (const std::uint32_t relay : what) {
      const std::uint32_t own = relay == kDirect ? 0 : topology_.nodes()[node_of(relay)].risk;
      if ((seen & own) != 0) return false;
      seen |= own;
    }
  }
  const std::uint8_t plane = topology_.planes()[0].value;
  for (std::size_t rank = 1; rank < kMaxLists; ++rank) {
    const std::uint32_t relay = what[rank - 1];
    ways_[from][to][rank] =
        relay == kDirect ? direct_way(plane) : way_over(static_cast<std::uint16_t>(relay), plane, plane);
  }
  return true;
}

void CandidateTable::choose_greedily(Index from, std::size_t block, Lanes open) {
  const std::size_t first = block * kLanes;
  const std::size_t planes = topology_.planes().size();
  const auto flat = [&](std::size_t p) -> const PairGrid<std::uint32_t>& {
    return flat_.empty() ? direct_ : flat_[p];
  };
  const auto plane = [&](std::size_t p) { return topology_.planes()[p].value; };
  alignas(64) std::uint32_t limit[kLanes];
  Way found[kLanes];
  for (std::size_t rank = 1; rank < kMaxLists && open != 0; ++rank) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      limit[lane] = (open >> lane & 1) != 0 ? kNone : 0;
      found[lane] = Way{};
    }
    const auto attempt = [&](std::size_t lane, Way way, std::uint32_t cost) {
      if (cost >= kNoWay) return;
      const auto to = static_cast<Index>(first + lane);
      std::uint32_t key = cost;
      const std::uint32_t risks = risks_ ? risks_of(from, to, way) : 0;
      for (std::size_t before = 0; before < rank; ++before) {
        const Way other = ways_[from][to][before];
        if (other == way) return;
        key |= overlap(way, other);
        if (risks != 0 && (risks & risks_of(from, to, other)) != 0) key |= kSharesRisk;
      }
      if (key >= limit[lane]) return;
      if (objective_.limited() && !sums(from, to, way).meets(objective_)) return;
      limit[lane] = key;
      found[lane] = way;
    };
    for (std::size_t p = 0; p < planes; ++p)
      sweep(0, flat(p).block(from, block), limit, direct_way(plane(p)), attempt);
    for (const Near& near : near_[from]) {
      const Index relay = node_of(near.relay);
      for (std::size_t p = 0; p < planes; ++p) {
        const std::uint32_t in = flat(p)(from, relay);
        if (in == kNoWay) continue;
        for (std::size_t q = 0; q < planes; ++q)
          sweep(in + objective_.relay_us, flat(q).block(relay, block), limit,
                way_over(near.relay, plane(p), plane(q)), attempt);
      }
    }
    // 3. Over two relays where nothing shorter is disjoint.
    Lanes shared = 0;
    for (std::size_t lane = 0; lane < kLanes; ++lane)
      if (limit[lane] >= kSharesRelay) shared |= Lanes{1} << lane;
    if (shared != 0) {
      marks(from, block).further |= shared;
      alignas(64) std::uint32_t further[kLanes];
      for (std::size_t lane = 0; lane < kLanes; ++lane)
        further[lane] = (shared >> lane & 1) != 0 ? limit[lane] : 0;
      for (const Near& near : near_[from]) {
        const Index relay = node_of(near.relay);
        const auto longer = [&](std::size_t lane, Way, std::uint32_t cost) {
          const auto to = static_cast<Index>(first + lane);
          const std::uint16_t second = on_relay_[near.relay][to];
          if (second == kNoRelay || node_of(second) == from || to == relay) return;
          attempt(lane,
                  way_over(near.relay, second, plane_(from, relay), plane_(relay, node_of(second)),
                           plane_(node_of(second), to)),
                  cost);
          further[lane] = limit[lane];
        };
        sweep(near.cost_us, on_[near.relay] + first, further, Way{}, longer);
      }
    }
    for (Lanes left = open; left != 0; left &= left - 1) {
      const auto lane = static_cast<std::size_t>(std::countr_zero(left));
      ways_[from][first + lane][rank] = found[lane];
      if (!found[lane].exists()) open &= ~(Lanes{1} << lane);
    }
  }
}

}  // namespace qanat::paths
