// Stage B of path computation: which of the candidates a headend gets, given what it has and what relays carry already.
// Improvements must be worth it (10 % and 1 ms); bad news never waits: what is dead or breaks a limit is left at once.
#pragma once

#include <algorithm>
#include <map>
#include <span>

#include "controller/paths/candidate_table.hh"

namespace qanat::paths {

// A cheaper route replaces a usable one only when it saves at least this share and a millisecond.
struct Margin {
  std::uint32_t permille = 100;
  std::uint32_t least_us = 1000;
  constexpr bool worth_moving(std::uint32_t held_us, std::uint32_t better_us) const {
    const std::uint64_t share = (std::uint64_t{held_us} * permille + 999) / 1000;
    return better_us < held_us && held_us - better_us >= (share > least_us ? share : least_us);
  }
};

enum class Unknowns : std::uint8_t {
  AreLost,    // a held route over links that nobody reports on gives way to one that is measured
  AreTrusted  // just after a start, before all nodes have reported: what was held is held on to
};

// How many pairs go over each relay: their first lists, several where tiers begin with different ones. The relay that is best
// for one pair is best for its neighbours too: without a limit they would all move to it in one tick.
class RelayLoad {
 public:
  explicit RelayLoad(std::uint64_t room = ~0ull) : room_(room) {}
  // Twice a relay's even share of the pairs, and never less than would matter.
  static std::uint64_t room_for(std::size_t pairs, std::size_t relays) {
    constexpr std::uint64_t kLeast = 64;
    return relays == 0 ? kLeast : std::max<std::uint64_t>(kLeast, 2 * pairs / relays);
  }
  void add(const Route& route) {
    for (const ids::NodeId relay : route.relay_list()) ++pairs_[relay];
  }
  void remove(const Route& route) {
    for (const ids::NodeId relay : route.relay_list()) --pairs_[relay];
  }
  void replace(std::span<const Route> before, std::span<const Route> after) {
    for (const Route& route : before) remove(route);
    for (const Route& route : after) add(route);
  }
  // For one more; and: do they carry too many as it is?
  bool has_room(const Route& route) const { return !any(route, room_); }
  bool overloaded(const Route& route) const { return any(route, room_ == ~0ull ? room_ : room_ + 1); }
  std::uint64_t pairs(ids::NodeId relay) const {
    const auto at = pairs_.find(relay);
    return at == pairs_.end() ? 0 : at->second;
  }

 private:
  bool any(const Route& route, std::uint64_t from) const {
    for (const ids::NodeId relay : route.relay_list())
      if (pairs(relay) >= from) return true;
    return false;
  }
  std::uint64_t room_;
  std::map<ids::NodeId, std::uint64_t> pairs_;
};

// A route's state and cost now. Dead when any link is or a limit is broken; else Unknown when any link is.
struct RouteNow {
  telemetry::LinkState state = telemetry::LinkState::Unknown;
  std::uint32_t cost_us = kNoWay;
};
enum class Resting : std::uint8_t {
  AreNoRelays,
  AreRelays
};  // nodes that are to relay as a last resort alone
RouteNow evaluate(const CandidateTable& table, Index from, Index to, const Route& route,
                  Resting resting = Resting::AreNoRelays);

// What a candidate shares with the routes already chosen, worst kind first: links, relays, risks, planes.
struct Overlap {
  std::uint32_t links = 0;
  std::uint32_t relays = 0;
  std::uint32_t risks = 0;
  std::uint32_t planes = 0;
  auto operator<=>(const Overlap&) const = default;
};
// Of its relays and lines together, but for what all lines of an end share.
std::uint32_t risks_of(const Route& route, Index from, Index to, const topology::Topology& topology);
// Whose routes they are. Null: neither relays nor lines share a risk.
struct Ends {
  const topology::Topology* risky = nullptr;
  Index from = 0, to = 0;
};
Overlap overlap_of(const Route& route, const std::vector<Route>& chosen, const Ends& ends = {});

// The new choices for a pair. `held` may be empty; `load` counts the pair as it is held. What is kept keeps the cost it was
// chosen at, so equal choices give equal configurations. When nothing usable is known, `held` stays as it is: the headend's
// own probes decide.
Choices select(const CandidateTable& table, Index from, Index to, const Choices& held, Unknowns unknowns,
               const RelayLoad& load = RelayLoad(), Margin margin = {});
// Of these candidates, cheapest first, instead of the table's.
Choices select(const Choices& fresh, const CandidateTable& table, Index from, Index to, const Choices& held,
               Unknowns unknowns, const RelayLoad& load = RelayLoad(), Margin margin = {});

}  // namespace qanat::paths
