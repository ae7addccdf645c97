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
  std::vector<base::Duration> down_until;  // of scenarios that kill or pause
  std::uint64_t run = 0;
  for (base::Duration now{}; now < options.length;
       now += dice.between(options.every / 2, options.every + options.every / 2)) {
    const Scenario* scenario = draw(scenarios, dice);
    if (!scenario) break;
    const Expansion expansion = expand(*scenario, topology, dice, busy, now);
    if (expansion.actions.empty() || now + expansion.actions.back().at > options.length) continue;
    // Links bear several faults at once, as layers; a daemon is killed by one scenario at a time.
    const auto is_busy = [&](const std::string& name) {
      const auto it = busy.find(name);
      return is_daemon(name) && it != busy.end() && it->second > now;
    };
    if (std::any_of(expansion.uses.begin(), expansion.uses.end(), is_busy)) continue;
    const bool stops = std::any_of(expansion.actions.begin(), expansion.actions.end(), [](const Action& a) {
      return a.verb == Verb::Kill || a.verb == Verb::Pause;
    });
    std::erase_if(down_until, [&](base::Duration until) { return until <= now; });
    if (stops && down_until.size() >= options.most_daemons_down) continue;
    if (stops) down_until.push_back(now + expansion.actions.back().at);
    ++run;
    const auto until = now + expansion.actions.back().at + options.rest;
    for (const auto& name : expansion.uses) busy[name] = std::max(busy[name], until);
    for (const auto& action : expansion.actions)
      plan.push_back({now + action.at, run, scenario->name, action});
  }
  std::stable_sort(plan.begin(), plan.end(), [](const auto& a, const auto& b) { return a.at < b.at; });
  return plan;
}

}  // namespace qanat::chaos
