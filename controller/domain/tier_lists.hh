// TierLists: the lists of a pair's tiers, whoever chose them: those that tiers share, others for a tier that may not travel
// everywhere, and before either a way of its own for a promise. What boxes are told, plans of traffic and the load of relays
// ask the same. A view.
#pragma once

#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "controller/domain/limited_ways.hh"
#include "controller/domain/tier_ways.hh"

namespace qanat::domain {

using Pair = std::pair<std::uint32_t, std::uint32_t>;  // headend, endpoint
using Selections = std::map<Pair, paths::Choices>;

class TierLists {
 public:
  // They outlive it; null: there are none.
  explicit TierLists(const Selections& shared, const LimitedWays* limited = nullptr,
                     const TierWays* own = nullptr)
      : shared_(shared), limited_(limited), own_(own) {}

  // Without the tier's own way. Empty: it has no list.
  const paths::Choices& chosen(const Pair& pair, ids::Tier tier) const {
    return chosen(pair, tier, shared(pair));
  }
  const paths::Choices& chosen(const Pair& pair, ids::Tier tier, const paths::Choices& shared) const;
  // Null: none.
  const paths::Choice* own(const Pair& pair, ids::Tier tier) const {
    return own_ == nullptr ? nullptr : own_->of(pair, tier);
  }
  std::optional<paths::Route> first(const Pair& pair, ids::Tier tier) const {
    return first(pair, tier, shared(pair));
  }
  // The first lists of its tiers, none twice; of all tiers but one.
  std::vector<paths::Route> firsts(const Pair& pair, std::optional<ids::Tier> but = std::nullopt) const;

  // What relays carry by the first lists of all pairs. There is room for as many as limits and promises may make of these,
  // whatever they are: who moves makes no room.
  paths::RelayLoad load(std::size_t pairs, std::size_t relays) const;
  // The tier's first list was another one, or there was none.
  void moved(const Pair& pair, ids::Tier tier, const std::optional<paths::Route>& before,
             paths::RelayLoad& load) const;

 private:
  const paths::Choices& shared(const Pair& pair) const;
  std::optional<paths::Route> first(const Pair& pair, ids::Tier tier, const paths::Choices& shared) const;

  const Selections& shared_;
  const LimitedWays* limited_;
  const TierWays* own_;
};

}  // namespace qanat::domain
