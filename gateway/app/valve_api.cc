// The valves' part of the admin API: what is open, what it costs, plans to confirm, card time used, dispatches.
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/clock.hh"
#include "base/hex.hh"
#include "base/http_message.hh"
#include "base/http_server.hh"
#include "base/log.hh"
#include "gateway/app/valve_desk.hh"
#include "gateway/app/valve_dispatch.hh"
#include "gateway/relay/explain.hh"

namespace qanat::app {
namespace asio = boost::asio;
using asio::awaitable;
using nlohmann::json;

namespace {

using Desk = std::shared_ptr<ValveDesk>;
using Line = ValveDesk::Line;

double ms(base::Duration d) { return std::chrono::duration<double, std::milli>(d).count(); }
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

json line_json(const Line& line) {
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
                         {"cold_ms", ms(b.is.cold)},
                         {"nano_per_s", b.is.nano_per_s},
                         {"card_ms", r->card_ms},
                         {"charged_nano", relay::money_json(r->charged)},
                         {"error", r->error}});
    }
  for (const auto& t : s.tasks)
    tasks.push_back({{"name", t.name},
                     {"at_s", t.at ? json(ms(*t.at) / 1e3) : json(nullptr)},
                     {"lasts_s", ms(t.lasts) / 1e3},
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
          {"cool_down_ms", ms(s.cool_down)},
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

awaitable<Line*> line_of(Desk desk, base::Request& in, base::Responder& out) {
  Line* const line = desk->find(in.capture("model"));
  if (!line)
    co_await out.error(404, "no_such_valve", "no valve for '" + std::string(in.capture("model")) + "'",
                       "GET /v1/valves lists them");
  co_return line;
}

awaitable<void> list(Desk desk, base::Request&, base::Responder& out) {
  json all = json::array();
  for (const auto& line : desk->lines()) all.push_back(line_json(*line));
  std::string body = text_of(all);
  co_await out.json(200, std::move(body));
}

// The answer to a change: only once it is durable.
awaitable<void> changed(Desk desk, Line& line, base::Responder& out) {
  desk->settle(line);
  co_await desk->save(line);
  std::string body = text_of(line_json(line));
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

// --- dispatch ---

awaitable<DispatchPlan> judged(DispatchRequest request, std::vector<DispatchOffer> offers) {
  co_return plan_dispatch(request, std::move(offers));
}

// What every leased pool says of itself now.
awaitable<std::vector<DispatchOffer>> offers_for(Desk desk, std::string model) {
  std::vector<DispatchOffer> offers;
  resolve::Registry& registry = desk->wiring().registry;
  for (std::size_t i = 0; i < registry.size(); ++i) {
    if (!registry.pool(i).descriptor || !registry.pool(i).descriptor->find_model(model)) continue;
    std::string url = registry.pool(i).config.url, get = "GET", target = "/qanat/v1/placeholders", none;
    const auto answer = co_await desk->ask(url, std::move(get), std::move(target), std::move(none));
    DispatchOffer o;
    o.url = registry.pool(i).config.url;
    o.name = registry.pool(i).name();
    o.rtt = registry.pool(i).rtt();
    o.card = registry.pool(i).descriptor->card.model;
    const json said = answer && answer->status == 200 ? json::parse(answer->body, nullptr, false) : json();
    try {
      for (const json& m : said.is_object() ? said.at("models") : json::array()) {
        if (m.at("model") != model) continue;
        o.engines = m.at("engines").get<std::uint32_t>();
        o.cards = std::max(1u, m.at("cards_per_engine").get<std::uint32_t>());
        o.time_scale = std::clamp(said.at("time_scale").get<double>(), 0.01, 1000.0);
        o.nano_per_s = static_cast<std::int64_t>(said.at("price").at("card_nano_s").get<double>() * o.cards);
        if (m.at("image").is_string()) o.image = m.at("image").get<std::string>();
      }
    } catch (const json::exception&) {
      o.engines = 0;
    }
    offers.push_back(std::move(o));
  }
  co_return offers;
}

json choices_json(const DispatchPlan& plan) {
  json all = json::array();
  for (const DispatchChoice& c : plan.choices)
    all.push_back({{"pool", c.offer.name},
                   {"url", c.offer.url},
                   {"card", c.offer.card},
                   {"cards", c.engines * c.offer.cards},
                   {"engines", c.engines},
                   {"streams_per_engine", c.streams},
                   {"nano_per_hour", c.offer.nano_per_s * 3600 * c.engines},
                   {"rtt_ms", ms(c.offer.rtt)},
                   {"image", c.offer.image},
                   {"why", c.why}});
  return all;
}

// The box beside us is asked for the way there; without one, or without a wish, the dispatch says so.
awaitable<json> ask_network(Desk desk, std::string id, std::string node, double mbps) {
  json said{{"to", node}, {"bandwidth_mbps", mbps}};
  if (mbps <= 0) {
    said["state"] = "not asked";
  } else if (node.empty() || desk->wiring().dataplane_socket.empty()) {
    said["state"] = "no box";
  } else {
    const std::string name = id + "-" + node;
    json wish{{"to", node}, {"tier", "interactive"}, {"bandwidth_mbps", mbps}};
    std::string origin = "unix:" + desk->wiring().dataplane_socket, put = "PUT",
                target = "/v1/sla/" + base::percent_encode(name), body = wish.dump();
    const auto answer =
        co_await desk->ask(std::move(origin), std::move(put), std::move(target), std::move(body));
    said["sla"] = name;
    said["state"] = answer && answer->status < 300 ? "asked" : "refused";
  }
  co_return said;
}

// How far it has come, from what its placeholders do now.
json status_of(Desk desk, const json& kept) {
  json status = kept;
  status["state"] = "bound";
  bool serving = false, starting = false;
  if (Line* const line = desk->find(kept.at("model").get<std::string>())) {
    status["valve"] = line_json(*line);
    for (const json& p : status["valve"]["placeholders"]) {
      serving |= p["state"] == "serving";
      starting |= p["state"] == "starting" || p["state"] == "waking";
    }
  }
  if (serving || starting) status["state"] = serving ? "serving" : "starting";
  return status;
}

awaitable<void> dispatch(Desk desk, base::Request& in, base::Responder& out) {
  static asio::thread_pool thinkers(1);  // engines in virtual time take a while: not on the loop
  std::string problem;
  const DispatchRequest request = parse_dispatch(json::parse(in.body, nullptr, false), problem);
  if (!problem.empty())
    co_return void(co_await out.error(400, "invalid_value", problem,
                                      R"({"model":"70b","streams":60,"ttft_ms":2000,"tpot_ms":100})"));
  auto offers = co_await offers_for(desk, request.model);
  auto thinking = asio::co_spawn(thinkers, judged(request, std::move(offers)), asio::use_awaitable);
  const DispatchPlan plan = co_await std::move(thinking);
  if (!plan.holds) {
    const json refused{{"error", {{"code", "nothing_holds"}, {"message", plan.why}}},
                       {"choices", choices_json(plan)}};
    std::string body = text_of(refused);
    co_return void(co_await out.json(409, std::move(body)));
  }
  place::ValveSettings settings;
  settings.mode = request.mode;
  Line& line = desk->line_for(request.model, settings);
  const std::string id = "dispatch-" + base::to_hex(base::random_bytes(6));
  json kept{{"id", id},
            {"model", request.model},
            {"streams", request.streams},
            {"mode", place::to_string(request.mode)},
            {"keep_up", request.keep_up},
            {"nano_per_hour", plan.nano_per_hour},
            {"made_unix_ms", base::unix_now_ms()},
            {"choices", choices_json(plan)},
            {"network", json::array()},
            {"placeholders", json::array()}};
  std::uint32_t engines = 0;
  for (const DispatchChoice& c : plan.choices) {
    if (c.engines == 0) continue;
    engines += c.engines;
    ValveRemote remote;
    remote.pool = c.offer.url;
    remote.engines = c.engines;
    remote.streams = c.streams;
    place::Placeholder placeholder;
    placeholder.engines = c.engines;
    placeholder.streams = c.streams;
    placeholder.nano_per_s = c.offer.nano_per_s;
    const ValveDesk::Remote& bound = desk->bind(line, remote, placeholder);
    kept["placeholders"].push_back(
        {{"id", bound.id}, {"pool", c.offer.url}, {"engines", c.engines}, {"streams", c.streams}});
    std::string node = desk->wiring().registry.pool(bound.pool).config.node;
    json said = co_await ask_network(desk, id, std::move(node), request.bandwidth_mbps);
    kept["network"].push_back(std::move(said));
  }
  line.valve.set_mode(request.mode, base::monotonic_now());
  if (request.keep_up) line.valve.open(engines, base::monotonic_now());
  desk->settle(line);
  const auto work = [gateway = desk->wiring().gateway, id, text = kept.dump()](meter::Ledger& l) {
    ValveStore(l.store(), gateway).put_dispatch(id, text);
    return true;
  };
  co_await desk->wiring().ledger.query(work);
  co_await desk->save(line);
  desk->dispatches()[id] = kept.dump();
  std::string body = text_of(status_of(desk, kept));
  co_await out.json(201, std::move(body));
}

awaitable<void> list_dispatches(Desk desk, base::Request&, base::Responder& out) {
  json all = json::array();
  for (const auto& [id, text] : desk->dispatches()) all.push_back(status_of(desk, json::parse(text)));
  std::string body = text_of(all);
  co_await out.json(200, std::move(body));
}

awaitable<void> one_dispatch(Desk desk, base::Request& in, base::Responder& out) {
  const auto found = desk->dispatches().find(std::string(in.capture("id")));
  if (found == desk->dispatches().end())
    co_return void(co_await out.error(404, "not_found", "no such dispatch", "GET /v1/dispatches lists them"));
  std::string body = text_of(status_of(desk, json::parse(found->second)));
  co_await out.json(200, std::move(body));
}

awaitable<void> end_dispatch(Desk desk, base::Request& in, base::Responder& out) {
  const std::string id(in.capture("id"));
  const auto found = desk->dispatches().find(id);
  if (found == desk->dispatches().end())
    co_return void(co_await out.error(404, "not_found", "no such dispatch", "GET /v1/dispatches lists them"));
  const json kept = json::parse(found->second);
  if (Line* const line = desk->find(kept.at("model").get<std::string>())) {
    if (kept.at("keep_up") == true) line->valve.open(0, base::monotonic_now());
    for (const json& p : kept.at("placeholders")) desk->release(*line, p.at("id").get<std::string>());
    desk->settle(*line);
    co_await desk->save(*line);
  }
  for (const json& n : kept.at("network")) {
    if (!n.contains("sla")) continue;
    std::string origin = "unix:" + desk->wiring().dataplane_socket, verb = "DELETE",
                target = "/v1/sla/" + base::percent_encode(n.at("sla").get<std::string>()), none;
    const auto ignored =
        co_await desk->ask(std::move(origin), std::move(verb), std::move(target), std::move(none));
    if (!ignored) base::log_warn("{} could not be withdrawn at the box", n.at("sla").get<std::string>());
  }
  const auto work = [gateway = desk->wiring().gateway, id](meter::Ledger& l) {
    ValveStore(l.store(), gateway).put_dispatch(id, "");
    return true;
  };
  co_await desk->wiring().ledger.query(work);
  desk->dispatches().erase(id);
  std::string body = text_of(kept);
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
  route("POST", "/v1/dispatches", dispatch);
  route("GET", "/v1/dispatches", list_dispatches);
  route("GET", "/v1/dispatches/{id}", one_dispatch);
  route("DELETE", "/v1/dispatches/{id}", end_dispatch);
}

}  // namespace qanat::app
