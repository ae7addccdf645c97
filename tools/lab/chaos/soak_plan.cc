#include "tools/lab/chaos/soak_plan.hh"

#include <algorithm>

namespace qanat::chaos {
namespace {

const Scenario* draw(const std::vector<Scenario>& scenarios, Dice& dice) {
  double total = 0;
  for (const auto& s : scenarios) total += s.weight;
  double at = dice.share() * total;
  for (const auto& s : scenarios)
    if (s.weight > 0 && (at -= s.weight) < 0) return &s;
  return nullptr;
}

bool is_daemon(const std::string& name) {
  for (const char* kind : {"qanatd-", "controller-", "pool-", "gateway-"})
    if (name.starts_with(kind)) return true;
  return false;
}

}  // namespace

std::vector<PlannedAction> plan_soak(const std::vector<Scenario>& scenarios, const lab::Topology& topology,
                                     std::uint64_t seed, const SoakPlanOptions& options) {
  Dice dice(seed);
  std::vector<PlannedAction> plan;
  std::map<std::string, base::Duration> busy;
  std::uint64_t run = 0;
  for (base::Duration now{}; now < options.length;
       now += dice.between(options.every / 2, options.every + options.every / 2)) {
    const Scenario* scenario = draw(scenarios, dice);
    if (!scenario) break;
    const Expansion expansion = expand(*scenario, topology, dice, busy, now);
    if (expansion.actions.empty() || now + expansion.actions.back().at > options.length) continue;
    const auto is_busy = [&](const std::string& name) {
      const auto it = busy.find(name);
      return it != busy.end() && it->second > now;
    };
    if (std::any_of(expansion.uses.begin(), expansion.uses.end(), is_busy)) continue;
    std::size_t daemons_down = 0;
    for (const auto& [name, until] : busy) daemons_down += is_daemon(name) && until - options.rest > now;
    const bool takes_daemon = std::any_of(expansion.uses.begin(), expansion.uses.end(), is_daemon);
    if (takes_daemon && daemons_down >= options.most_daemons_down) continue;
    ++run;
    const auto until = now + expansion.actions.back().at + options.rest;
    for (const auto& name : expansion.uses) busy[name] = until;
    for (const auto& action : expansion.actions)
      plan.push_back({now + action.at, run, scenario->name, action});
  }
  std::stable_sort(plan.begin(), plan.end(), [](const auto& a, const auto& b) { return a.at < b.at; });
  return plan;
}

}  // namespace qanat::chaos
