// Reading scenario files: the grammar of qanat-lab(5), every problem with its line and key.
#include <fmt/format.h>

#include <cstdio>

#include "base/config.hh"
#include "base/file.hh"
#include "tools/lab/chaos/scenario.hh"

namespace qanat::chaos {
namespace {

using base::ConfigTable;
using namespace std::chrono_literals;

constexpr Verb kVerbs[] = {Verb::Set,       Verb::Cut,   Verb::Clear, Verb::Isolate, Verb::Rejoin,
                           Verb::Partition, Verb::Heal,  Verb::Kill,  Verb::Restart, Verb::Pause,
                           Verb::Resume,    Verb::Flood, Verb::Burn,  Verb::Clock};

// "2s" or "1s..4s".
Range read_range(ConfigTable& table, std::string_view key) {
  const std::string text = table.string(key, "0s");
  const auto dots = text.find("..");
  const auto low = base::parse_duration(text.substr(0, dots)),
             high = dots == std::string::npos ? low : base::parse_duration(text.substr(dots + 2));
  if (!low || !high || *high < *low) {
    table.problem(key, fmt::format("'{}'", text), "a time such as \"2s\", or a range such as \"500ms..4s\"");
    return {};
  }
  return {*low, *high};
}

// A duration that may be negative: "-10m".
base::Duration read_jump(ConfigTable& table, std::string_view key) {
  std::string text = table.string(key, "");
  const bool back = text.starts_with('-');
  if (back || text.starts_with('+')) text.erase(0, 1);
  const auto value = base::parse_duration(text);
  if (!value) table.problem(key, fmt::format("'{}'", text), "a time such as \"+10m\" or \"-2s\"");
  return value ? (back ? -*value : *value) : base::Duration{};
}

void read_step(ConfigTable& table, Scenario& scenario) {
  Step step;
  const std::string verb =
      table.one_of("do", {"set", "cut", "clear", "isolate", "rejoin", "partition", "heal", "kill", "restart",
                          "pause", "resume", "flood", "burn", "clock"});
  for (const Verb v : kVerbs)
    if (verb == to_string(v)) step.verb = v;
  step.absolute = table.has("at");
  if (step.absolute && table.has("after")) table.problem("after", "beside `at`", "one of them");
  step.at = read_range(table, step.absolute ? "at" : "after");
  const bool needs_target =
      step.verb != Verb::Partition && step.verb != Verb::Heal && step.verb != Verb::Burn;
  if (needs_target) step.on = table.string("on");
  if (step.on.starts_with('$') && !scenario.picks.count(step.on.substr(1)))
    table.problem("on", fmt::format("'{}' was not picked", step.on), "a name of the [pick] table");
  if (step.verb == Verb::Set) {
    step.spec = table.string("spec");
    if (const auto spec = linkem::parse_spec(step.spec); !spec)
      table.problem("spec", "\n" + spec.error().describe(step.spec), "a link's SPEC, see linkem(1)");
  }
  if (step.verb == Verb::Set || step.verb == Verb::Cut)
    step.direction = table.one_of("direction", {"both", "up", "down", "any"}, "both");
  if (step.verb == Verb::Flood) {
    step.to = table.string("to");
    step.spec = table.string("rate", "50mbit");
    if (const auto spec = linkem::parse_spec(step.spec); !spec || spec->rate_bps == 0)
      table.problem("rate", fmt::format("'{}'", step.spec), "a rate such as \"50mbit\"");
    if (step.to.starts_with('$') && !scenario.picks.count(step.to.substr(1)))
      table.problem("to", fmt::format("'{}' was not picked", step.to), "a name of the [pick] table");
  }
  if (step.verb == Verb::Flood || step.verb == Verb::Burn)
    step.lasts = table.duration("lasts", 10ms, 60s, 2s);
  if (step.verb == Verb::Burn)
    step.threads = static_cast<int>(table.integer("threads", {.min = 1, .max = 64}, 2));
  if (step.verb == Verb::Clock) step.by = read_jump(table, "by");
  scenario.steps.push_back(std::move(step));
}

}  // namespace

Scenario read_scenario(ConfigTable& root) {
  Scenario scenario;
  scenario.name = root.string("name");
  scenario.about = root.string("about", "");
  scenario.weight = root.number("weight", {.min = 0, .max = 1000}, 1);
  if (auto picks = root.table("pick"))
    for (const char* name :
         {"x", "y", "link", "node", "box", "relay", "controller", "pool", "gateway", "daemon", "from", "to"})
      if (picks->has(name))
        scenario.picks[name] = picks->one_of(name, {"link", "node", "box", "member", "relay", "controller",
                                                    "pool", "gateway", "daemon", "qanatd"});
  for (auto& table : root.tables("step", true)) read_step(table, scenario);
  return scenario;
}

bool load_scenario(const std::string& file, Scenario& out) {
  base::ConfigReader reader(base::read_file(file), file);
  auto root = reader.root();
  out = read_scenario(root);
  const auto problems = reader.problems();
  for (const auto& problem : problems) fmt::print(stderr, "{}\n", to_string(problem));
  return problems.empty();
}

}  // namespace qanat::chaos
