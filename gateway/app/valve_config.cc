#include "gateway/app/valve_config.hh"

#include <algorithm>
#include <chrono>

#include "base/config.hh"

namespace qanat::app {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

void read_tasks(base::ConfigTable& table, place::ValveSettings& settings) {
  for (base::ConfigTable& task : table.tables("task")) {
    place::ValveTask one;
    one.name = task.string("name");
    one.engines = static_cast<std::uint32_t>(task.integer("engines", {1, 4096}, 1));
    if (task.has("at")) one.at = task.duration("at", {}, settings.period);
    one.lasts = task.duration("lasts", {}, settings.period, {});
    if (task.has("streams_over")) one.streams_over = task.number("streams_over", {0, 1e6});
    if (!one.at && !one.streams_over)
      task.problem("", "nothing triggers it", "at = \"9h\" with lasts, or streams_over");
    if (one.at && one.lasts.count() == 0)
      task.problem("lasts", "is missing", "for how long after `at`, such as \"30m\"");
    settings.tasks.push_back(std::move(one));
  }
}

}  // namespace

void read_valves(base::ConfigTable& root, const std::vector<resolve::PoolConfig>& pools,
                 std::vector<ValveConfig>& valves) {
  for (base::ConfigTable& table : root.tables("valve")) {
    ValveConfig v;
    place::ValveSettings& s = v.settings;
    v.model = table.string("model");
    s.mode =
        place::parse_valve_mode(table.one_of("mode", {"auto", "ask", "closed"}, "auto")).value_or(s.mode);
    s.local_streams = table.number("local_streams", {0, 1e6});
    s.open_at = table.number("open_at", {0.01, 10}, s.open_at);
    s.shut_at = table.number("shut_at", {0.01, 10}, s.shut_at);
    if (s.shut_at > s.open_at)
      table.problem("shut_at", "is above open_at", "below it, so that nothing flaps");
    s.forecast = table.boolean("forecast", s.forecast);
    s.cool_down = table.duration("cool_down", milliseconds(100), hours(24), s.cool_down);
    s.lead = table.duration("lead", {}, hours(24), s.lead);
    s.plan_ttl = table.duration("plan_ttl", seconds(1), hours(24 * 30), s.plan_ttl);
    s.period = table.duration("period", seconds(1), hours(24 * 7), s.period);
    s.budget = table.integer("budget_nano", {-1, INT64_MAX}, -1);
    read_tasks(table, s);
    for (base::ConfigTable& placeholder : table.tables("placeholder")) {
      ValveRemote remote;
      remote.pool = placeholder.string("pool");
      while (remote.pool.ends_with('/')) remote.pool.pop_back();
      remote.engines = static_cast<std::uint32_t>(placeholder.integer("engines", {1, 4096}, 1));
      remote.streams = placeholder.number("streams", {0.01, 1e6});
      if (!remote.pool.empty() &&
          std::none_of(pools.begin(), pools.end(), [&](const auto& p) { return p.url == remote.pool; }))
        placeholder.problem("pool", "no [[pool]] has this url", "the url of one");
      v.remotes.push_back(std::move(remote));
    }
    if (std::any_of(valves.begin(), valves.end(), [&](const auto& o) { return o.model == v.model; }))
      table.problem("model", "has a valve already", "one [[valve]] for each model");
    valves.push_back(std::move(v));
  }
}

}  // namespace qanat::app
