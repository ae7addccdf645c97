// TierWays: where the ways that all tiers share break a promise to a tenant, a way of that tier's own that keeps it. What
// breaks for a moment moves nobody; who has moved goes back once the shared ways have kept the promise for a while. A
// value: looks in, what changed out; it remembers only what is broken, or was.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "base/time.hh"
#include "controller/domain/sla_watch.hh"
#include "controller/paths/engine.hh"

namespace qanat::domain {

// What a pair's packets meet on this route now; nothing where it does not work.
std::optional<WayFigures> figures_of(const paths::Engine& engine, const paths::Engine::Pair& pair,
                                     const paths::Route& route,
                                     paths::Resting resting = paths::Resting::AreNoRelays);
bool keeps(const policy::Sla& sla, const WayFigures& way);
// The cheapest way of this tenant's tier that keeps its promise, over relays that have room if there is one.
std::optional<paths::Choice> way_within(const paths::Engine& engine, const paths::Objective& ranks,
                                        const paths::Engine::Pair& pair, const policy::Sla& sla,
                                        const paths::RelayLoad& load);

//               | shared ways break it              | shared ways keep it (own: by a tenth)
//    none       | Asked after kBrokenFor            | -
//    Asked      | Own, if a way keeps it; or again  | none
//    Own        | another, or none, where it breaks | none after kKeptFor
class TierWays {
 public:
  static constexpr base::Duration kBrokenFor = std::chrono::seconds(2);
  static constexpr base::Duration kKeptFor = std::chrono::seconds(10);
  static constexpr std::size_t kSearches = 64;  // a tick; who finds none left asks in its next look
  using Pair = paths::Engine::Pair;

  // A tick begins.
  void begin_tick() { searches_ = kSearches; }
  // A look at one pair of the promise's tenant: what the shared ways give it, and how ways are ranked. True: the tier's
  // lists are others now. What relays carry is asked for where it searches.
  using Load = std::function<const paths::RelayLoad&()>;
  bool look(const paths::Engine& engine, const paths::Objective& ranks, const Pair& pair,
            const policy::Sla& sla, const std::optional<WayFigures>& shared, const Load& load,
            base::Time now);
  // Null: the shared ones. Of several tenants on a pair, the first by name that has one.
  const paths::Choice* of(const Pair& pair, ids::Tier tier) const;
  bool any() const { return !states_.empty() || !adopted_.empty(); }  // may there be one?
  std::vector<Pair> pairs() const;  // that have one for a tier or more; ascending
  // The tier's lists: its own way, then the shared ones.
  paths::Choices lists(const Pair& pair, ids::Tier tier, const paths::Choices& shared) const;
  // Taken over from what a node holds, until the pair's first look; and who is left without one, once all were looked at.
  void adopt(const Pair& pair, ids::Tier tier, const paths::Choice& own) { adopted_[{pair, tier}] = own; }
  std::vector<std::uint32_t> end_adoption();
  // What is not promised any more, or may not be: headends whose lists are others now.
  std::vector<std::uint32_t> drop(
      const std::function<bool(const Pair& pair, ids::Tier tier, const std::string& tenant,
                               const paths::Choice& own)>& gone);
  std::size_t size() const { return states_.size(); }

 private:
  struct State {
    std::optional<paths::Choice> own{};
    std::optional<base::Time> since{};  // own: the shared ways keep the promise; none: they break it
  };
  std::map<std::tuple<Pair, ids::Tier, std::string>, State> states_;
  std::map<std::pair<Pair, ids::Tier>, paths::Choice> adopted_;
  std::size_t searches_ = kSearches;
};

}  // namespace qanat::domain
