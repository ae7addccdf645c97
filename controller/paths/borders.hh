// Borders: the relays that the global level works with (DESIGN §7: N × R instead of N²). Real networks have few relays that
// many pairs gain by: those used most.
#pragma once

#include <map>
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
//
// Only what is measured can be elected, and boxes are to measure no more relays of other domains than kMostBorders and
// kOnTrial, however many there are: beside the borders, some others in every term, in turns. Then terms last kTrialTerm until
// everybody had its turn, and never longer than kLongestTrial.
class Borders {
 public:
  using Pair = std::pair<std::uint32_t, std::uint32_t>;  // node numbers: headend, endpoint
  static constexpr base::Duration kFirstTerm = std::chrono::seconds(10);
  static constexpr base::Duration kLongestTerm = std::chrono::minutes(10);
  static constexpr std::size_t kOnTrial = 32;
  static constexpr base::Duration kTrialTerm =
      std::chrono::seconds(20);  // until news of a relay is all there
  static constexpr base::Duration kLongestTrial = std::chrono::minutes(2);
  // Who is a border no more, or carries no more, is measured for so long: lists may still go over it.
  static constexpr base::Duration kFarewell = std::chrono::minutes(2);

  // Those that were borders before a restart, as far as lists in force show.
  void adopt(std::uint32_t relay) { held_.insert(relay); }
  // Likewise those that were measured, as far as domains were told.
  void adopt_measured(std::uint32_t relay) { trial_.insert(relay); }
  // The term is over, or a farewell: settle() would change something.
  bool due(base::Time now) const { return elected_ && (now >= until_ || now >= farewell_until_); }
  // `nodes` come with all relays that may carry, ids distinct; those that are not borders leave as none. Ways of `pairs`
  // count. True: an election changed the borders.
  bool settle(std::vector<topology::Node>& nodes, std::span<const telemetry::Link> links,
              const std::set<Pair>& pairs, const Objective& objective, base::Time now);
  const std::set<std::uint32_t>& held() const { return held_; }
  bool may_carry(std::uint32_t relay) const { return !elected_ || held_.contains(relay); }
  // Some relays are measured by their own domains alone.
  bool selects() const { return relays_.size() > kMostBorders + kOnTrial; }
  // Those that all boxes measure: all relays, unless it selects().
  std::set<std::uint32_t> measured() const;

 private:
  void elect(const std::vector<topology::Node>& nodes, std::span<const telemetry::Link> links,
             const std::set<Pair>& pairs, const Objective& objective);
  void try_others(const std::vector<topology::Node>& nodes);

  std::set<std::uint32_t> held_;                   // node numbers
  std::set<std::uint32_t> trial_;                  // while it selects()
  std::map<std::uint32_t, base::Time> farewell_;   // until then; while it selects()
  std::set<std::uint32_t> relays_;                 // that the last settle() saw
  std::size_t pairs_ = 0;                          // likewise
  bool elected_ = false;                           // the last settle() had more relays than may be borders
  std::pair<std::size_t, std::uint32_t> tried_{};  // the last one on trial, by its turn
  bool round_ = false;                             // everybody has had its turn since relays changed
  base::Time until_{};
  base::Time farewell_until_ = base::Time::max();
  base::Duration term_ = kFirstTerm;
};

}  // namespace qanat::paths
