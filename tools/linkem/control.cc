#include "tools/linkem/control.hh"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <system_error>
#include <thread>

#include "base/clock.hh"
#include "base/http_server.hh"
#include "base/metrics.hh"
#include "tools/linkem/links_file.hh"
#include "tools/linkem/scenario_file.hh"

namespace qanat::linkem {
namespace {

using boost::asio::awaitable;
using nlohmann::json;

json direction_json(const Direction& direction) {
  const Counters c = direction.counters();
  json dropped = json::object(), dropped_bytes = json::object();
  for (std::size_t i = 0; i < kDropReasons; ++i) {
    const std::string reason(to_string(static_cast<DropReason>(i)));
    dropped[reason] = c.dropped_packets[i];
    dropped_bytes[reason] = c.dropped_bytes[i];
  }
  return {{"spec", to_string(direction.spec())},
          {"down", direction.spec().down},
          {"in_packets", c.in_packets},
          {"in_bytes", c.in_bytes},
          {"out_packets", c.out_packets},
          {"out_bytes", c.out_bytes},
          {"dropped_packets", dropped},
          {"dropped_bytes", dropped_bytes},
          {"duplicated", c.duplicated},
          {"reordered", c.reordered},
          {"corrupted", c.corrupted},
          {"marked", c.marked},
          {"answered", c.answered},
          {"inside", direction.pending()},
          {"queued_bytes", direction.queued_bytes()}};
}

json link_json(const TunLink& link) {
  const auto end = [](const LinkEnd& e) { return json{{"netns", e.netns}, {"device", e.device}}; };
  return {{"name", link.config().name},
          {"a", end(link.config().a)},
          {"b", end(link.config().b)},
          {"up", direction_json(link.direction(0))},
          {"down", direction_json(link.direction(1))},
          {"nat", to_string(link.config().nat)},
          {"offloads", link.offloads()},
          {"write_errors", link.write_errors()}};
}

TunLink* find(LinkLoop::Links& links, std::string_view name) {
  for (const auto& link : links)
    if (link->config().name == name) return link.get();
  return nullptr;
}

// A request's body, understood: how the two Specs change, or what was wrong with it.
struct Change {
  std::function<void(Spec& up, Spec& down)> apply;
  std::string problem, hint;
};

// {"up":SPEC,"down":SPEC}: whole SPECs (PUT); or items that change what is there, "both" too (PATCH).
Change parse_specs(const std::string& text, bool items) {
  const std::string hint = items ? R"({"both":ITEMS,"up":ITEMS,"down":ITEMS})" : R"({"up":SPEC,"down":SPEC})";
  const json body = json::parse(text, nullptr, false);
  if (!body.is_object() || body.empty()) return {{}, "the body is not a JSON object of directions", hint};
  std::vector<std::pair<std::string, std::string>> wanted;
  Spec probe;
  for (const auto& [key, value] : body.items()) {
    if ((key != "up" && key != "down" && !(items && key == "both")) || !value.is_string())
      return {{}, "'" + key + "' is not a direction with a SPEC", hint};
    const auto& spec_text = value.get_ref<const std::string&>();
    const auto spec = parse_spec(spec_text);
    if (!spec)
      return {{},
              spec.error().describe(spec_text),
              fmt::format("character {} of {}", spec.error().offset + 1, key)};
    try {
      probe = *spec;
      load_files(probe);
    } catch (const std::exception& e) {
      return {{}, e.what(), "the files that " + key + " names, as linkem sees them"};
    }
    wanted.emplace_back(key, spec_text);
  }
  return {[wanted, items](Spec& up, Spec& down) {
            for (const auto& [key, spec_text] : wanted)
              for (Spec* spec : {key == "down" ? nullptr : &up, key == "up" ? nullptr : &down}) {
                if (!spec) continue;
                *spec = *parse_spec(spec_text, items ? *spec : Spec{});
                load_files(*spec);
              }
          },
          {},
          {}};
}

// {"down":true|false,"direction":"both|up|down"}
Change parse_fault(const std::string& text) {
  const json body = json::parse(text, nullptr, false);
  const auto direction = body.is_object() ? body.value("direction", json("both")) : json();
  if (!body.is_object() || !body.contains("down") || !body["down"].is_boolean() ||
      (direction != "both" && direction != "up" && direction != "down"))
    return {
        {}, "expected \"down\" as a boolean and a direction", R"({"down":true,"direction":"both|up|down"})"};
  const bool cut = body["down"].get<bool>(), up = direction != "down", down = direction != "up";
  return {[=](Spec& u, Spec& d) {
            if (up) u.down = cut;
            if (down) d.down = cut;
          },
          {},
          {}};
}

}  // namespace

struct Control::State {
  State(LinkLoop& l, ChangeLog& change_log, ScenarioPlayer& scenario_player, const std::string& socket)
      : loop(l),
        log(change_log),
        player(scenario_player),
        server(io),
        work(boost::asio::make_work_guard(io)) {
    add_routes();
    if (!socket.empty()) server.listen_unix(socket);
    thread = std::thread([this] { io.run(); });
  }
  ~State() {
    boost::asio::post(io, [this] { server.stop(); });
    work.reset();
    boost::asio::post(io, [this] { io.stop(); });
    thread.join();
  }

