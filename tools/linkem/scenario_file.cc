#include "tools/linkem/scenario_file.hh"

#include <fmt/format.h>

#include "base/config.hh"
#include "tools/linkem/links_file.hh"

namespace qanat::linkem {
namespace {

using namespace std::chrono_literals;

constexpr base::Duration kLongest = 24h * 30;
constexpr base::Duration kShortest = 1us;

std::string read_items(base::ConfigTable& table, const std::string& items) {
  if (const auto spec = parse_spec(items); !spec) bad_text(table, "set", items, spec.error());
  if (items.empty()) table.problem("set", "is empty", "SPEC items such as \"loss=5%\"");
  return items;
}

Which read_which(base::ConfigTable& table, bool any) {
  const auto word = any ? table.one_of("direction", {"both", "up", "down", "any"}, "both")
                        : table.one_of("direction", {"both", "up", "down"}, "both");
  return word == "up" ? Which::Up : word == "down" ? Which::Down : word == "any" ? Which::Any : Which::Both;
}

ScenarioEvent read_event(base::ConfigTable& table) {
  ScenarioEvent event;
  event.relative = table.has("after");
  if (event.relative && table.has("at")) {
    table.duration("at", {}, kLongest);
    table.problem("after", "stands beside at", "one of the two");
  }
  event.at = table.duration(event.relative ? "after" : "at", {}, kLongest);
  event.link = table.string("link", "*");
  event.which = read_which(table, false);
  event.items = read_items(table, table.string("set"));
  if (table.has("for")) event.lasts = table.duration("for", kShortest, kLongest);
  return event;
}

ScenarioRandom read_random(base::ConfigTable& table) {
  ScenarioRandom random;
  random.from = table.duration("from", {}, kLongest, {});
  random.until = table.duration("until", kShortest, kLongest);
  random.every = table.duration("every", 1ms, kLongest);
  if (random.until <= random.from) table.problem("until", "is not after from", "a later time");
  random.link = table.string("link", "*");
  random.which = read_which(table, true);
  for (const auto& items : table.strings("set", true)) random.choices.push_back(read_items(table, items));
  if (!table.has("for")) return random;
  const auto range = table.strings("for", true);
  const auto shortest = range.size() == 2 ? base::parse_duration(range[0]) : std::nullopt;
  const auto longest = range.size() == 2 ? base::parse_duration(range[1]) : std::nullopt;
  if (!shortest || !longest || *shortest <= base::Duration{} || *longest < *shortest)
    table.problem("for", fmt::format("has {} values", range.size()),
                  "two durations, the shorter first, as in [\"100ms\", \"3s\"]");
  else
    random.lasts = {*shortest, *longest};
  return random;
}

}  // namespace

Scenario parse_scenario(const std::string& text, const std::string& file,
                        std::vector<std::string>& problems) {
  base::ConfigReader reader(text, file);
  auto root = reader.root();
  Scenario scenario;
  if (const auto seed = root.optional_integer("seed", {.min = 0}))
    scenario.seed = static_cast<std::uint64_t>(*seed);
  for (auto& table : root.tables("event")) scenario.events.push_back(read_event(table));
  for (auto& table : root.tables("random")) scenario.randoms.push_back(read_random(table));
  for (const auto& problem : reader.problems()) problems.push_back(to_string(problem));
  return scenario;
}

}  // namespace qanat::linkem
