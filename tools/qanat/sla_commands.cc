// qanat sla: what applications asked of the network at one box, whether it is kept, and word of it as it changes; and what
// becomes of a controller's promises to tenants, and of the traffic that it plans for.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/http_message.hh"
#include "tools/linkem/netns.hh"
#include "tools/qanat/ask.hh"
#include "tools/qanat/commands.hh"
#include "tools/qanat/table.hh"

namespace qanat::cli {
using nlohmann::json;
namespace {

namespace asio = boost::asio;

Place box_called(const Options& options, const std::string& node) {
  if (auto box = find_box(options, node)) return *box;
  throw CommandError{kNotFound, "no box '" + node + "' on this machine",
                     "`qanat status` shows what runs; --socket PATH names a box's socket"};
}

std::string target(const std::string& name) { return "/v1/sla/" + base::percent_encode(name); }

// "latency 21.4 of 40 ms"
std::string measured(const json& term) {
  if (!term.contains("value")) return fmt::format("{} not measured", term.value("term", ""));
  const std::string name = term.value("term", "");
  if (name == "path") return term.value("value", 0.0) > 0 ? "" : "no path";
  const std::string unit = term.value("unit", "");
  return fmt::format("{} {:g} of {:g} {}", name, term.value("value", 0.0), term.value("limit", 0.0),
                     unit == "percent"  ? "%"
                     : unit == "mbit_s" ? "Mbit/s"
                                        : unit);
}

void print(const json& slas) {
  Table table({"NAME", "TO", "TIER", "STATE", "MEASURED"});
  for (const json& sla : slas) {
    if (sla["destinations"].empty())
      table.row({sla.value("name", ""), sla.value("to", ""), sla.value("tier", ""), "unknown",
                 "no such destination"});
    for (const json& there : sla["destinations"]) {
      std::string all;
      for (const json& term : there["terms"])
        if (const std::string one = measured(term); !one.empty()) all += (all.empty() ? "" : ", ") + one;
      table.row({sla.value("name", ""), there.value("to", ""), sla.value("tier", ""),
                 there.value("state", ""), all});
    }
  }
  fmt::print("{}",
             table.empty() ? "nothing was asked; `qanat sla set --help`\n" : table.text(terminal_width()));
}

// One server-sent event, if it is about an SLA.
void tell(const std::string& event, bool as_json) {
  const auto field = [&](const std::string& key) -> std::string {
    const auto at = event.find(key + ": ");
    if (at == std::string::npos) return {};
    const auto from = at + key.size() + 2;
    return event.substr(from, event.find('\n', from) - from);
  };
  const std::string name = field("event");
  if (!name.starts_with("sla_")) return;
  json data = json::parse(field("data"), nullptr, false);
  if (!data.is_object()) return;
  if (as_json) {
    data["event"] = name;
    fmt::print("{}\n", data.dump());
  } else {
    fmt::print("{:<9} {} to {} ({}): {}, path {:#x}\n", name.substr(4), data.value("sla", ""),
               data.value("to", ""), data.value("tier", ""),
               data.value("term", "") == "path" && name == "sla_cleared" ? "a path again" : measured(data),
               data.value("path", 0u));
  }
  std::fflush(stdout);
}

asio::awaitable<void> follow(base::HttpClient& client, const Place& box, base::ClientRequest request,
                             bool as_json) {
  auto stream = co_await client.open(box.origin, std::move(request));
  if (!stream) throw not_reachable(box, stream.error());
  std::string pending;
  for (;;) {
    const auto part = co_await stream->read_some();
    if (!part || part->empty()) break;
    pending += *part;
    for (std::size_t end; (end = pending.find("\n\n")) != std::string::npos; pending.erase(0, end + 2))
      tell(pending.substr(0, end) + "\n", as_json);
  }
}

}  // namespace

int set_sla(const Options& options, const SlaRequest& request) {
  json body = json::object();
  if (!request.to.empty()) body["to"] = request.to;
  if (!request.tier.empty()) body["tier"] = request.tier;
  const auto number = [&](const char* key, const std::optional<double>& value) {
    if (value) body[key] = *value;
  };
  number("latency_ms", request.latency_ms);
  number("jitter_ms", request.jitter_ms);
  number("loss_pct", request.loss_pct);
  number("bandwidth_mbps", request.bandwidth_mbps);
  number("bytes", request.bytes);
  number("deadline_s", request.deadline_s);
  const json answer = ask(box_called(options, request.node), "PUT", target(request.name), body.dump());
  if (options.json)
    fmt::print("{}\n", answer.dump(2));
  else
    fmt::print("{} is watched; `qanat sla watch {}` tells when it is broken\n", request.name, request.node);
  return 0;
}

int list_slas(const Options& options, const std::string& node) {
  const json answer = ask(box_called(options, node), "GET", "/v1/sla");
  if (options.json)
    fmt::print("{}\n", answer.dump(2));
  else
    print(answer);
  return 0;
}

int delete_sla(const Options& options, const std::string& node, const std::string& name) {
  ask(box_called(options, node), "DELETE", target(name));
  if (!options.json) fmt::print("{} is watched no longer\n", name);
  return 0;
}

int show_promises(const Options& options) {
  const json promises = ask(find_controller(options), "GET", "/v1/slas");
  if (options.json) {
    fmt::print("{}\n", promises.dump(2));
    return 0;
  }
  Table table({"TENANT", "TIER", "TERM", "STATE", "SINCE", ">PAIRS", ">BROKEN", "WORST", ">NOW", ">LIMIT"});
  for (const json& sla : promises) {
    const auto figure = [&](const char* key) -> std::string {
      if (sla[key].is_null()) return "";
      const double value = sla[key].get<double>();
      return sla.value("term", "") == "loss" ? percent(value) : milliseconds(value);
    };
    const std::string from = sla.value("from", "");
    const auto since = static_cast<std::time_t>(sla.value("since_unix_s", 0LL));
    table.row({sla.value("tenant", ""), sla.value("tier", ""), sla.value("term", ""), sla.value("state", ""),
               since == 0 ? "" : fmt::format("{:%Y-%m-%d %H:%M:%SZ}", fmt::gmtime(since)),
               std::to_string(sla.value("pairs", 0ULL)), std::to_string(sla.value("broken", 0ULL)),
               from.empty() ? "" : from + " to " + sla.value("to", ""), figure("worst"), figure("limit")});
  }
  fmt::print(
      "{}", table.empty()
                ? "nothing is promised here; [[slas]] in the file of `qanat apply` at a domain's controller\n"
                : table.text(terminal_width()));
  return 0;
}

int show_traffic(const Options& options) {
  const json traffic = ask(find_controller(options), "GET", "/v1/traffic");
  if (options.json) {
    fmt::print("{}\n", traffic.dump(2));
    return 0;
  }
  const auto mbps = [](const json& of, const char* key) {
    return fmt::format("{:.1f}", of.value(key, 0.0) / 1e6);
  };
  Table planes({"PLANE", ">MBIT/S", ">RESERVED", ">USED", "UNTIL", ">NEXT"}),
      tenants({"TENANT", ">COMMITTED", ">BURST", ">ASKED", ">CARRIED"});
  for (const json& plane : traffic["planes"]) {
    const json reserved = plane.value("reserved", json::object());
    const auto of = [&](const char* key) { return reserved.contains(key) ? mbps(reserved, key) : ""; };
    planes.row({std::to_string(plane.value("plane", 0)), mbps(plane, "carried_bps"), of("bps"),
                of("used_bps"), reserved.value("until", ""), of("next_bps")});
  }
  for (const json& t : traffic["tenants"])
    tenants.row({t.value("tenant", ""), mbps(t, "committed_bps"), mbps(t, "burst_bps"), mbps(t, "asked_bps"),
                 mbps(t, "carried_bps")});
  if (traffic.value("demands", 0ULL) == 0)
    fmt::print("nothing is planned for: no demand, or none known here; a domain's controller plans\n");
  else
    fmt::print(
        "{} demands ask for {} Mbit/s, {} of them expected; {} are carried, {} policies split, {:g} an "
        "hour\n",
        traffic.value("demands", 0ULL), mbps(traffic, "asked_bps"), mbps(traffic, "expected_bps"),
        mbps(traffic, "carried_bps"), traffic.value("spread", 0ULL), traffic.value("cost_per_hour", 0.0));
  for (const Table* table : {&planes, &tenants})
    if (!table->empty()) fmt::print("\n{}", table->text(terminal_width()));
  return 0;
}

int watch_slas(const Options& options, const std::string& node) {
  const Place box = box_called(options, node);
  base::ClientRequest http;
  http.target = "/v1/events";
  base::HttpClientOptions client_options;
  client_options.connect_timeout = std::chrono::seconds{3};
  client_options.read_timeout = std::chrono::hours{24};
  std::exception_ptr failure;
  {
    const linkem::NetnsScope inside{box.netns};
    asio::io_context io{1};
    base::HttpClient client{io, client_options};
    asio::signal_set signals(io, SIGINT, SIGTERM);
    signals.async_wait([&](auto, int) { io.stop(); });
    asio::co_spawn(io, follow(client, box, std::move(http), options.json), [&](std::exception_ptr e) {
      failure = e;
      io.stop();
    });
    io.run();
  }
  if (failure) std::rethrow_exception(failure);
  return 0;
}

}  // namespace qanat::cli
