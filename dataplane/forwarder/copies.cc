// `critical` on two routes at once: which two, and what becomes of the second copy at the far end (DESIGN §6).
#include <algorithm>

#include "dataplane/forwarder/forwarder.hh"

namespace qanat::forwarder {

// The chosen route and the best one that no single failure takes with it; failing that any such two; failing that the
// chosen one and another by way of other relays. A route that is held down carries copies if no usable one does (it may
// lose a good part of them); one that nobody confirmed carries none.
const Forwarder::CopyPair& Forwarder::copies(std::uint32_t policy) {
  if (pairs_.size() != routes_.policies().size()) pairs_.assign(routes_.policies().size(), {});
  CopyPair& pair = pairs_[policy];
  if (pair.generation == paths_generation_) return pair;
  pair = {paths_generation_, nullptr, nullptr};
  const PolicyRoutes& routes = routes_.policies()[policy];
  const std::uint32_t best = chosen(policy);
  pair.first = best == path::kNoPath ? nullptr : routes_.route(policy, best);
  if (pair.first == nullptr) return pair;

  std::vector<Route*> ways{pair.first};
  const auto add = [&](std::uint32_t r, bool usable_only) {
    Route& route = routes_.routes()[r];
    if ((usable_only ? usable(route.probe) : share_of(route.probe).breathes) &&
        std::none_of(ways.begin(), ways.end(), [&](const Route* way) { return way->probe == route.probe; }))
      ways.push_back(&route);
  };
  for (const bool usable_only : {true, false}) {
    for (const std::uint32_t r : routes.routes) add(r, usable_only);
    for (const std::uint32_t r : routes_.adjacencies(routes.endpoint))
      if (routes.allows(routes_.routes()[r])) add(r, usable_only);
  }

  for (std::size_t i = 0; i < ways.size(); ++i)
    for (std::size_t j = i + 1; j < ways.size(); ++j)
      if (overlap(*ways[i], *ways[j]) == Overlap::None) {
        pair.first = ways[i];
        pair.second = ways[j];
        return pair;
      }
  for (Route* way : ways)
    if (overlap(*pair.first, *way) == Overlap::Plane) {
      pair.second = way;
      break;
    }
  return pair;
}

// Operators hear when `critical` travels alone, and when it no longer does.
void Forwarder::watch_copies(base::Time now) {
  if (watched_generation_ == paths_generation_) return;
  watched_generation_ = paths_generation_;
  for (std::uint32_t i = 0; i < routes_.policies().size(); ++i) {
    const PolicyRoutes& policy = routes_.policies()[i];
    if (policy.tier != ids::Tier::Critical || chosen(i) == path::kNoPath || !prober_.usable(chosen(i)))
      continue;
    const CopyPair& pair = copies(i);
    const bool alone = pair.second == nullptr;
    if (alone == alone_.contains(policy.endpoint)) continue;
    if (alone)
      alone_.insert(policy.endpoint);
    else
      alone_.erase(policy.endpoint);
    push({alone ? Event::Kind::CopiesStopped : Event::Kind::CopiesResumed,
          policy.endpoint,
          policy.tier,
          pair.first->id,
          {},
          now});
  }
}

bool Forwarder::first_copy(const PeerState& from, const packet::InnerHeader& inner, std::uint8_t bucket,
                           base::Time session, base::Time now) {
  if (eliminator_.first({from.id, inner.tier, bucket}, inner.sequence, session, now)) return true;
  drops_.count(packet::DropReason::Duplicate);
  return false;
}

}  // namespace qanat::forwarder
