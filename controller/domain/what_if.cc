#include "controller/domain/what_if.hh"

#include <algorithm>
#include <tuple>

#include "controller/domain/tier_ways.hh"
#include "controller/te/allocation.hh"

namespace qanat::domain {
namespace {

using paths::Choices;
using paths::Route;
using session::WhatIf;
using session::WhatIfAnswer;
using telemetry::LinkState;

// Names and planes that do not exist, all of them.
std::vector<std::string> problems_of(const Frozen& frozen, const WhatIf& question) {
  std::vector<std::string> problems;
  const auto known = [&](const char* where, const std::string& name) {
    if (!frozen.numbers.contains(name)) problems.push_back(std::string(where) + ": no node '" + name + "'");
  };
  const auto plane = [&](const char* where, std::uint32_t number, std::uint32_t least) {
    if (number < least || number > ids::PlaneId::kMax)
      problems.push_back(std::string(where) + ": no plane " + std::to_string(number));
  };
  for (const auto& name : question.fail_nodes) known("fail_nodes", name);
  for (const auto& name : question.fail_risks)
    if (std::none_of(frozen.rules.risks.begin(), frozen.rules.risks.end(),
                     [&](const auto& risk) { return risk.name == name; }))
      problems.push_back("fail_risks: no risk '" + name + "'");
  for (const auto& link : question.fail_links) {
    known("fail_links", link.a);
    known("fail_links", link.b);
    plane("fail_links", link.plane, 0);
  }
  for (const std::uint32_t number : question.fail_planes) plane("fail_planes", number, 1);
  for (const auto& link : question.add_links) {
    known("add_links", link.a);
    known("add_links", link.b);
    plane("add_links", link.plane, 1);
    if (link.a == link.b) problems.push_back("add_links: from '" + link.a + "' to itself");
  }
  for (const auto& [number, toll] : question.tolls_us) plane("prices", number, 1);
  for (const auto& demand : question.demands) {
    known("demands", demand.from);
    known("demands", demand.to);
    if (!demand.moved_to.empty()) known("demands", demand.moved_to);
    if (demand.from == demand.to || demand.from == demand.moved_to)
      problems.push_back("demands: from '" + demand.from + "' to itself");
  }
  for (const auto& capacity : question.capacities) {
    known("capacities", capacity.a);
    known("capacities", capacity.b);
    plane("capacities", capacity.plane, 1);
  }
  return problems;
}

// The network in one of the two states, with the choices made in it.
class World {
 public:
  World(const Frozen& frozen, std::vector<telemetry::Link> links, const policy::Rules& rules,
        const std::set<Pair>& pairs)
      : steering_(rules, frozen.numbers, frozen.now), limits_(rules, frozen.tenants, frozen.locations) {
    steering_.drain_too(frozen.drained);
    std::vector<topology::Node> nodes = frozen.nodes;
    for (auto& node : nodes) {
      node.resting = node.relay && steering_.drained_softly(node.id.value);
      node.relay &= !steering_.drained(node.id.value);
      node.risk = steering_.risks_of(node.id.value);
      node.zone = limits_.zone_of(node.id.value);
      names_[node.id.value] = "n" + std::to_string(node.id.value);
    }
    for (const auto& [name, number] : frozen.numbers) names_[number] = name;
    engine_.rank_by(steering_.objective());
    engine_.rebuild(std::move(nodes), links, pairs, steering_.line_risks());
  }

  // As a tick does: every pair once, in order, with the relays' load.
  void choose(const Frozen& frozen, const std::set<Pair>& pairs) {
    choices_ = frozen.selections;
    limited_ = frozen.limited;
    limited_.set(limits_);
    const TierLists lists(choices_, &limited_, &frozen.tier_ways);
    load_ = lists.load(pairs.size(), engine_.relays());
    for (const Pair& pair : pairs) {
      const auto before = lists.firsts(pair);
      Choices& held = choices_[pair];
      held = steering_.choose(engine_, pair, held, paths::Unknowns::AreLost, load_);
      limited_.compute(engine_, steering_, pair, held, paths::Unknowns::AreLost, load_,
                       [](const Choices&, const Choices& wanted) { return wanted; });
      load_.replace(before, lists.firsts(pair));
    }
  }

