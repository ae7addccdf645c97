// CandidateTable, backups after another best way: what the old ones already say about the new ones. A change of a busy link
// gives tens of thousands of pairs another best way and leaves everything else of theirs as it was.
#include <array>
#include <bit>
#include <compare>

#include "controller/paths/candidate_table.hh"

namespace qanat::paths {

CandidateTable::Lanes CandidateTable::choose_after_best(Index from, std::size_t block, Lanes lanes,
                                                        std::size_t& different) {
  lanes &= marks(from, block).wanted;
  Lanes anew = 0, other = 0;
  std::array<Way, kLanes> best;
  const auto each = [&](Lanes left, const auto& look) {
    for (; left != 0; left &= left - 1) {
      const auto lane = static_cast<std::size_t>(std::countr_zero(left));
      look(lane, static_cast<Index>(block * kLanes + lane));
    }
  };
  each(lanes, [&](std::size_t lane, Index to) {
    best[lane] = best_way(from, to);
    const Ways& ways = ways_[from][to];
    if (best[lane] == ways[0]) return;  // the rest follows from it and from what is as before
    other |= Lanes{1} << lane;
    for (const std::uint16_t relay :
         {ways[0].first, ways[0].second, ways[1].first, ways[2].first, ways[3].first})
      if (relay != kNoRelay) __builtin_prefetch(&direct_(node_of(relay), to));
  });
  each(other, [&](std::size_t lane, Index to) {
    if ((marks(from, block).disjoint >> lane & 1) != 0 && best[lane].exists() &&
        replace_best(from, to, best[lane])) {
      ++different;
    } else {
      anew |= Lanes{1} << lane;
    }
  });
  return anew;
}

// The three cheapest that share nothing with the best way, from the three that share nothing with the old one: without those
// that the new one uses, with those that only the old one used. What else there is costs more than the third did; false where
// that would be needed.
bool CandidateTable::replace_best(Index from, Index to, Way best) {
  if (risks_) return false;
  struct Backup {
    std::uint32_t cost = kNoWay;
    std::uint32_t order = 0;  // of ties: the direct way, then relays as they are near
    std::uint16_t relay = kNoRelay;
    auto operator<=>(const Backup&) const = default;
  };
  const auto over = [&](std::uint16_t relay) -> Backup {
    if (relay == kNoRelay) return {direct_(from, to), 0, relay};
    const std::uint8_t place = near_place_[from][relay];
    return {near_[from][place].cost_us + direct_(node_of(relay), to), 1u + place, relay};
  };
  const auto uses = [](Way way, std::uint16_t relay) {
    return relay == kNoRelay ? way.hops() == 1 : relay == way.first || relay == way.second;
  };
  const auto within_limits = [&](std::uint16_t relay) {
    const Index at = relay == kNoRelay ? from : node_of(relay);
    for (std::size_t s = 0; s < beyond_.size(); ++s)
      if (!beyond_[s].empty() && (at == from ? 0 : sums_[s](from, at)) + sums_[s](at, to) >= beyond_[s][0])
        return false;
    return true;
  };

  Ways& ways = ways_[from][to];
  const Way old = ways[0];
  std::array<std::uint16_t, 2> freed;
  std::size_t freed_count = 0, lost = 0;
  for (const std::uint16_t relay : {old.first, old.second}) {
    if (relay == kNoRelay && old.hops() > 1) continue;  // not the direct way: no second relay
    if (!uses(best, relay) && (relay == kNoRelay || is_near(from, relay))) freed[freed_count++] = relay;
    if (relay == kNoRelay) break;
  }
  for (std::size_t rank = 1; rank < kMaxLists; ++rank) lost += uses(best, ways[rank].first);
  if (lost > freed_count) return false;
  if (freed_count == 0) {
    ways[0] = best;
    return true;
  }

  std::array<Backup, kMaxLists + 1> backups;
  std::size_t count = 0;
  const auto keep = [&](const Backup& backup) {  // in order
    std::size_t at = count++;
    for (; at > 0 && backup < backups[at - 1]; --at) backups[at] = backups[at - 1];
    backups[at] = backup;
  };
  const Backup third = over(ways[kMaxLists - 1].first);
  for (std::size_t at = 0; at < freed_count; ++at) {
    const Backup free = over(freed[at]);
    if (free < third && free.cost < kNoWay && within_limits(freed[at])) keep(free);
  }
  if (count < lost) return false;
  if (count != 0) {
    for (std::size_t rank = 1; rank < kMaxLists; ++rank)
      if (const std::uint16_t relay = ways[rank].first; !uses(best, relay)) keep(over(relay));
    const std::uint8_t plane = topology_.planes()[0].value;
    for (std::size_t rank = 1; rank < kMaxLists; ++rank) {
      const std::uint16_t relay = backups[rank - 1].relay;
      ways[rank] = relay == kNoRelay ? direct_way(plane) : way_over(relay, plane, plane);
    }
  }
  ways[0] = best;
  return true;
}

}  // namespace qanat::paths