  // Changes a link on the loop's thread; the answer is the link as it is afterwards, or 404.
  awaitable<void> apply(base::Request& request, base::Responder& respond,
                        const std::function<void(Spec& up, Spec& down)>& change) {
    const std::string name(request.capture("name"));
    json after;
    loop.call([&](LinkLoop::Links& links, base::Time now) {
      TunLink* link = find(links, name);
      if (!link) return;
      Spec up = link->config().up, down = link->config().down;
      change(up, down);
      log.apply(*link, up, down, now, "control");
      after = link_json(*link);
    });
    co_await answer(respond, after, name);
  }

  awaitable<void> answer(base::Responder& respond, const json& link, const std::string& name) {
    if (link.is_null())
      co_await respond.error(404, "no_such_link", "there is no link '" + name + "'",
                             "GET /v1/links lists them");
    else
      co_await respond.json(200, link.dump());
  }

  awaitable<void> change_specs(base::Request& request, base::Responder& respond, bool items) {
    const Change change = parse_specs(request.body, items);
    if (!change.apply)
      co_await respond.error(400, "bad_spec", change.problem, change.hint);
    else
      co_await apply(request, respond, change.apply);
  }

  awaitable<void> one(base::Request& request, base::Responder& respond) {
    const std::string name(request.capture("name"));
    json found;
    loop.call([&](LinkLoop::Links& links, base::Time) {
      if (const TunLink* link = find(links, name)) found = link_json(*link);
    });
    co_await answer(respond, found, name);
  }

  awaitable<void> start_scenario(base::Request& request, base::Responder& respond) {
    std::vector<std::string> problems;
    const Scenario scenario = parse_scenario(request.body, "scenario", problems);
    std::size_t changes = 0;
    if (problems.empty())
      loop.call([&](LinkLoop::Links& links, base::Time now) {
        try {
          changes = player.start(scenario, links, now);
        } catch (const std::exception& e) {
          problems.push_back(e.what());
        }
      });
    if (!problems.empty())
      co_await respond.error(400, "bad_scenario", fmt::format("{}", fmt::join(problems, "\n")),
                             "see linkem(1)");
    else
      co_await respond.json(200, fmt::format("{{\"changes\":{}}}", changes));
  }

  awaitable<void> scenario_progress(base::Responder& respond, bool stop) {
    ScenarioPlayer::Progress progress;
    loop.call([&](LinkLoop::Links&, base::Time) {
      progress = player.progress();
      if (stop) player.stop();
    });
    json body;
    body["running"] = !stop && progress.left > 0;
    body["applied"] = progress.applied;
    body["left"] = progress.left;
    co_await respond.json(200, body.dump());
  }

