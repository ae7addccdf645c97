#include "controller/domain/steering.hh"

#include <algorithm>

namespace qanat::domain {

using paths::Choice;
using paths::Choices;
using telemetry::LinkState;

Steering::Steering(const policy::Rules& rules, const std::map<std::string, std::uint32_t>& numbers,
                   base::UnixSeconds now)
    : tolls_us_(rules.tolls_us) {
  const auto number = [&](const std::string& name) {
    const auto at = numbers.find(name);
    return at == numbers.end() ? 0 : at->second;
  };
  for (const policy::Drain& drain : rules.drains) {
    for (const base::UnixSeconds edge : {drain.from, drain.until})
      edge > now ? until_ = std::min(until_, edge) : since_ = std::max(since_, edge);
    const std::uint32_t node = number(drain.node);
    if (node == 0 || !drain.in_force(now)) continue;
    drained_.insert(node);
    if (drain.mode == policy::DrainMode::Hard) hard_.insert(node);
  }
  for (std::size_t bit = 0; bit < std::min(rules.risks.size(), policy::kMostRisks); ++bit) {
    for (const std::string& name : rules.risks[bit].nodes)
      if (const std::uint32_t node = number(name); node != 0) risks_[node] |= 1u << bit;
    for (const auto& line : rules.risks[bit].lines)
      if (const std::uint32_t node = number(line.node); node != 0)
        line_risks_.push_back({ids::NodeId{node}, ids::PlaneId{line.plane}, 1u << bit});
  }
  for (const policy::RouteRule& rule : rules.routes) {
    const std::uint32_t from = number(rule.from), to = number(rule.to);
    if (from == 0 || to == 0) continue;
    Route& route = routes_[{from, to}];
    route.pinned = rule.pinned;
    for (const std::string& relay : rule.via) route.via.push_back(ids::NodeId{number(relay)});
    for (const std::string& relay : rule.avoid) route.avoid.insert(number(relay));
  }
}

void Steering::drain_too(const Drained& relays) {
  for (const auto& [relay, mode] : relays) {
    drained_.insert(relay);
    if (mode == policy::DrainMode::Hard) hard_.insert(relay);
  }
}

bool Steering::forbidden(const paths::Route& route) const {
  const auto relays = route.relay_list();
  return std::any_of(relays.begin(), relays.end(),
                     [this](auto relay) { return hard_.contains(relay.value); });
}

std::set<std::uint32_t> Steering::give_up_forbidden(std::map<paths::Engine::Pair, Choices>& held) const {
  std::set<std::uint32_t> headends;
  for (auto& [pair, choices] : held)
    if (std::erase_if(choices, [this](const Choice& choice) { return forbidden(choice.route); }) != 0)
      headends.insert(pair.first);
  std::erase_if(held, [](const auto& s) { return s.second.empty(); });
  return headends;
}

std::set<std::uint32_t> Steering::prescribed() const {
  std::set<std::uint32_t> out;
  for (const auto& [pair, rule] : routes_)
    for (const ids::NodeId relay : rule.via) out.insert(relay.value);
  return out;
}

paths::Objective Steering::objective() const {
  paths::Objective objective;
  for (const auto& [plane, toll] : tolls_us_) objective.toll_us.at(plane) = toll;
  return objective;
}

bool Steering::avoids(const Route& rule, const paths::Route& route) {
  const auto relays = route.relay_list();
  return std::none_of(relays.begin(), relays.end(),
                      [&rule](auto relay) { return rule.avoid.contains(relay.value); });
}

Steering::Obeyed Steering::obeyed(const paths::Engine::Pair& pair, const paths::Route& route) const {
  const auto at = routes_.find(pair);
  if (at == routes_.end()) return Obeyed::NoRule;
  const Route& rule = at->second;
  const auto relays = route.relay_list();
  if (rule.pinned && std::equal(relays.begin(), relays.end(), rule.via.begin(), rule.via.end()))
    return Obeyed::Pinned;
  if (!avoids(rule, route)) return Obeyed::Unavoidable;
  return rule.avoid.empty() ? Obeyed::NoRule : Obeyed::Avoiding;
}

// The best way over none of those to be avoided, of the direct one and those over one relay; held on to as select() would.
Choices Steering::around(const paths::Engine& engine, const paths::Engine::Pair& pair, const Route& rule,
                         const Choices& held) const {
  std::optional<Choice> best = engine.over(pair, {});
  const topology::Topology& topology = *engine.topology();
  for (const topology::Index relay : topology.relays()) {
    const ids::NodeId id = topology.nodes()[relay].id;
    if (rule.avoid.contains(id.value)) continue;
    const auto way = engine.over(pair, std::span(&id, 1));
    if (way && (!best || way->cost_us < best->cost_us)) best = way;
  }
  if (!held.empty()) {
    const auto now = engine.evaluate(pair, held.front().route);
    if (now.state == LinkState::Usable &&
        (!best || !paths::Margin{}.worth_moving(now.cost_us, best->cost_us)))
      return {held.front()};
  }
  return best ? Choices{*best} : Choices{};
}

Choices Steering::choose(const paths::Engine& engine, const paths::Engine::Pair& pair, const Choices& held,
                         paths::Unknowns unknowns, const paths::RelayLoad& load) const {
  const auto at = routes_.find(pair);
  if (at == routes_.end() || engine.topology() == nullptr) return engine.choose(pair, held, unknowns, load);
  const Route& rule = at->second;
  const auto prescribed = rule.pinned ? engine.over(pair, rule.via) : std::nullopt;
  Choices kept, out;
  for (const Choice& choice : held) {
    const bool pinned = prescribed && choice.route == prescribed->route;
    if (pinned) out = {choice};  // what is kept keeps its cost
    if (!pinned && avoids(rule, choice.route)) kept.push_back(choice);
  }
  if (prescribed && out.empty()) out = {*prescribed};
  Choices chosen = engine.choose(pair, kept, unknowns, load);
  std::erase_if(chosen, [&](const Choice& c) { return !avoids(rule, c.route); });
  if (chosen.empty()) chosen = around(engine, pair, rule, kept);
  for (const Choice& choice : chosen) {
    const bool twice = !out.empty() && choice.route == out.front().route;
    if (!twice && out.size() < paths::kMaxLists) out.push_back(choice);
  }
  return out.empty() ? engine.choose(pair, held, unknowns, load) : out;
}

Choices Steering::choose_within(const paths::Engine& engine, const paths::Engine::Pair& pair,
                                const paths::Allowed& allowed, const Choices& held, const Choices& shared,
                                paths::Unknowns unknowns, const paths::RelayLoad& load) const {
  const Choices found = engine.choose_within(pair, allowed, held, unknowns, load);
  const auto at = routes_.find(pair);
  if (at == routes_.end()) return found;
  Choices out;  // what the rule chose comes first
  const auto add = [&out](const Choice& choice) {
    const bool twice =
        std::any_of(out.begin(), out.end(), [&](const Choice& c) { return c.route == choice.route; });
    if (!twice && out.size() < paths::kMaxLists) out.push_back(choice);
  };
  for (const Choice& choice : shared)
    if (engine.fits(allowed, choice.route)) add(choice);
  for (const Choice& choice : found)
    if (avoids(at->second, choice.route)) add(choice);
  return out.empty() ? found : out;
}

}  // namespace qanat::domain
