#include "tools/lab/chaos/scenario.hh"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace qanat::chaos {

base::Duration Dice::between(base::Duration low, base::Duration high) {
  if (high <= low) return low;
  return low + base::Duration(
                   static_cast<base::Duration::rep>(share() * static_cast<double>((high - low).count())));
}

std::string_view to_string(Verb verb) {
  switch (verb) {
    case Verb::Set: return "set";
    case Verb::Cut: return "cut";
    case Verb::Clear: return "clear";
    case Verb::Isolate: return "isolate";
    case Verb::Rejoin: return "rejoin";
    case Verb::Partition: return "partition";
    case Verb::Heal: return "heal";
    case Verb::Kill: return "kill";
    case Verb::Restart: return "restart";
    case Verb::Pause: return "pause";
    case Verb::Resume: return "resume";
    case Verb::Flood: return "flood";
    case Verb::Burn: return "burn";
    case Verb::Clock: return "clock";
  }
  return "unknown";
}

bool is_fault(Verb verb) {
  return verb != Verb::Clear && verb != Verb::Rejoin && verb != Verb::Heal && verb != Verb::Restart &&
         verb != Verb::Resume;
}

std::string to_string(const Action& a) {
  std::string out(to_string(a.verb));
  if (!a.target.empty()) out += " " + a.target;
  if (!a.to.empty()) out += " to " + a.to;
  if (!a.spec.empty()) out += " " + a.spec;
  if (a.direction == "up" || a.direction == "down") out += " (" + a.direction + ")";
  if (a.verb == Verb::Partition || a.verb == Verb::Heal) out += fmt::format(" ({} links)", a.links.size());
  if (a.by != base::Duration{})
    out += fmt::format(" by {:+.0f} s", std::chrono::duration<double>(a.by).count());
  if (a.lasts != base::Duration{})
    out += fmt::format(" for {:.1f} s", std::chrono::duration<double>(a.lasts).count());
  return out;
}

std::vector<std::string> daemons(const lab::Topology& topology) {
  std::vector<std::string> out;
  for (const auto& c : topology.controllers) out.push_back("controller-" + c.name);
  for (const auto& n : topology.nodes)
    if (n.box && !topology.controllers.empty()) out.push_back("qanatd-" + n.name);
  for (const auto& p : topology.pools) out.push_back("pool-" + p.id);
  for (const auto& g : topology.gateways) out.push_back("gateway-" + g.node);
  return out;
}

