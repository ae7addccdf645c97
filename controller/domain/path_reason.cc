#include "controller/domain/path_reason.hh"

#include <algorithm>

namespace qanat::domain {

std::string_view to_string(PathReason reason) {
  switch (reason) {
    case PathReason::Best: return "best";
    case PathReason::Held: return "held";
    case PathReason::Waits: return "waits";
    case PathReason::Promise: return "promise";
    case PathReason::Limited: return "limited";
    case PathReason::Pinned: return "pinned";
    case PathReason::Avoiding: return "avoiding";
    case PathReason::LastResort: return "last_resort";
    case PathReason::BestEffort: return "best_effort";
    case PathReason::NoneAllowed: return "none_allowed";
    case PathReason::Pending: return "pending";
  }
  return "best";
}

PathReason reason_of(const paths::Engine& engine, const Steering& steering, const paths::Engine::Pair& pair,
                     const paths::Allowed& allowed, const paths::Choices& shared, const paths::Choice* own,
                     const paths::Route& first) {
  if (own != nullptr) return own->route == first ? PathReason::Promise : PathReason::Pending;
  if (shared.empty() || shared.front().route != first) return PathReason::Pending;
  const auto relays = first.relay_list();
  if (std::any_of(relays.begin(), relays.end(), [&](auto relay) { return steering.drained(relay.value); }))
    return PathReason::LastResort;
  const auto now = engine.evaluate(pair, first);
  if (now.state != telemetry::LinkState::Usable) return PathReason::BestEffort;
  switch (steering.obeyed(pair, first)) {
    case Steering::Obeyed::Pinned: return PathReason::Pinned;
    case Steering::Obeyed::Avoiding: return PathReason::Avoiding;
    case Steering::Obeyed::Unavoidable: return PathReason::LastResort;
    case Steering::Obeyed::NoRule: break;
  }
  const auto best = engine.choose(pair, {}, paths::Unknowns::AreLost, paths::RelayLoad());
  const auto cheaper = [&now](const paths::Choices& lists) {
    return !lists.empty() && lists.front().cost_us < now.cost_us;
  };
  if (!cheaper(best)) return PathReason::Best;
  const auto within = allowed.everything() ? best
                                           : engine.choose_within(pair, allowed, {}, paths::Unknowns::AreLost,
                                                                  paths::RelayLoad());
  if (!cheaper(within)) return PathReason::Limited;
  return paths::Margin{}.worth_moving(now.cost_us, within.front().cost_us) ? PathReason::Waits
                                                                           : PathReason::Held;
}

}  // namespace qanat::domain
