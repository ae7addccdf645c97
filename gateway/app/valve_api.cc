// The valves' part of the admin API: what is open, what it costs, plans to confirm, card time used.
#include <boost/asio/awaitable.hpp>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/clock.hh"
#include "base/http_server.hh"
#include "gateway/app/valve_desk.hh"
#include "gateway/relay/explain.hh"

namespace qanat::app {
using boost::asio::awaitable;
using nlohmann::json;

namespace {

using Desk = std::shared_ptr<ValveDesk>;
using Line = ValveDesk::Line;

double milliseconds_of(base::Duration d) { return std::chrono::duration<double, std::milli>(d).count(); }
std::int64_t wall(base::Time t) {
  return static_cast<std::int64_t>(base::unix_now_ms()) + (t - base::monotonic_now()).count() / 1'000'000;
}
std::string text_of(const json& j) { return j.dump(-1, ' ', false, json::error_handler_t::replace); }

json plan_json(const Line& line, const place::ValvePlan& p) {
  json engines = json::array();
  for (const auto& [id, count] : p.engines) {
    std::string pool = id;
    for (const auto& remote : line.remotes)
      if (remote->id == id && !remote->pool_name.empty()) pool = remote->pool_name;
    engines.push_back({{"placeholder", id}, {"pool", pool}, {"engines", count}});
  }
  return {{"model", line.model},
          {"id", p.id},
          {"state", to_string(p.state)},
          {"engines", std::move(engines)},
          {"nano_per_hour", relay::money_json(p.nano_per_hour)},
          {"demand", p.demand},
          {"expected", p.expected},
          {"made_unix_ms", wall(p.made)},
          {"expires_unix_ms", wall(p.expires)}};
}

std::string phase(const place::Valve::Bound& b) {
  if (b.told.serving > 0) return b.awake > 0 ? "serving" : "draining";
  if (b.told.held > 0) return b.awake > 0 ? "starting" : "draining";
  return b.awake > 0 ? "waking" : "asleep";
}

}  // namespace

json ValveDesk::line_json(const Line& line) {
  const place::Valve& v = line.valve;
  const place::ValveSettings& s = v.settings();
  json remotes = json::array(), tasks = json::array();
  for (const auto& b : v.placeholders())
    for (const auto& r : line.remotes) {
      if (r->id != b.is.id) continue;
      remotes.push_back({{"id", r->id},
                         {"pool", r->pool_name.empty() ? r->is.pool : r->pool_name},
                         {"card", r->card},
                         {"cards_per_engine", r->cards},
                         {"image", r->image},
                         {"engines", b.is.engines},
                         {"streams_per_engine", b.is.streams},
                         {"state", phase(b)},
                         {"awake", b.awake},
                         {"held", b.told.held},
                         {"serving", b.told.serving},
                         {"cold_ms", milliseconds_of(b.is.cold)},
                         {"nano_per_s", b.is.nano_per_s},
                         {"card_ms", r->card_ms},
                         {"charged_nano", relay::money_json(r->charged)},
                         {"open", r->open},
                         {"opens_unix_ms", r->opens_unix_ms ? json(r->opens_unix_ms) : json(nullptr)},
                         {"error", r->error}});
    }
  for (const auto& t : s.tasks)
    tasks.push_back({{"name", t.name},
                     {"at_s", t.at ? json(milliseconds_of(*t.at) / 1e3) : json(nullptr)},
                     {"lasts_s", milliseconds_of(t.lasts) / 1e3},
                     {"streams_over", t.streams_over ? json(*t.streams_over) : json(nullptr)},
                     {"engines", t.engines}});
  std::size_t waiting = 0;
  for (const auto& p : v.plans()) waiting += p.state == place::ValvePlan::State::Waiting ? 1 : 0;
  return {{"model", line.model},
          {"mode", to_string(s.mode)},
          {"state", to_string(v.state())},
          {"demand", v.demand()},
          {"expected", v.expected()},
          {"local_streams", s.local_streams},
          {"open_at", s.open_at},
          {"shut_at", s.shut_at},
          {"cool_down_ms", milliseconds_of(s.cool_down)},
          {"forecast", s.forecast},
          {"forecast_error", v.history().error()},
          {"persistence_error", v.history().persistence_error()},
          {"by_hand", v.by_hand()},
          {"budget_nano", relay::money_json(s.budget)},
          {"spent_nano", relay::money_json(v.spent())},
          {"budget_reached", v.budget_reached()},
          {"plans_waiting", waiting},
          {"placeholders", std::move(remotes)},
          {"tasks", std::move(tasks)}};
}

namespace {

awaitable<Line*> line_of(Desk desk, base::Request& in, base::Responder& out) {
  Line* const line = desk->find(in.capture("model"));
  if (!line)
    co_await out.error(404, "no_such_valve", "no valve for '" + std::string(in.capture("model")) + "'",
                       "GET /v1/valves lists them");
  co_return line;
}

awaitable<void> list(Desk desk, base::Request&, base::Responder& out) {
  json all = json::array();
  for (const auto& line : desk->lines()) all.push_back(ValveDesk::line_json(*line));
  std::string body = text_of(all);
  co_await out.json(200, std::move(body));
}

// The answer to a change: only once it is durable.
awaitable<void> changed(Desk desk, Line& line, base::Responder& out) {
  desk->settle(line);
  co_await desk->save(line);
  std::string body = text_of(ValveDesk::line_json(line));
  co_await out.json(200, std::move(body));
}

awaitable<void> mode(Desk desk, base::Request& in, base::Responder& out) {
  Line* const line = co_await line_of(desk, in, out);
  if (!line) co_return;
  const json body = json::parse(in.body, nullptr, false);
  const auto wanted = body.is_object() && body.contains("mode") && body["mode"].is_string()
                          ? place::parse_valve_mode(body["mode"].get<std::string>())
                          : std::nullopt;
  if (!wanted)
    co_return void(
        co_await out.error(400, "invalid_value", "'mode' is auto, ask or closed", R"({"mode":"ask"})"));
  line->valve.set_mode(*wanted, base::monotonic_now());
  co_await changed(desk, *line, out);
}

awaitable<void> open(Desk desk, base::Request& in, base::Responder& out) {
  Line* const line = co_await line_of(desk, in, out);
  if (!line) co_return;
  const json body = in.body.empty() ? json::object() : json::parse(in.body, nullptr, false);
  const json engines = body.is_object() ? body.value("engines", json(1)) : json();
  if (!engines.is_number_unsigned() || engines.get<std::uint64_t>() > 4096)
    co_return void(
        co_await out.error(400, "invalid_value", "'engines' is an integer up to 4096", R"({"engines":2})"));
  line->valve.open(engines.get<std::uint32_t>(), base::monotonic_now());
  co_await changed(desk, *line, out);
}

awaitable<void> close(Desk desk, base::Request& in, base::Responder& out) {
  Line* const line = co_await line_of(desk, in, out);
  if (!line) co_return;
  line->valve.close(base::monotonic_now());
  co_await changed(desk, *line, out);
}

awaitable<void> plans(Desk desk, base::Request&, base::Responder& out) {
  json all = json::array();
  for (const auto& line : desk->lines())
    for (const auto& p : line->valve.plans()) all.push_back(plan_json(*line, p));
  std::string body = text_of(all);
  co_await out.json(200, std::move(body));
}

awaitable<void> decide_plan(Desk desk, base::Request& in, base::Responder& out) {
  Line* const line = co_await line_of(desk, in, out);
  if (!line) co_return;
  const std::string_view text = in.capture("plan"), verb = in.capture("verb");
  std::uint64_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  const bool confirm = verb == "confirm";
  if (error != std::errc{} || end != text.data() + text.size() || (!confirm && verb != "refuse"))
    co_return void(co_await out.error(404, "no_such_path", "…/plans/ID/confirm or …/plans/ID/refuse"));
  const base::Time now = base::monotonic_now();
  if (!(confirm ? line->valve.confirm(id, now) : line->valve.refuse(id, now)))
    co_return void(co_await out.error(409, "plan_not_waiting",
                                      "plan " + std::string(text) + " does not wait for an answer",
                                      "GET /v1/valve-plans lists them"));
  co_await changed(desk, *line, out);
}

awaitable<void> uses(Desk desk, base::Request&, base::Responder& out) {
  const auto work = [gateway = desk->wiring().gateway](meter::Ledger& l) {
    return ValveStore(l.store(), gateway).uses(1000);
  };
  const auto lines = co_await desk->wiring().ledger.query(work);
  json list = json::array();
  meter::Nano total = 0;
  std::int64_t card_ms = 0;
  for (const ValveUse& u : lines) {
    total += u.charged_nano;
    card_ms += u.card_ms;
    list.push_back({{"placeholder", u.placeholder},
                    {"model", u.model},
                    {"pool", u.pool},
                    {"began_unix_ms", u.began_unix_ms},
                    {"ended_unix_ms", u.ended_unix_ms},
                    {"card_ms", u.card_ms},
                    {"charged_nano", u.charged_nano}});
  }
  const json all{{"lines", std::move(list)}, {"card_ms", card_ms}, {"total_nano", relay::money_json(total)}};
  std::string body = text_of(all);
  co_await out.json(200, std::move(body));
}

}  // namespace

void ValveDesk::add_routes(base::HttpServer& server) {
  const Desk self = shared_from_this();
  const auto route = [&](std::string_view method, std::string_view pattern,
                         awaitable<void> (*handler)(Desk, base::Request&, base::Responder&)) {
    server.route(method, pattern,
                 [self, handler](base::Request& in, base::Responder& out) { return handler(self, in, out); });
  };
  route("GET", "/v1/valves", list);
  route("PUT", "/v1/valves/{model}/mode", mode);
  route("POST", "/v1/valves/{model}/open", app::open);
  route("POST", "/v1/valves/{model}/close", app::close);
  route("POST", "/v1/valves/{model}/plans/{plan}/{verb}", decide_plan);
  route("GET", "/v1/valve-plans", plans);
  route("GET", "/v1/valve-uses", uses);
  add_dispatch_routes(server);
}

}  // namespace qanat::app
