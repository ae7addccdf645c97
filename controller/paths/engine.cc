#include "controller/paths/engine.hh"

#include <algorithm>

namespace qanat::paths {

using telemetry::LinkState;

void Engine::rebuild(std::vector<topology::Node> nodes, std::span<const telemetry::Link> links,
                     const std::set<Pair>& wanted, std::span<const topology::LineRisk> lines) {
  table_.reset();
  topology_ = std::make_unique<topology::Topology>(std::move(nodes), links, lines);
  table_ = std::make_unique<CandidateTable>(*topology_, objective_);
  resting_.clear();
  for (topology::Index i = 0; i < topology_->nodes().size(); ++i)
    if (topology_->nodes()[i].resting) resting_.push_back(i);
  std::vector<CandidateTable::Link> pairs;
  for (const auto& [from, to] : wanted) {
    const auto a = topology_->index_of(ids::NodeId{from}), b = topology_->index_of(ids::NodeId{to});
    if (a && b) pairs.emplace_back(*a, *b);
  }
  table_->want(pairs);
  table_->build();
  affected_ = std::make_unique<Affected>(Affected::everything());
}

bool Engine::update(std::span<const telemetry::Link> changed) {
  if (!table_) return false;
  std::vector<CandidateTable::Link> pairs;
  std::vector<telemetry::LinkKey> keys;
  for (const telemetry::Link& link : changed) {
    const auto change = topology_->set(link);
    if (change == topology::Topology::Change::NewPlane) return false;
    if (change == topology::Topology::Change::Same) continue;
    pairs.emplace_back(*topology_->index_of(link.key.from), *topology_->index_of(link.key.to));
    keys.push_back(link.key);
  }
  if (!pairs.empty()) table_->update(pairs);
  affected_ = std::make_unique<Affected>(*topology_, keys);
  return true;
}

bool Engine::affects(const Pair& pair) const {
  if (!topology_) return false;
  const auto from = topology_->index_of(ids::NodeId{pair.first}),
             to = topology_->index_of(ids::NodeId{pair.second});
  return from && to && affected_->pair(*from, *to);
}

Choices Engine::choose(const Pair& pair, const Choices& held, Unknowns unknowns,
                       const RelayLoad& load) const {
  const auto from = topology_->index_of(ids::NodeId{pair.first}),
             to = topology_->index_of(ids::NodeId{pair.second});
  if (!from || !to) return held;
  return or_last_resort(*from, *to, select(*table_, *from, *to, held, unknowns, load), unknowns);
}

Choices Engine::or_last_resort(topology::Index from, topology::Index to, Choices chosen, Unknowns unknowns,
                               const Allowed& allowed) const {
  if (resting_.empty()) return chosen;
  const auto works = [&](const Route& route, Resting resting) {
    const LinkState state = paths::evaluate(*table_, from, to, route, resting).state;
    return state == LinkState::Usable || (state == LinkState::Unknown && unknowns == Unknowns::AreTrusted);
  };
  if (!chosen.empty() && works(chosen.front().route, Resting::AreRelays)) return chosen;
  std::optional<Choice> best;
  for (const topology::Index relay : resting_) {
    if (relay == from || relay == to) continue;
    for (const topology::PlaneLink& first : topology_->links(from, relay))
      for (const topology::PlaneLink& second : topology_->links(relay, to)) {
        Route route;
        route.relay_count = 1;
        route.relays[0] = topology_->nodes()[relay].id;
        route.planes[0] = first.plane;
        route.planes[1] = second.plane;
        const RouteNow now = paths::evaluate(*table_, from, to, route, Resting::AreRelays);
        if (now.state == LinkState::Usable && fits(allowed, route) && (!best || now.cost_us < best->cost_us))
          best = Choice{route, now.cost_us};
      }
  }
  return best ? Choices{*best} : chosen;
}

std::uint32_t Engine::risks_of(const Pair& pair, const Route& route) const {
  if (!topology_) return 0;
  const auto from = topology_->index_of(ids::NodeId{pair.first}),
             to = topology_->index_of(ids::NodeId{pair.second});
  return from && to ? paths::risks_of(route, *from, *to, *topology_) : 0;
}

RouteNow Engine::evaluate(const Pair& pair, const Route& route, Resting resting) const {
  if (!table_) return {LinkState::Dead, kNoWay};
  const auto from = topology_->index_of(ids::NodeId{pair.first}),
             to = topology_->index_of(ids::NodeId{pair.second});
  return from && to ? paths::evaluate(*table_, *from, *to, route, resting)
                    : RouteNow{LinkState::Dead, kNoWay};
}

std::optional<Choice> Engine::over(const Pair& pair, std::span<const ids::NodeId> relays) const {
  if (!table_ || relays.size() > kMaxRelays) return std::nullopt;
  Route route;
  auto at = topology_->index_of(ids::NodeId{pair.first});
  for (std::size_t hop = 0; hop <= relays.size(); ++hop) {
    const auto next = topology_->index_of(hop < relays.size() ? relays[hop] : ids::NodeId{pair.second});
    if (!at || !next || *at == *next) return std::nullopt;
    std::uint32_t least = kNoWay;
    for (const topology::PlaneLink& link : topology_->links(*at, *next)) {
      if (const std::uint32_t cost = objective_.cost(link); cost < least) {
        least = cost;
        route.planes[hop] = link.plane;
      }
    }
    if (least == kNoWay) return std::nullopt;
    if (hop < relays.size()) route.relays[route.relay_count++] = relays[hop];
    at = next;
  }
  const RouteNow now = evaluate(pair, route);
  if (now.state != LinkState::Usable) return std::nullopt;
  return Choice{route, now.cost_us};
}

std::optional<Choice> Engine::within(const Pair& pair, const Objective& limits, const RelayLoad& load) const {
  if (!topology_) return std::nullopt;
  const auto from = topology_->index_of(ids::NodeId{pair.first}),
             to = topology_->index_of(ids::NodeId{pair.second});
  if (!from || !to || *from == *to) return std::nullopt;
  std::optional<Choice> best, with_room;
  const auto offer = [&](std::uint64_t cost, const Sums& sums, const Route& route) {
    if (cost >= (with_room ? with_room->cost_us : kNoWay) || !sums.meets(limits)) return;
    const Choice choice{route, static_cast<std::uint32_t>(cost)};
    if (load.has_room(route)) with_room = choice;
    if (!best || cost < best->cost_us) best = choice;
  };
  for (const topology::PlaneLink& link : topology_->links(*from, *to)) {
    Route route;
    route.planes[0] = link.plane;
    Sums sums;
    sums.add(link);
    offer(limits.cost(link), sums, route);
  }
  for (const topology::Index relay : topology_->relays()) {
    const topology::Node& node = topology_->nodes()[relay];
    if (relay == *from || relay == *to || !limits.allows(node)) continue;
    for (const topology::PlaneLink& first : topology_->links(*from, relay)) {
      const std::uint32_t there = limits.cost(first);
      if (there == kNoWay) continue;
      for (const topology::PlaneLink& second : topology_->links(relay, *to)) {
        Route route;
        route.relay_count = 1;
        route.relays[0] = node.id;
        route.planes[0] = first.plane;
        route.planes[1] = second.plane;
        Sums sums;
        sums.add(first);
        sums.add(second);
        const std::uint32_t on = limits.cost(second);
        if (on != kNoWay) offer(std::uint64_t{there} + limits.relay_us + on, sums, route);
      }
    }
  }
  return with_room ? with_room : best;
}

namespace {

// The cheapest plane of one hop; kNoWay where none may be used.
std::uint32_t cheapest(const topology::Topology& topology, const Objective& limits, Index from, Index to,
                       ids::PlaneId& plane) {
  std::uint32_t least = kNoWay;
  for (const topology::PlaneLink& link : topology.links(from, to)) {
    const std::uint32_t cost = limits.cost(link);
    if (cost >= least) continue;
    least = cost;
    plane = link.plane;
  }
  return least;
}

}  // namespace

bool Engine::fits(const Allowed& allowed, const Route& route) const {
  for (std::size_t hop = 0; hop < route.hops(); ++hop)
    if ((allowed.planes >> route.planes[hop].value & 1) == 0) return false;
  const auto relays = route.relay_list();
  return std::all_of(relays.begin(), relays.end(), [&](ids::NodeId relay) {
    const auto at = topology_ ? topology_->index_of(relay) : std::nullopt;
    return at && (allowed.zones >> (topology_->nodes()[*at].zone & 63) & 1) != 0;
  });
}

Choices Engine::choose_within(const Pair& pair, const Allowed& allowed, const Choices& held,
                              Unknowns unknowns, const RelayLoad& load) const {
  if (!topology_) return held;
  const auto from = topology_->index_of(ids::NodeId{pair.first}),
             to = topology_->index_of(ids::NodeId{pair.second});
  if (!from || !to || *from == *to) return held;
  const Objective limits = allowed.of(objective_);
  Choices fresh;
  const auto offer = [&fresh](std::uint64_t cost, const Route& route) {
    if (cost < kNoWay) fresh.push_back({route, static_cast<std::uint32_t>(cost)});
  };
  for (const topology::PlaneLink& link : topology_->links(*from, *to)) {
    Route route;
    route.planes[0] = link.plane;
    offer(limits.cost(link), route);
  }
  for (const topology::Index relay : topology_->relays()) {
    const topology::Node& node = topology_->nodes()[relay];
    if (relay == *from || relay == *to || !limits.allows(node)) continue;
    Route route;
    route.relay_count = 1;
    route.relays[0] = node.id;
    const std::uint32_t there = cheapest(*topology_, limits, *from, relay, route.planes[0]);
    if (there == kNoWay) continue;
    const std::uint32_t on = cheapest(*topology_, limits, relay, *to, route.planes[1]);
    if (on != kNoWay) offer(std::uint64_t{there} + limits.relay_us + on, route);
  }
  for (const Choice& choice : table_->lists(*from, *to))
    if (choice.route.relay_count > 1 && fits(allowed, choice.route)) fresh.push_back(choice);
  std::sort(fresh.begin(), fresh.end(), [](const Choice& a, const Choice& b) {
    return std::pair(a.cost_us, a.route) < std::pair(b.cost_us, b.route);
  });
  return or_last_resort(*from, *to, select(fresh, *table_, *from, *to, held, unknowns, load), unknowns,
                        allowed);
}

}  // namespace qanat::paths
