// Steering: policy::Rules as they are at one moment, with names resolved: which relays carry nothing, which pairs have a way
// prescribed, what planes cost. Path computation asks it instead of choosing alone. A value; both levels use it.
#pragma once

#include <limits>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "controller/paths/engine.hh"
#include "controller/policy/rules.hh"

namespace qanat::domain {

using Drained = std::map<std::uint32_t, policy::DrainMode>;  // relays

class Steering {
 public:
  static constexpr base::UnixSeconds kNever = std::numeric_limits<base::UnixSeconds>::max();

  Steering() = default;
  // Names without a number are passed over: they may enrol later.
  Steering(const policy::Rules& rules, const std::map<std::string, std::uint32_t>& numbers,
           base::UnixSeconds now);
  // What another level drains beside the rules; of both, the harder counts.
  void drain_too(const Drained& relays);

  // Is it what the rules say then? Not once the next drain begins or ends, nor before the last one did: clocks go back.
  bool holds_at(base::UnixSeconds now) const { return since_ <= now && now < until_; }
  // No new way goes over it.
  bool drained(std::uint32_t node) const { return drained_.contains(node); }
  // … unless a pair has no other.
  bool drained_softly(std::uint32_t node) const { return drained_.contains(node) && !hard_.contains(node); }
  const std::set<std::uint32_t>& all_drained() const { return drained_; }
  // Over a relay that is drained hard: nobody may hold such a route.
  bool forbidden(const paths::Route& route) const;
  // Takes such routes out of what pairs hold, and pairs that are left with none; whose headends those are.
  std::set<std::uint32_t> give_up_forbidden(std::map<paths::Engine::Pair, paths::Choices>& held) const;
  // Has this pair a rule of its own? Then it chooses anew in every tick.
  bool concerns(const paths::Engine::Pair& pair) const { return routes_.contains(pair); }
  paths::Objective objective() const;
  // A bit for each of the rules' risks that the node shares, in their order.
  std::uint32_t risks_of(std::uint32_t node) const {
    const auto at = risks_.find(node);
    return at == risks_.end() ? 0 : at->second;
  }
  // Likewise, of single lines.
  const std::vector<topology::LineRisk>& line_risks() const { return line_risks_; }
  // That some pair has to go by.
  std::set<std::uint32_t> prescribed() const;
  // What the pair's own rule has to do with a route that works.
  enum class Obeyed : std::uint8_t { NoRule, Pinned, Avoiding, Unavoidable };
  Obeyed obeyed(const paths::Engine::Pair& pair, const paths::Route& route) const;

  // As Engine::choose, by the rules.
  paths::Choices choose(const paths::Engine& engine, const paths::Engine::Pair& pair,
                        const paths::Choices& held, paths::Unknowns unknowns,
                        const paths::RelayLoad& load) const;

  // As Engine::choose_within, by the rules. `shared` is what choose() gave the pair.
  paths::Choices choose_within(const paths::Engine& engine, const paths::Engine::Pair& pair,
                               const paths::Allowed& allowed, const paths::Choices& held,
                               const paths::Choices& shared, paths::Unknowns unknowns,
                               const paths::RelayLoad& load) const;

  bool operator==(const Steering&) const = default;

 private:
  struct Route {
    bool pinned = false;
    std::vector<ids::NodeId> via;
    std::set<std::uint32_t> avoid;
    bool operator==(const Route&) const = default;
  };
  static bool avoids(const Route& rule, const paths::Route& route);
  paths::Choices around(const paths::Engine& engine, const paths::Engine::Pair& pair, const Route& rule,
                        const paths::Choices& held) const;

  std::set<std::uint32_t> drained_;
  std::set<std::uint32_t> hard_;
  std::map<paths::Engine::Pair, Route> routes_;
  std::map<std::uint8_t, std::uint32_t> tolls_us_;
  std::map<std::uint32_t, std::uint32_t> risks_;
  std::vector<topology::LineRisk> line_risks_;  // in the rules' order; a line may be there several times
  base::UnixSeconds since_ = 0, until_ = kNever;
};

}  // namespace qanat::domain
