// qanat top: boxes, paths, calls and pools of this machine, drawn again and again: two looks, and what lies between them.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/config.hh"
#include "tools/qanat/ask.hh"
#include "tools/qanat/commands.hh"
#include "tools/qanat/live.hh"
#include "tools/qanat/table.hh"

namespace qanat::cli {
using nlohmann::json;
namespace {

constexpr std::size_t kMostPaths = 12;

// Who is asked, and what each said: null where it does not answer.
struct Look {
  std::chrono::steady_clock::time_point at;
  std::map<std::string, json> status, paths;          // of boxes
  std::map<std::string, json> gateway, books, pools;  // of gateways
  json controller;
};
struct Asked {
  std::string where;
  std::map<std::string, Place> boxes, gateways;
  std::optional<Place> controller;
};

Asked whom(const Options& options) {
  Asked asked;
  const auto at = [](const std::string& what, const std::string& socket) {
    return Place{what, "unix:" + socket, {}, {}};
  };
  if (const auto state = find_lab(options)) {
    asked.where = "lab " + state->name;
    for (const auto& n : state->nodes)
      if (!n.socket.empty()) asked.boxes[n.name] = at("box " + n.name, n.socket);
    for (const auto& g : state->gateways) asked.gateways[g.node] = at("gateway " + g.node, g.socket);
    if (!state->controllers.empty()) asked.controller = find_controller(options);
    return asked;
  }
  asked.where = "this machine";
  const auto here = [](const char* socket) { return ::access(socket, F_OK) == 0; };
  if (here("/run/qanat/qanatd.sock")) asked.boxes["box"] = at("the box", "/run/qanat/qanatd.sock");
  if (here("/run/qanat/gateway.sock"))
    asked.gateways["gateway"] = at("the gateway", "/run/qanat/gateway.sock");
  if (here("/run/qanat/controller.sock"))
    asked.controller = at("the controller", "/run/qanat/controller.sock");
  if (asked.boxes.empty() && asked.gateways.empty() && !asked.controller)
    throw CommandError{
        kNotReachable, "no lab runs on this machine, and no service of a package",
        "`qanat up` starts a lab; from afar `qanat node list` and `qanat grade list` show parts of this"};
  return asked;
}

Look look(const Asked& asked) {
  Look seen;
  std::string ignored;
  const auto get = [&](const Place& place, const std::string& target) {
    json answer;
    return try_ask(place, target, answer, ignored) ? answer : json();
  };
  for (const auto& [name, place] : asked.boxes) {
    seen.status[name] = get(place, "/v1/status");
    seen.paths[name] = seen.status[name].is_null() ? json() : get(place, "/v1/paths");
  }
  for (const auto& [name, place] : asked.gateways) {
    seen.gateway[name] = get(place, "/v1/status");
    seen.books[name] = get(place, "/v1/ledger/totals");
    seen.pools[name] = get(place, "/v1/pools");
  }
  if (asked.controller) seen.controller = get(*asked.controller, "/v1/status");
  seen.at = std::chrono::steady_clock::now();
  return seen;
}

double number(const json& object, const char* key) {
  if (!object.is_object()) return 0;
  const auto it = object.find(key);
  return it != object.end() && it->is_number() ? it->get<double>() : 0;
}
std::string word(const json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : "-";
}

// A path's bytes are counted by its number, tier and destination.
using PathKey = std::tuple<std::string, std::string, std::string>;
PathKey key_of(const json& p) { return {p["path"].dump(), word(p, "to"), word(p, "tier")}; }

json paths_between(const Look& before, const Look& now, const std::string& box, double seconds) {
  std::map<PathKey, double> then;
  if (const auto it = before.paths.find(box); it != before.paths.end() && it->second.is_array())
    for (const json& p : it->second) then[key_of(p)] = number(p, "bytes");
  json list = json::array();
  if (!now.paths.at(box).is_array()) return list;
  for (const json& p : now.paths.at(box)) {
    const auto was = then.find(key_of(p));
    const double bits = was == then.end() ? 0 : 8 * std::max(0.0, number(p, "bytes") - was->second) / seconds;
    list.push_back({{"from", box},
                    {"to", word(p, "to")},
                    {"by", p.value("names", json::array())},
                    {"tier", word(p, "tier")},
                    {"active", p.value("active", false)},
                    {"alive", p.value("alive", false)},
                    {"rtt_us", number(p, "rtt_us")},
                    {"loss_ppm", number(p, "loss_ppm")},
                    {"bits_per_s", bits}});
  }
  return list;
}

json figures(const Asked& asked, const Look& before, const Look& now) {
  const double seconds = std::max(0.001, std::chrono::duration<double>(now.at - before.at).count());
  json all{{"where", asked.where},   {"seconds", seconds},     {"controller", now.controller},
           {"boxes", json::array()}, {"paths", json::array()}, {"gateways", json::array()},
           {"pools", json::array()}};
  for (const auto& [name, status] : now.status) {
    double bits = 0;
    std::size_t alive = 0, in_all = 0;
    for (json& p : paths_between(before, now, name, seconds)) {
      bits += p["bits_per_s"].get<double>();
      alive += p["alive"].get<bool>() ? 1 : 0;
      ++in_all;
      if (p["active"].get<bool>()) all["paths"].push_back(std::move(p));
    }
    all["boxes"].push_back(
        {{"name", name},
         {"up", !status.is_null()},
         {"controller",
          status.is_object() ? status.value("/controller/connected"_json_pointer, false) : false},
         {"sessions", number(status, "sessions")},
         {"paths_alive", alive},
         {"paths", in_all},
         {"bits_per_s", bits}});
  }
  auto& paths = all["paths"].get_ref<json::array_t&>();
  std::stable_sort(paths.begin(), paths.end(), [](const json& x, const json& y) {
    return x["bits_per_s"].get<double>() > y["bits_per_s"].get<double>();
  });
  for (const auto& [name, status] : now.gateway) {
    const auto rate = [&, &gateway = name](const char* key) {
      const auto was = before.books.find(gateway);
      if (was == before.books.end() || was->second.is_null() || now.books.at(gateway).is_null()) return 0.0;
      return std::max(0.0, number(now.books.at(gateway), key) - number(was->second, key)) / seconds;
    };
    all["gateways"].push_back({{"name", name},
                               {"up", !status.is_null()},
                               {"calls_in_flight", number(status, "calls_in_flight")},
                               {"calls_per_s", rate("calls")},
                               {"tokens_per_s", rate("tokens_delivered")},
                               {"calls", number(now.books.at(name), "calls")},
                               {"ledger_backlog", number(status, "ledger_backlog")}});
    for (const json& p : now.pools.at(name).is_array() ? now.pools.at(name) : json::array()) {
      double running = 0, waiting = 0, slots = 0, used = 0, total = 0;
      for (const json& e : p.value("engines", json::array())) {
        running += number(e, "running");
        waiting += number(e, "waiting");
        slots += number(e, "max_num_seqs");
        used += number(e, "kv_used_tokens");
        total += number(e, "kv_total_tokens");
      }
      all["pools"].push_back({{"gateway", name},
                              {"pool", p["id"].is_string() ? p["id"] : p["url"]},
                              {"health", p.value("fresh", false) ? word(p, "health") : "not heard of"},
                              {"running", running},
                              {"waiting", waiting},
                              {"slots", slots},
                              {"kv_used", total > 0 ? used / total : 0},
                              {"in_flight", number(p, "in_flight")},
                              {"rtt_ms", number(p, "rtt_ms")}});
    }
  }
  return all;
}

std::string rate(double bits) {
  return bits < 1e6 ? fmt::format("{:.0f} kbit/s", bits / 1e3) : fmt::format("{:.1f} Mbit/s", bits / 1e6);
}

std::string headline(const json& all) {
  std::size_t up = 0;
  double calls = 0, tokens = 0, under_way = 0;
  for (const json& b : all["boxes"]) up += b["up"].get<bool>() ? 1 : 0;
  for (const json& g : all["gateways"]) {
    calls += g["calls_per_s"].get<double>();
    tokens += g["tokens_per_s"].get<double>();
    under_way += g["calls_in_flight"].get<double>();
  }
  const std::time_t now = std::time(nullptr);
  std::tm tm{};
  localtime_r(&now, &tm);
  return fmt::format(
      "{:02}:{:02}:{:02}  {}: {} of {} boxes up, {:.0f} calls under way, {:.1f} a second, {:.0f} tokens a "
      "second\n",
      tm.tm_hour, tm.tm_min, tm.tm_sec, word(all, "where"), up, all["boxes"].size(), under_way, calls,
      tokens);
}

std::string screen(const json& all, std::size_t width) {
  std::string out = headline(all);
  const auto add = [&](const Table& table) {
    if (!table.empty()) out += "\n" + table.text(width);
  };
  Table boxes{{"BOX", "STATE", "CONTROLLER", ">SESSIONS", ">PATHS ALIVE", ">SENDS"}};
  for (const json& b : all["boxes"])
    boxes.row(
        {word(b, "name"), b["up"].get<bool>() ? "up" : "DOWN",
         b["controller"].get<bool>() ? "connected" : "away", fmt::format("{:.0f}", number(b, "sessions")),
         fmt::format("{} of {}", b["paths_alive"].dump(), b["paths"].dump()), rate(number(b, "bits_per_s"))});
  add(boxes);
  Table paths{{"PATH IN USE", "TIER", ">RTT", ">LOSS", ">CARRIES"}};
  for (std::size_t i = 0; i < std::min(all["paths"].size(), kMostPaths); ++i) {
    const json& p = all["paths"][i];
    paths.row({word(p, "from") + " > " +
                   fmt::format("{}", fmt::join(p["by"].get<std::vector<std::string>>(), " > ")),
               word(p, "tier"), milliseconds(number(p, "rtt_us")), percent(number(p, "loss_ppm")),
               p["alive"].get<bool>() ? rate(number(p, "bits_per_s")) : "DEAD"});
  }
  add(paths);
  Table gateways{{"GATEWAY", "STATE", ">UNDER WAY", ">CALLS/S", ">TOKENS/S", ">CALLS EVER", ">TO BE BOOKED"}};
  for (const json& g : all["gateways"])
    gateways.row({word(g, "name"), g["up"].get<bool>() ? "up" : "DOWN",
                  fmt::format("{:.0f}", number(g, "calls_in_flight")),
                  fmt::format("{:.1f}", number(g, "calls_per_s")),
                  fmt::format("{:.0f}", number(g, "tokens_per_s")), fmt::format("{:.0f}", number(g, "calls")),
                  fmt::format("{:.0f}", number(g, "ledger_backlog"))});
  add(gateways);
  Table pools{{"POOL", "SEEN FROM", "HEALTH", ">RUNNING", ">WAITING", ">OF", ">KV", ">OURS", ">RTT"}};
  for (const json& p : all["pools"])
    pools.row({word(p, "pool"), word(p, "gateway"), word(p, "health"),
               fmt::format("{:.0f}", number(p, "running")), fmt::format("{:.0f}", number(p, "waiting")),
               fmt::format("{:.0f}", number(p, "slots")), fmt::format("{:.0f} %", 100 * number(p, "kv_used")),
               fmt::format("{:.0f}", number(p, "in_flight")), milliseconds(1000 * number(p, "rtt_ms"))});
  add(pools);
  return out;
}

}  // namespace

int top(const Options& options, const TopRequest& request) {
  const auto every = base::parse_duration(request.every);
  if (!every || *every < std::chrono::milliseconds(100))
    throw CommandError{kWrongUsage, "--every: \"" + request.every + "\" is not a duration from 100ms", "2s"};
  const Asked asked = whom(options);
  const bool drawn = ::isatty(STDOUT_FILENO) == 1 && !options.json && !request.once;
  Look before = look(asked);
  for (;;) {
    std::this_thread::sleep_for(*every);
    Look now = look(asked);
    const json all = figures(asked, before, now);
    if (drawn)
      draw(screen(all, terminal_width()) + "\nCtrl-C ends.\n");
    else
      fmt::print("{}\n", options.json ? all.dump(request.once ? 2 : -1) : screen(all, terminal_width()));
    std::fflush(stdout);
    if (request.once) return 0;
    before = std::move(now);
  }
}

}  // namespace qanat::cli
