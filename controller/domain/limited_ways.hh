// LimitedWays: the lists of tiers that may not travel everywhere, chosen as the shared ones are but over what is allowed
// alone. A value; both levels use it.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "controller/domain/steering.hh"
#include "controller/domain/tier_limits.hh"
#include "identifiers/proto/southbound.pb.h"

namespace qanat::domain {

class LimitedWays {
 public:
  using Pair = paths::Engine::Pair;
  using Key = std::pair<Pair, ids::Tier>;
  // What the pair gets of what was chosen for it (MoveBudget::take).
  using Pace = std::function<paths::Choices(const paths::Choices& held, const paths::Choices& wanted)>;

  // From the next compute() on. False: they are those that were.
  bool set(TierLimits limits);
  const TierLimits& limits() const { return limits_; }

  struct Outcome {
    bool changed = false;  // other lists than before
    bool waits = false;    // for the pace
    std::vector<std::pair<ids::Tier, bool>>
        news;  // tiers that have no way any more (true), or have one again
  };
  // One pair's tiers; `shared` is what choose() gave it, `load` counts the pair as it is held.
  Outcome compute(const paths::Engine& engine, const Steering& steering, const Pair& pair,
                  const paths::Choices& shared, paths::Unknowns unknowns, const paths::RelayLoad& load,
                  const Pace& pace);

  // Null: the tier is not limited, and has the shared lists.
  const paths::Choices* of(const Pair& pair, ids::Tier tier) const;
  const std::map<Key, paths::Choices>& all() const { return lists_; }
  // Pairs whose tier has no way that works within its limits, by tier.
  std::array<std::size_t, ids::kTierCount> cut_off() const;
  // First lists beyond one for each pair, at most: of tiers that are not limited alike.
  std::size_t more() const { return more_; }
  // Only these pairs are left.
  void keep(const std::set<Pair>& pairs);
  // Takes routes out that nobody may hold; whose headends those were.
  std::set<std::uint32_t> give_up_forbidden(const Steering& steering);
  // Taken over from what a node holds.
  void adopt(const proto::v1::NodeConfig& config);

 private:
  void note_kinds(const Pair& pair, std::size_t kinds);
  void note_cut_off(const Key& key, bool cut_off, Outcome& out);

  TierLimits limits_;
  std::map<Key, paths::Choices> lists_;  // empty: nothing is allowed
  std::set<Key> cut_off_;                // as told
  std::map<Pair, std::size_t> more_of_;  // none of them 0
  std::size_t more_ = 0;                 // their sum
};

}  // namespace qanat::domain
