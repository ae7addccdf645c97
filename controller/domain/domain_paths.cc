// Domain, ways: from what was measured to what each pair holds.
#include <utility>

#include "controller/domain/domain.hh"

namespace qanat::domain {

// Candidates are what computing everything would give, bit for bit; a pair chooses anew only when its links, what it
// holds and the rules are those of its last computation.
void Domain::recompute(Now now) {
  const bool warming_up = now.mono - started_ < kWarmUp;
  if (warming_up != warming_up_) everything_ = true;
  warming_up_ = warming_up;
  steer(now);
  if (!everything_ && !links_.changed() && unsettled_.empty()) return;
  const base::Time began = stopwatch();
  const auto changes = links_.take_changes();
  if (everything_ || !engine_.update(changes)) {
    settle_pairs();
    settle_limits();
    drop_tier_ways();
    std::vector<topology::Node> nodes;
    for (const auto& [id, member] : membership_.current()) {
      topology::Node node{.id = ids::NodeId{id}, .domain = {}};
      node.domain = ids::DomainId{static_cast<std::uint16_t>(config_.domain)};
      node.relay = member.record.relay() && !steering_.drained(id);
      node.resting = member.record.relay() && steering_.drained_softly(id);
      node.risk = steering_.risks_of(id);
      node.zone = limited_.limits().zone_of(id);
      nodes.push_back(node);
    }
    engine_.rank_by(steering_.objective());
    engine_.rebuild(std::move(nodes), links_.links(), pairs_, steering_.line_risks());
    everything_ = false;
  }
  const auto unknowns = warming_up ? paths::Unknowns::AreTrusted : paths::Unknowns::AreLost;
  const auto unsettled = std::exchange(unsettled_, {});
  load_.reset();
  paths::RelayLoad& load = relay_load();
  const TierLists lists = tier_lists();
  for (const Pair& pair : pairs_)
    if (engine_.affects(pair) || unsettled.contains(pair) || steering_.concerns(pair)) {
      const auto before = lists.firsts(pair);
      compute(pair, unknowns, load, now);
      compute_limited(pair, unknowns, load, now);
      load.replace(before, lists.firsts(pair));
    }
  paths_seconds_ = seconds_since(began);
}

paths::RelayLoad& Domain::relay_load() {
  if (!load_) load_ = tier_lists().load(pairs_.size(), engine_.relays());
  return *load_;
}

// Who gets lists to whom: everybody in a small domain, tenants' members in a large one.
void Domain::settle_pairs() {
  pairs_.clear();
  const auto& members = membership_.current();
  if (members.size() <= kEveryPairUpTo) {
    for (const auto& [from, a] : members)
      for (const auto& [to, b] : members)
        if (from != to) pairs_.insert({from, to});
  } else {
    const auto names = own_names();
    for (const auto* tenant : tenants_in_force()) {
      const auto ids = member_ids(*tenant, names);
      for (const std::uint32_t from : ids)
        for (const std::uint32_t to : ids)
          if (from != to && members.contains(from) && members.contains(to)) pairs_.insert({from, to});
    }
  }
  std::erase_if(selections_, [this](const auto& s) {
    if (pairs_.contains(s.first)) return false;
    if (const auto at = rollouts_.find(s.first.first); at != rollouts_.end()) at->second.dirty = true;
    return true;
  });
}

void Domain::compute(const Pair& pair, paths::Unknowns unknowns, const paths::RelayLoad& load, Now now) {
  const auto old = selections_.find(pair);
  const paths::Choices held = old == selections_.end() ? paths::Choices{} : old->second;
  const auto wanted = steering_.choose(engine_, pair, held, unknowns, load);
  auto chosen = steering_.concerns(pair)
                    ? wanted
                    : move_budget_.take(rules_, engine_, pair, held, wanted, pairs_.size(), now);
  if (chosen != wanted) unsettled_.insert(pair);  // asks again in the next tick
  if (chosen == held || chosen.empty()) return;
  unsettled_.insert(pair);
  const bool moved = held.empty() || chosen.front().route != held.front().route;
  selections_[pair] = std::move(chosen);
  rollouts_[pair.first].dirty = true;
  if (!moved) return;
  std::string way;
  const auto& best = selections_[pair].front();
  for (const ids::NodeId relay : best.route.relay_list()) way += name_of(relay.value) + " ";
  emit({"path_changed",
        {{"from", name_of(pair.first)},
         {"to", name_of(pair.second)},
         {"via", way},
         {"cost_us", std::to_string(best.cost_us)}}});
}

}  // namespace qanat::domain