namespace {

std::vector<std::string> all_of_kind(const std::string& kind, const lab::Topology& topology) {
  std::vector<std::string> out;
  if (kind == "link")
    for (const auto& link : topology.links) out.push_back(link.name);
  if (kind == "node" || kind == "box" || kind == "relay")
    for (const auto& node : topology.nodes)
      if (kind == "node" || (kind == "box" && node.box) || (kind == "relay" && node.relay))
        out.push_back(node.name);
  if (kind == "member" && !topology.tenants.empty()) out = topology.tenants.front().members;
  const auto with = [&](const std::string& prefix) {
    for (const auto& daemon : daemons(topology))
      if (daemon.starts_with(prefix)) out.push_back(daemon);
  };
  if (kind == "daemon") with("");
  if (kind == "qanatd" || kind == "controller" || kind == "pool" || kind == "gateway") with(kind + "-");
  return out;
}

std::vector<std::string> links_of(const std::string& node, const lab::Topology& topology) {
  std::vector<std::string> out;
  for (const auto& link : topology.links)
    if (link.a == node || link.b == node) out.push_back(link.name);
  return out;
}

bool is_link_verb(Verb verb) { return verb == Verb::Set || verb == Verb::Cut || verb == Verb::Clear; }
bool is_daemon_verb(Verb verb) {
  return verb == Verb::Kill || verb == Verb::Restart || verb == Verb::Pause || verb == Verb::Resume ||
         verb == Verb::Clock;
}

bool contains(const std::vector<std::string>& list, const std::string& name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

// The links between two groups that the dice make; neither is empty.
std::vector<std::string> split(const lab::Topology& topology, Dice& dice) {
  const std::size_t n = topology.nodes.size();
  std::set<std::string> side;
  const std::size_t first = dice.below(n);
  for (std::size_t i = 0; i < n; ++i)
    if (i == first || (dice.below(2) == 1 && side.size() + 1 < n)) side.insert(topology.nodes[i].name);
  if (side.size() == n) side.erase(topology.nodes[(first + 1) % n].name);
  std::vector<std::string> out;
  for (const auto& link : topology.links)
    if (side.count(link.a) != side.count(link.b)) out.push_back(link.name);
  return out;
}

}  // namespace

std::vector<std::string> candidates(const std::string& kind, const lab::Topology& topology,
                                    const std::map<std::string, base::Duration>& busy, base::Duration now) {
  auto out = all_of_kind(kind, topology);
  std::erase_if(out, [&](const std::string& name) {
    const auto it = busy.find(name);
    return it != busy.end() && it->second > now;
  });
  return out;
}

Expansion expand(const Scenario& scenario, const lab::Topology& topology, Dice& dice,
                 const std::map<std::string, base::Duration>& busy, base::Duration now) {
  Expansion out;
  std::map<std::string, std::string> picked;
  std::set<std::string> taken;
  for (const auto& [name, kind] : scenario.picks) {
    auto from = candidates(kind, topology, busy, now);
    std::erase_if(from, [&](const std::string& c) { return taken.count(c) != 0; });
    if (from.empty())
      return {{}, {}, fmt::format("{}: the topology has no {} left to pick", scenario.name, kind)};
    picked[name] = from[dice.below(from.size())];
    taken.insert(picked[name]);
  }
  const auto name_of = [&](const std::string& text) {
    return text.starts_with('$') ? picked[text.substr(1)] : text;
  };
  const auto all_daemons = daemons(topology);
  std::vector<std::string> split_links;
  base::Duration at{};
  std::map<std::string, std::string> directions;  // "any" is one direction for a link throughout
  for (const Step& step : scenario.steps) {
    const auto drawn = dice.between(step.at.low, step.at.high);
    at = step.absolute ? drawn : at + drawn;
    Action action;
    action.at = at;
    action.verb = step.verb;
    action.target = name_of(step.on);
    action.to = name_of(step.to);
    action.spec = step.spec;
    action.lasts = step.lasts;
    action.by = step.by;
    action.threads = step.threads;
    action.direction = step.direction;
    if (step.direction == "any")
      action.direction = directions.try_emplace(action.target, dice.below(2) ? "up" : "down").first->second;
    if (is_link_verb(step.verb)) {
      if (!topology.link(action.target)) return {{}, {}, fmt::format("there is no link '{}'", action.target)};
      action.links = {action.target};
    } else if (is_daemon_verb(step.verb)) {
      if (!contains(all_daemons, action.target))
        return {{}, {}, fmt::format("there is no daemon '{}'", action.target)};
    } else if (step.verb == Verb::Isolate || step.verb == Verb::Rejoin) {
      if (!topology.node(action.target)) return {{}, {}, fmt::format("there is no node '{}'", action.target)};
      action.links = links_of(action.target, topology);
    } else if (step.verb == Verb::Partition) {
      action.links = split_links = split(topology, dice);
    } else if (step.verb == Verb::Heal) {
      action.links = split_links;
    } else if (step.verb == Verb::Flood) {
      for (const auto& end : {action.target, action.to})
        if (!topology.node(end)) return {{}, {}, fmt::format("there is no node '{}'", end)};
    }
    for (const auto& link : action.links)
      if (!contains(out.uses, link)) out.uses.push_back(link);
    if (is_daemon_verb(step.verb) && !contains(out.uses, action.target)) out.uses.push_back(action.target);
    out.actions.push_back(std::move(action));
  }
  std::stable_sort(out.actions.begin(), out.actions.end(),
                   [](const auto& a, const auto& b) { return a.at < b.at; });
  return out;
}

}  // namespace qanat::chaos