  const Choices* choices(const Pair& pair) const {
    const auto at = choices_.find(pair);
    return at == choices_.end() || at->second.empty() ? nullptr : &at->second;
  }
  bool works(const Pair& pair, const Route& route) const {
    return engine_.evaluate(pair, route, paths::Resting::AreRelays).state == LinkState::Usable;
  }
  // What a tier has of them, or instead.
  const Choices& lists(const Pair& pair, ids::Tier tier) const {
    return TierLists(choices_, &limited_).chosen(pair, tier);
  }
  // Of the first choice that works; what a headend would use.
  std::optional<WhatIfAnswer::Way> way(const Pair& pair) const {
    const Choices* all = choices(pair);
    return all == nullptr ? std::nullopt : way(pair, *all);
  }
  std::optional<WhatIfAnswer::Way> way(const Pair& pair, const Choices& lists) const {
    const auto used = std::find_if(lists.begin(), lists.end(),
                                   [&](const auto& choice) { return works(pair, choice.route); });
    if (used == lists.end()) return std::nullopt;
    return way_by(pair, used->route);
  }
  // And what the promise's tier would: a way of its own, where the others break the promise and one keeps it.
  std::optional<WhatIfAnswer::Way> way(const Pair& pair, const policy::Sla& sla) const {
    const auto shared = way(pair, lists(pair, sla.tier));
    if (!shared || steering_.concerns(pair) ||
        keeps(sla, {shared->rtt_us, shared->loss_ppm, shared->jitter_us}))
      return shared;
    const auto own =
        way_within(engine_, limits_.of(pair, sla.tier).of(steering_.objective()), pair, sla, load_);
    return own ? way_by(pair, own->route) : shared;
  }
  const LimitedWays& limited() const { return limited_; }
  std::string name(std::uint32_t node) const {
    const auto at = names_.find(node);
    return at == names_.end() ? "n" + std::to_string(node) : at->second;
  }

 private:
  WhatIfAnswer::Way way_by(const Pair& pair, const Route& route) const {
    WhatIfAnswer::Way way;
    way.cost_us = engine_.evaluate(pair, route, paths::Resting::AreRelays).cost_us;
    std::uint32_t at = pair.first;
    for (std::size_t hop = 0; hop < route.hops(); ++hop) {
      const std::uint32_t next = hop < route.relay_count ? route.relays[hop].value : pair.second;
      const auto link = link_of(at, next, route.planes[hop]);
      way.rtt_us += link.rtt_us;
      way.loss_ppm += link.loss_ppm;
      way.jitter_us += link.jitter_us;
      way.planes.push_back(route.planes[hop].value);
      way.names.push_back(name(next));
      at = next;
    }
    return way;
  }
  topology::PlaneLink link_of(std::uint32_t from, std::uint32_t to, ids::PlaneId plane) const {
    const auto& t = *engine_.topology();
    return t.link(*t.index_of(ids::NodeId{from}), *t.index_of(ids::NodeId{to}), plane);
  }

  Steering steering_;
  TierLimits limits_;
  paths::Engine engine_;
  Selections choices_;
  LimitedWays limited_;
  paths::RelayLoad load_;
  std::map<std::uint32_t, std::string> names_;
};

class Answering {
 public:
  Answering(const Frozen& frozen, const WhatIf& question) : frozen_(frozen), question_(question) {}

  WhatIfAnswer run() && {
    answer_.problems = problems_of(frozen_, question_);
    if (!answer_.problems.empty()) return std::move(answer_);
    std::set<Pair> pairs = frozen_.pairs;
    for (const auto& demand : question_.demands) {
      pairs.insert({number(demand.from), number(demand.to)});
      if (!demand.moved_to.empty()) pairs.insert({number(demand.from), number(demand.moved_to)});
    }
    policy::Rules rules = frozen_.rules;
    for (const auto& [plane, toll] : question_.tolls_us) rules.tolls_us[plane] = toll;
    World before(frozen_, frozen_.links, frozen_.rules, pairs), after(frozen_, changed_links(), rules, pairs);
    before.choose(frozen_, pairs);
    Frozen held = frozen_;
    held.limited = before.limited();
    for (const Pair& pair : pairs)
      if (const Choices* choices = before.choices(pair)) held.selections[pair] = *choices;
    after.choose(held, pairs);
    answer_.pairs = pairs.size();
    compare_ways(before, after);
    compare_slas(before, after);
    compare_demands(before, after);
    return std::move(answer_);
  }

