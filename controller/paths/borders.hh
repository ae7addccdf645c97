// Borders: the relays that the global level works with (DESIGN §7: N × R instead of N²). Real networks have few relays that
// many pairs gain by: those used most.
#pragma once

#include <set>
#include <span>
#include <vector>

#include "base/time.hh"
#include "controller/paths/candidate_table.hh"

namespace qanat::paths {

inline constexpr std::size_t kMostBorders = 64;

// At most `count` relays, those on the most best ways of all wanted pairs, ties to the lower index; ascending. Those of `held`
// (ascending) are given up only for relays that are on more than 5/4 times as many.
std::vector<Index> choose_borders(const CandidateTable& table, std::size_t count = kMostBorders,
                                  std::span<const Index> held = {});

// From election to election. Up to kMostBorders relays all are borders; of more, choose_borders() says which, anew when
// the relays or the number of pairs are others, and after a term: first of kFirstTerm, because measurements come in, then
// each twice as long, up to kLongestTerm.
class Borders {
 public:
  using Pair = std::pair<std::uint32_t, std::uint32_t>;  // node numbers: headend, endpoint
  static constexpr base::Duration kFirstTerm = std::chrono::seconds(10);
  static constexpr base::Duration kLongestTerm = std::chrono::minutes(10);

  // Those that were borders before a restart, as far as lists in force show.
  void adopt(std::uint32_t relay) { held_.insert(relay); }
  // The term is over: settle() would elect.
  bool due(base::Time now) const { return elected_ && now >= until_; }
  // `nodes` come with all relays that may carry, ids distinct; those that are not borders leave as none. Ways of `pairs`
  // count. True: an election changed the borders.
  bool settle(std::vector<topology::Node>& nodes, std::span<const telemetry::Link> links,
              const std::set<Pair>& pairs, const Objective& objective, base::Time now);
  const std::set<std::uint32_t>& held() const { return held_; }
  bool may_carry(std::uint32_t relay) const { return !elected_ || held_.contains(relay); }

 private:
  void elect(const std::vector<topology::Node>& nodes, std::span<const telemetry::Link> links,
             const std::set<Pair>& pairs, const Objective& objective);

  std::set<std::uint32_t> held_;    // node numbers
  std::set<std::uint32_t> relays_;  // that the last settle() saw
  std::size_t pairs_ = 0;           // likewise
  bool elected_ = false;            // the last settle() had more relays than may be borders
  base::Time until_{};
  base::Duration term_ = kFirstTerm;
};

}  // namespace qanat::paths