  awaitable<void> fault(base::Request& request, base::Responder& respond) {
    const Change change = parse_fault(request.body);
    if (!change.apply)
      co_await respond.error(400, "bad_fault", change.problem, change.hint);
    else
      co_await apply(request, respond, change.apply);
  }

  json all_links() {
    json out = json::array();
    loop.call([&](LinkLoop::Links& links, base::Time) {
      for (const auto& link : links) out.push_back(link_json(*link));
    });
    return out;
  }

  std::string metrics_text() {
    base::MetricsRegistry metrics;
    for (const auto& link : all_links())
      for (const char* direction : {"up", "down"}) {
        const json& d = link[direction];
        const base::Labels labels = {{"link", link["name"]}, {"direction", direction}};
        const auto set = [&](const char* name, const char* help, std::uint64_t value, base::Labels with) {
          metrics.counter(name, help, std::move(with)).add(value);
        };
        set("qanat_link_in_bytes_total", "Bytes offered to the link.", d["in_bytes"], labels);
        set("qanat_link_out_bytes_total", "Bytes that came out of the link.", d["out_bytes"], labels);
        set("qanat_link_out_packets_total", "Packets that came out of the link.", d["out_packets"], labels);
        for (const auto& [reason, count] : d["dropped_packets"].items()) {
          base::Labels with = labels;
          with.emplace_back("reason", reason);
          set("qanat_link_dropped_packets_total", "Packets that the link dropped.", count, std::move(with));
        }
      }
    return metrics.text();
  }

  void add_routes() {
    using base::Request;
    using base::Responder;
    server.route("GET", "/v1/links", [this](Request&, Responder& respond) -> awaitable<void> {
      co_await respond.json(200, all_links().dump());
    });
    server.route("GET", "/v1/links/{name}", [this](Request& request, Responder& respond) -> awaitable<void> {
      co_await one(request, respond);
    });
    server.route("PUT", "/v1/links/{name}", [this](Request& request, Responder& respond) -> awaitable<void> {
      co_await change_specs(request, respond, false);
    });
    server.route("PATCH", "/v1/links/{name}",
                 [this](Request& request, Responder& respond) -> awaitable<void> {
                   co_await change_specs(request, respond, true);
                 });
    server.route("POST", "/v1/scenario", [this](Request& request, Responder& respond) -> awaitable<void> {
      co_await start_scenario(request, respond);
    });
    server.route("GET", "/v1/scenario", [this](Request&, Responder& respond) -> awaitable<void> {
      co_await scenario_progress(respond, false);
    });
    server.route("DELETE", "/v1/scenario", [this](Request&, Responder& respond) -> awaitable<void> {
      co_await scenario_progress(respond, true);
    });
    server.route("POST", "/v1/links/{name}/fault",
                 [this](Request& request, Responder& respond) -> awaitable<void> {
                   co_await fault(request, respond);
                 });
    server.route("GET", "/v1/status", [this](Request&, Responder& respond) -> awaitable<void> {
      co_await respond.json(200, fmt::format("{{\"links\":{}}}", all_links().size()));
    });
    server.route("GET", "/metrics", [this](Request&, Responder& respond) -> awaitable<void> {
      co_await respond.send(200, "text/plain; version=0.0.4", metrics_text());
    });
  }

  LinkLoop& loop;
  ChangeLog& log;
  ScenarioPlayer& player;
  boost::asio::io_context io{1};
  base::HttpServer server;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work;
  std::thread thread;
};

Control::Control(LinkLoop& loop, ChangeLog& log, ScenarioPlayer& player, const std::string& socket)
    : state_(std::make_unique<State>(loop, log, player, socket)) {}
Control::~Control() = default;

}  // namespace qanat::linkem