 private:
  std::uint32_t number(const std::string& name) const { return frozen_.numbers.at(name); }

  std::vector<telemetry::Link> changed_links() {
    for (const auto& name : question_.fail_nodes) failed_.insert(number(name));
    for (const auto& risk : frozen_.rules.risks) {
      if (std::count(question_.fail_risks.begin(), question_.fail_risks.end(), risk.name) == 0) continue;
      for (const auto& name : risk.nodes)
        if (frozen_.numbers.contains(name)) failed_.insert(number(name));
      for (const auto& line : risk.lines)
        if (frozen_.numbers.contains(line.node)) failed_lines_.emplace(number(line.node), line.plane);
    }
    std::map<telemetry::LinkKey, telemetry::Link> links;
    for (const auto& link : frozen_.links) links[link.key] = link;
    for (const auto& added : question_.add_links) {
      const ids::PlaneId plane{static_cast<std::uint8_t>(added.plane)};
      const telemetry::LinkKey key{ids::NodeId{number(added.a)}, ids::NodeId{number(added.b)}, plane, plane};
      for (const auto& way : {key, key.reversed()}) {
        telemetry::Link link{.key = way};
        link.state = LinkState::Usable;
        link.rtt_us = added.rtt_us;
        link.loss_ppm = added.loss_ppm;
        links[way] = link;
      }
    }
    std::vector<telemetry::Link> out;
    for (auto& [key, link] : links) {
      if (fails(key)) link.state = LinkState::Dead;
      out.push_back(link);
    }
    return out;
  }

  bool fails(const telemetry::LinkKey& key) const {
    if (failed_.contains(key.from.value) || failed_.contains(key.to.value)) return true;
    if (failed_lines_.contains({key.from.value, key.from_plane.value}) ||
        failed_lines_.contains({key.to.value, key.to_plane.value}))
      return true;
    const auto on = [&](std::uint32_t plane) {
      return key.from_plane.value == plane || key.to_plane.value == plane;
    };
    return std::any_of(question_.fail_planes.begin(), question_.fail_planes.end(), on) ||
           std::any_of(question_.fail_links.begin(), question_.fail_links.end(), [&](const auto& link) {
             const std::uint32_t a = number(link.a), b = number(link.b);
             const bool these =
                 (key.from.value == a && key.to.value == b) || (key.from.value == b && key.to.value == a);
             return these && (link.plane == 0 || on(link.plane));
           });
  }

  void compare_ways(const World& before, const World& after) {
    for (const Pair& pair : frozen_.pairs) {
      if (failed_.contains(pair.first) || failed_.contains(pair.second)) continue;
      const auto old = before.way(pair), now = after.way(pair);
      const bool same = old.has_value() == now.has_value() &&
                        (!old || (old->names == now->names && old->planes == now->planes));
      if (!same) answer_.moved.push_back({before.name(pair.first), before.name(pair.second), old, now});
    }
  }

  void compare_slas(const World& before, const World& after) {
    for (const policy::Sla& sla : frozen_.rules.slas) {
      const auto members = frozen_.tenants.find(sla.tenant);
      if (members == frozen_.tenants.end()) continue;
      for (const std::uint32_t from : members->second)
        for (const std::uint32_t to : members->second)
          if (frozen_.pairs.contains({from, to})) compare_sla(sla, {from, to}, before, after);
    }
  }

