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
  return {{"spec", to_string(direction.spec())}, {"down", direction.spec().down},
          {"in_packets", c.in_packets},          {"in_bytes", c.in_bytes},
          {"out_packets", c.out_packets},        {"out_bytes", c.out_bytes},
          {"dropped_packets", dropped},          {"dropped_bytes", dropped_bytes},
          {"duplicated", c.duplicated},          {"reordered", c.reordered},
          {"inside", direction.pending()}};
}

json link_json(const TunLink& link) {
  const auto end = [](const LinkEnd& e) { return json{{"netns", e.netns}, {"device", e.device}}; };
  return {{"name", link.config().name},
          {"a", end(link.config().a)},
          {"b", end(link.config().b)},
          {"up", direction_json(link.direction(0))},
          {"down", direction_json(link.direction(1))},
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

// {"up":SPEC,"down":SPEC}, either of them or both.
Change parse_put(const std::string& text) {
  const std::string hint = R"({"up":SPEC,"down":SPEC})";
  const json body = json::parse(text, nullptr, false);
  if (!body.is_object()) return {{}, "the body is not a JSON object", hint};
  std::optional<Spec> up, down;
  for (const auto& [key, value] : body.items()) {
    if ((key != "up" && key != "down") || !value.is_string())
      return {{}, "'" + key + "' is not a direction with a SPEC", hint};
    const auto spec = parse_spec(value.get_ref<const std::string&>());
    if (!spec)
      return {{},
              spec.error().describe(value.get_ref<const std::string&>()),
              fmt::format("character {} of {}", spec.error().offset + 1, key)};
    (key == "up" ? up : down) = *spec;
  }
  return {[up, down](Spec& u, Spec& d) {
            if (up) u = *up;
            if (down) d = *down;
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
  State(LinkLoop& l, const std::string& socket, const std::string& log_path)
      : loop(l), server(io), work(boost::asio::make_work_guard(io)) {
    if (!log_path.empty()) {
      log = std::fopen(log_path.c_str(), "ae");
      if (!log) throw std::system_error(errno, std::generic_category(), "open " + log_path);
      std::setvbuf(log, nullptr, _IOLBF, 0);
    }
    add_routes();
    if (!socket.empty()) server.listen_unix(socket);
    thread = std::thread([this] { io.run(); });
  }
  ~State() {
    boost::asio::post(io, [this] { server.stop(); });
    work.reset();
    boost::asio::post(io, [this] { io.stop(); });
    thread.join();
    if (log) std::fclose(log);
  }

  // One line per direction whose settings changed.
  void note(const std::string& link, const Spec& before_up, const Spec& before_down, const TunLink& now_is,
            base::Time at) {
    if (!log) return;
    const auto line = [&](const char* direction, const Spec& before, const Spec& after) {
      if (before == after) return;
      const json entry = {{"event", "applied"},
                          {"link", link},
                          {"direction", direction},
                          {"before", to_string(before)},
                          {"spec", to_string(after)},
                          {"monotonic_ns", at.time_since_epoch().count()},
                          {"unix_ms", base::unix_now_ms()}};
      std::fputs((entry.dump() + "\n").c_str(), log);
    };
    line("up", before_up, now_is.config().up);
    line("down", before_down, now_is.config().down);
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
      const Spec before_up = up, before_down = down;
      change(up, down);
      link->configure(up, down, now);
      note(name, before_up, before_down, *link, now);
      after = link_json(*link);
    });
    if (after.is_null())
      co_await respond.error(404, "no_such_link", "there is no link '" + name + "'",
                             "GET /v1/links lists them");
    else
      co_await respond.json(200, after.dump());
  }

  awaitable<void> put(base::Request& request, base::Responder& respond) {
    const Change change = parse_put(request.body);
    if (!change.apply)
      co_await respond.error(400, "bad_spec", change.problem, change.hint);
    else
      co_await apply(request, respond, change.apply);
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
    server.route("PUT", "/v1/links/{name}", [this](Request& request, Responder& respond) -> awaitable<void> {
      co_await put(request, respond);
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
  boost::asio::io_context io{1};
  base::HttpServer server;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work;
  std::FILE* log = nullptr;
  std::thread thread;
};

Control::Control(LinkLoop& loop, const std::string& socket, const std::string& log)
    : state_(std::make_unique<State>(loop, socket, log)) {}
Control::~Control() = default;

}  // namespace qanat::linkem
