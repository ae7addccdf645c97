// What runs, and how the network carries: status, node list, tenant list, path show.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "base/http_message.hh"
#include "tools/qanat/ask.hh"
#include "tools/qanat/commands.hh"
#include "tools/qanat/table.hh"

namespace qanat::cli {
using nlohmann::json;
namespace {

void print(const json& document) { fmt::print("{}\n", document.dump(2)); }

// A field as text, "-" where it is missing.
std::string text(const json& object, const char* key) {
  const auto it = object.find(key);
  if (it == object.end() || it->is_null()) return "-";
  return it->is_string() ? it->get<std::string>() : it->dump();
}

std::string joined(const json& list, const char* separator) {
  std::vector<std::string> parts;
  if (list.is_array())
    for (const json& each : list) parts.push_back(each.is_string() ? each.get<std::string>() : each.dump());
  return fmt::format("{}", fmt::join(parts, separator));
}

std::string yes(const json& object, const char* key) { return object.value(key, false) ? "yes" : "no"; }

// Of a list, where the controller spreads the flows.
std::string weight(const json& path) {
  const auto it = path.find("weight");
  return it != path.end() && it->is_number() ? fmt::format("{:.1f} %", it->get<double>() / 10) : "";
}

// "" where another level chose the list.
std::string reason(const json& path) {
  std::string out;
  if (const auto it = path.find("reason"); it != path.end() && it->is_string()) out = it->get<std::string>();
  if (const auto it = path.find("shares"); it != path.end() && !it->empty())
    out += ", shares " + joined(*it, ", ");
  return out;
}

std::string way(const std::string& from, const json& path) {
  return path["names"].empty() ? "none" : from + " > " + joined(path["names"], " > ");
}

std::string allocated(const json& path) {
  const double bps = path.value("allocated_bps", 0.0);
  return bps > 0 ? fmt::format("{:.1f} Mbit/s", bps * 1e-6) : "";
}

struct Daemon {
  std::string kind;
  std::string name;
  Place place;
  std::string target;
};

std::vector<Daemon> daemons_of(const lab::LabState& state) {
  std::vector<Daemon> out;
  const auto add = [&](std::string kind, std::string name, const std::string& socket) {
    if (!socket.empty())
      out.push_back({kind, name, {kind + " " + name, "unix:" + socket, {}, {}}, "/v1/status"});
  };
  for (const auto& c : state.controllers) add("controller", c.name, c.socket);
  for (const auto& n : state.nodes) add("box", n.name, n.socket);
  for (const auto& g : state.gateways) add("gateway", g.node, g.socket);
  for (const auto& p : state.pools) add("pool", p.id, p.socket);
  return out;
}

// The few figures of a status that fit on a line.
std::string digest(const json& status) {
  std::vector<std::string> parts;
  if (const auto c = status.find("controller"); c != status.end() && c->is_object())
    parts.push_back(fmt::format("controller {}", c->value("connected", false) ? "connected" : "away"));
  for (const auto& [key, value] : status.items())
    if (value.is_number() || value.is_boolean()) parts.push_back(fmt::format("{} {}", key, value.dump()));
  return fmt::format("{}", fmt::join(parts, ", "));
}

}  // namespace

int show_status(const Options& options) {
  if (!options.socket.empty()) {
    print(ask({"the daemon at " + options.socket, "unix:" + options.socket, {}, {}}, "GET", "/v1/status"));
    return 0;
  }
  const auto state = find_lab(options);
  if (!state)
    throw CommandError{kNotReachable, "no lab runs on this machine",
                       "`qanat up` starts one; `qanat status --socket PATH` asks one daemon"};
  bool all = true;
  json document{{"lab", state->name}, {"ready", state->ready}, {"daemons", json::array()}};
  Table table{{"KIND", "NAME", "STATE", "DETAIL"}};
  for (const Daemon& daemon : daemons_of(*state)) {
    json status;
    std::string problem;
    const bool reached = try_ask(daemon.place, daemon.target, status, problem);
    all = all && reached;
    json entry{{"kind", daemon.kind}, {"name", daemon.name}, {"reachable", reached}};
    if (reached)
      entry["status"] = status;
    else
      entry["problem"] = problem;
    document["daemons"].push_back(std::move(entry));
    table.row({daemon.kind, daemon.name, reached ? "up" : "DOWN", reached ? digest(status) : problem});
  }
  if (options.json)
    print(document);
  else
    fmt::print("lab {}{}\n\n{}", state->name, state->ready ? "" : " (still coming up)",
               table.text(terminal_width()));
  return all ? 0 : kNotReachable;
}

int list_nodes(const Options& options) {
  const json nodes = ask(find_controller(options), "GET", "/v1/nodes");
  if (options.json) {
    print(nodes);
    return 0;
  }
  Table table{{"NAME", "NODE", "DOMAIN", "LOCATION", "RELAY", "CONNECTED", ">VERSION", "LINES"}};
  for (const json& node : nodes) {
    std::vector<std::string> lines;
    if (const auto it = node.find("lines"); it != node.end() && it->is_array())
      for (const json& line : *it)
        lines.push_back(line.is_object() ? fmt::format("{}:{}", text(line, "plane"), text(line, "address"))
                                         : line.dump());
    table.row({text(node, "name"), text(node, "node"), text(node, "domain"), text(node, "location"),
               yes(node, "relay"), yes(node, "connected"), text(node, "version_acked"),
               fmt::format("{}", fmt::join(lines, " "))});
  }
  fmt::print("{}", table.text(terminal_width()));
  return 0;
}

int list_tenants(const Options& options) {
  const json tenants = ask(find_controller(options), "GET", "/v1/tenants");
  if (options.json) {
    print(tenants);
    return 0;
  }
  Table table{{"TENANT", ">VNI", "NODE", "LABELS", "ADDRESSES", "PREFIXES"}};
  for (const json& tenant : tenants)
    for (const json& member : tenant.value("members", json::array()))
      table.row({text(tenant, "name"), text(tenant, "vni"), text(member, "node"),
                 joined(member.value("labels", json::array()), " "),
                 joined(member.value("addresses", json::array()), " "),
                 joined(member.value("prefixes", json::array()), " ")});
  fmt::print("{}", table.text(terminal_width()));
  for (const json& tenant : tenants)
    if (const auto policy = tenant.find("policy"); policy != tenant.end()) {
      fmt::print("\n{}: default deny\n", text(tenant, "name"));
      for (const json& rule : *policy) fmt::print("  {}\n", rule.get<std::string>());
    }
  return 0;
}

int show_paths(const Options& options, const std::string& from, const std::string& to,
               const std::string& tier, bool planned) {
  std::string query = "to=" + base::percent_encode(to);
  if (!tier.empty()) query += "&tier=" + base::percent_encode(tier);
  // The box knows what it uses now; the controller knows what it would have it use.
  const auto box = planned ? std::nullopt : find_box(options, from);
  const json paths = box ? ask(*box, "GET", "/v1/paths?" + query)
                         : ask(find_controller(options), "GET",
                               "/v1/paths?from=" + base::percent_encode(from) + "&" + query);
  if (!paths.is_array() || paths.empty())
    throw CommandError{kNotFound, fmt::format("no path from {} to {}", from, to),
                       "`qanat node list` shows the names and who is connected"};
  if (options.json) {
    print(paths);
    return 0;
  }
  if (box) {
    Table table{{"TIER", "", "PATH", ">PLANE", ">RTT", ">LOSS", "ALIVE", ">RATE", ">QUEUE", ">PREFERENCE",
                 ">WEIGHT", ">SENT"}};
    for (const json& p : paths) {
      // A path whose bottleneck is ours to respect is measured by its own traffic too.
      const json pipe = p.value("managed", json());
      const bool managed = pipe.is_object();
      table.row({text(p, "tier"), p.value("active", false) ? "*" : "",
                 from + " > " + joined(p["names"], " > "), text(p, "first_plane"),
                 milliseconds(p.value("rtt_us", 0.0)), percent(p.value("loss_ppm", 0.0)), yes(p, "alive"),
                 managed ? fmt::format("{:.1f} Mbit/s", pipe.value("rate_bps", 0.0) * 1e-6) : "",
                 managed ? milliseconds(pipe.value("queue_us", 0.0)) : "", text(p, "preference"), weight(p),
                 bytes(p.value("bytes", 0.0))});
    }
    fmt::print("{}* in use\n", table.text(terminal_width()));
  } else {
    Table table{
        {"TIER", "PATH", "SEGMENTS", ">PLANE", ">COST", ">PREFERENCE", ">WEIGHT", ">ALLOCATED", "WHY"}};
    for (const json& p : paths)
      table.row({text(p, "tier"), way(from, p), joined(p["segments"], " "), text(p, "first_plane"),
                 milliseconds(p.value("cost_us", 0.0)), text(p, "preference"), weight(p), allocated(p),
                 reason(p)});
    fmt::print("{}", table.text(terminal_width()));
  }
  return 0;
}

}  // namespace qanat::cli