  void compare_sla(const policy::Sla& sla, const Pair& pair, const World& before, const World& after) {
    const auto old = before.way(pair, sla), now = after.way(pair, sla);
    const auto judge = [&](const char* term, std::uint32_t limit, std::uint32_t WhatIfAnswer::Way::*field) {
      const bool path = field == nullptr;
      if (!path && limit == 0) return;
      WhatIfAnswer::SlaChange change{.tenant = sla.tenant,
                                     .tier = sla.tier,
                                     .from = before.name(pair.first),
                                     .to = before.name(pair.second),
                                     .term = term,
                                     .limit = limit,
                                     .before = {},
                                     .after = {}};
      if (old) change.before = path ? old->cost_us : (*old).*field;
      if (now) change.after = path ? now->cost_us : (*now).*field;
      if (!path && (!old || !now)) return;  // "path" says it
      const bool held = path ? old.has_value() : *change.before <= limit;
      const bool holds = path ? now.has_value() : *change.after <= limit;
      if (held && !holds) answer_.broken.push_back(change);
      if (!held && holds) answer_.mended.push_back(change);
      if (!held && !holds) answer_.already_broken.push_back(change);
    };
    judge("path", 0, nullptr);
    judge("latency", sla.most_rtt_us, &WhatIfAnswer::Way::rtt_us);
    judge("loss", sla.most_loss_ppm, &WhatIfAnswer::Way::loss_ppm);
    judge("jitter", sla.most_jitter_us, &WhatIfAnswer::Way::jitter_us);
  }

  // Rates over all lists of each demand; only stated capacities can be full.
  std::vector<double> carried(const World& world, bool moved) const {
    using Key = std::tuple<std::uint32_t, std::uint32_t, std::uint32_t>;
    std::map<Key, te::Resource> resources;
    std::vector<double> capacities;
    for (const auto& c : question_.capacities) {
      for (const auto& [a, b] : {std::pair{c.a, c.b}, std::pair{c.b, c.a}}) {
        const Key key{number(a), number(b), c.plane};
        if (!resources.emplace(key, static_cast<te::Resource>(capacities.size())).second) continue;
        capacities.push_back(c.mbps);
      }
    }
    std::vector<te::Demand> demands;
    for (const auto& demand : question_.demands) {
      const Pair pair = goes(demand, moved);
      te::Demand wanted{.tier = demand.tier, .rate = demand.mbps, .paths = {}};
      // Its own access line, so that a way without a stated capacity is one too.
      const auto own = static_cast<te::Resource>(capacities.size());
      capacities.push_back(demand.mbps);
      for (const auto& choice : world.lists(pair, demand.tier)) {
        if (!world.works(pair, choice.route)) continue;
        std::vector<te::Resource> path{own};
        std::uint32_t at = pair.first;
        for (std::size_t hop = 0; hop < choice.route.hops(); ++hop) {
          const std::uint32_t next =
              hop < choice.route.relay_count ? choice.route.relays[hop].value : pair.second;
          const auto full = resources.find({at, next, choice.route.planes[hop].value});
          if (full != resources.end()) path.push_back(full->second);
          at = next;
        }
        wanted.paths.push_back(std::move(path));
      }
      demands.push_back(std::move(wanted));
    }
    const te::Allocation allocation(capacities, demands);
    std::vector<double> rates;
    for (std::size_t i = 0; i < demands.size(); ++i)
      rates.push_back(demands[i].paths.empty() ? 0 : allocation.rate(i));
    return rates;
  }

  Pair goes(const WhatIf::Demand& demand, bool moved) const {
    return {number(demand.from), number(moved && !demand.moved_to.empty() ? demand.moved_to : demand.to)};
  }

  std::optional<WhatIfAnswer::Way> way(const World& world, const WhatIf::Demand& demand, bool moved) const {
    const Pair pair = goes(demand, moved);
    return world.way(pair, world.lists(pair, demand.tier));
  }

  void compare_demands(const World& before, const World& after) {
    if (question_.demands.empty()) return;
    const auto old = carried(before, false), now = carried(after, true);
    for (std::size_t i = 0; i < old.size(); ++i) {
      const auto& demand = question_.demands[i];
      answer_.demands.push_back({demand.from, demand.to, demand.moved_to, demand.tier, demand.mbps, old[i],
                                 now[i], way(before, demand, false), way(after, demand, true)});
    }
  }

  const Frozen& frozen_;
  const WhatIf& question_;
  std::set<std::uint32_t> failed_;
  std::set<std::pair<std::uint32_t, std::uint8_t>> failed_lines_;  // and on which plane
  WhatIfAnswer answer_;
};

}  // namespace

WhatIfAnswer answer(const Frozen& frozen, const WhatIf& question) {
  return Answering(frozen, question).run();
}

}  // namespace qanat::domain
