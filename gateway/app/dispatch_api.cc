// Dispatch by the admin API: a wish becomes placeholders of a valve, and a way there is asked of the box beside us.
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <nlohmann/json.hpp>

#include "base/clock.hh"
#include "base/hex.hh"
#include "base/http_message.hh"
#include "base/http_server.hh"
#include "base/log.hh"
#include "gateway/app/valve_desk.hh"
#include "gateway/app/valve_dispatch.hh"

namespace qanat::app {
namespace asio = boost::asio;
using asio::awaitable;
using nlohmann::json;

namespace {

using DispatchDesk = std::shared_ptr<ValveDesk>;

double rtt_ms(base::Duration d) { return std::chrono::duration<double, std::milli>(d).count(); }
std::string json_text(const json& j) { return j.dump(-1, ' ', false, json::error_handler_t::replace); }

awaitable<DispatchPlan> judged(DispatchRequest request, std::vector<DispatchOffer> offers) {
  co_return plan_dispatch(request, std::move(offers));
}

// What every leased pool says of itself now.
awaitable<std::vector<DispatchOffer>> offers_for(DispatchDesk desk, std::string model) {
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
        o.engines = said.value("open", true) ? m.at("engines").get<std::uint32_t>() : 0;  // shut at this hour
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
                   {"rtt_ms", rtt_ms(c.offer.rtt)},
                   {"image", c.offer.image},
                   {"why", c.why}});
  return all;
}

// A request about the SLA `name` to the box beside us.
awaitable<base::Result<base::ClientResponse>> ask_box(DispatchDesk desk, std::string method, std::string name,
                                                      std::string body) {
  std::string origin = "unix:" + desk->wiring().dataplane_socket,
              target = "/v1/sla/" + base::percent_encode(name);
  auto answer = co_await desk->ask(std::move(origin), std::move(method), std::move(target), std::move(body));
  co_return answer;
}

// The box is asked for the way to a node; without one, or without a wish, the dispatch says so.
awaitable<json> ask_network(DispatchDesk desk, std::string id, std::string node, double mbps) {
  json said{{"to", node}, {"bandwidth_mbps", mbps}};
  if (mbps <= 0) {
    said["state"] = "not asked";
  } else if (node.empty() || desk->wiring().dataplane_socket.empty()) {
    said["state"] = "no box";
  } else {
    std::string name = id + "-" + node, put = "PUT";
    said["sla"] = name;
    const json wish{{"to", node}, {"tier", "interactive"}, {"bandwidth_mbps", mbps}};
    std::string body = wish.dump();
    const auto answer = co_await ask_box(desk, std::move(put), std::move(name), std::move(body));
    said["state"] = answer && answer->status < 300 ? "asked" : "refused";
  }
  co_return said;
}

// What the box says of the way now, by destination; one that has begun anew is asked again.
awaitable<json> look_at_network(DispatchDesk desk, json network) {
  for (json& n : network) {
    if (!n.contains("sla")) continue;
    std::string name = n.at("sla").get<std::string>(), get = "GET", none;
    const auto answer = co_await ask_box(desk, std::move(get), std::move(name), std::move(none));
    if (answer && answer->status == 200) {
      const json body = json::parse(answer->body, nullptr, false);
      n["state"] = "asked";
      n["destinations"] = body.is_object() ? body.value("destinations", json::array()) : json::array();
    } else if (answer && answer->status == 404) {
      const json wish{
          {"to", n.at("to")}, {"tier", "interactive"}, {"bandwidth_mbps", n.at("bandwidth_mbps")}};
      std::string again = n.at("sla").get<std::string>(), put = "PUT", body = wish.dump();
      const auto put_again = co_await ask_box(desk, std::move(put), std::move(again), std::move(body));
      n["state"] = put_again && put_again->status < 300 ? "asked" : "refused";
    } else {
      n["state"] = "box away";
    }
  }
  co_return network;
}

// How far it has come, from what its placeholders do now.
json status_of(DispatchDesk desk, const json& kept) {
  json status = kept;
  status["state"] = "bound";
  bool serving = false, starting = false;
  if (ValveDesk::Line* const line = desk->find(kept.at("model").get<std::string>())) {
    status["valve"] = ValveDesk::line_json(*line);
    for (const json& p : status["valve"]["placeholders"]) {
      serving |= p["state"] == "serving";
      starting |= p["state"] == "starting" || p["state"] == "waking";
    }
  }
  if (serving || starting) status["state"] = serving ? "serving" : "starting";
  return status;
}

awaitable<void> dispatch(DispatchDesk desk, base::Request& in, base::Responder& out) {
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
    std::string body = json_text(refused);
    co_return void(co_await out.json(409, std::move(body)));
  }
  place::ValveSettings settings;
  settings.mode = request.mode;
  ValveDesk::Line& line = desk->line_for(request.model, settings);
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
  std::string body = json_text(status_of(desk, kept));
  co_await out.json(201, std::move(body));
}

awaitable<void> list_dispatches(DispatchDesk desk, base::Request&, base::Responder& out) {
  json all = json::array();
  for (const auto& [id, text] : desk->dispatches()) all.push_back(status_of(desk, json::parse(text)));
  std::string body = json_text(all);
  co_await out.json(200, std::move(body));
}

awaitable<void> one_dispatch(DispatchDesk desk, base::Request& in, base::Responder& out) {
  const auto found = desk->dispatches().find(std::string(in.capture("id")));
  if (found == desk->dispatches().end())
    co_return void(co_await out.error(404, "not_found", "no such dispatch", "GET /v1/dispatches lists them"));
  json kept = json::parse(found->second);
  json network = co_await look_at_network(desk, kept.at("network"));
  kept["network"] = std::move(network);
  std::string body = json_text(status_of(desk, kept));
  co_await out.json(200, std::move(body));
}

awaitable<void> end_dispatch(DispatchDesk desk, base::Request& in, base::Responder& out) {
  const std::string id(in.capture("id"));
  const auto found = desk->dispatches().find(id);
  if (found == desk->dispatches().end())
    co_return void(co_await out.error(404, "not_found", "no such dispatch", "GET /v1/dispatches lists them"));
  const json kept = json::parse(found->second);
  if (ValveDesk::Line* const line = desk->find(kept.at("model").get<std::string>())) {
    if (kept.at("keep_up") == true) line->valve.open(0, base::monotonic_now());
    for (const json& p : kept.at("placeholders")) desk->release(*line, p.at("id").get<std::string>());
    desk->settle(*line);
    co_await desk->save(*line);
  }
  for (const json& n : kept.at("network")) {
    if (!n.contains("sla")) continue;
    std::string name = n.at("sla").get<std::string>(), verb = "DELETE", none;
    const auto gone = co_await ask_box(desk, std::move(verb), std::move(name), std::move(none));
    if (!gone) base::log_warn("{} could not be withdrawn at the box", n.at("sla").get<std::string>());
  }
  const auto work = [gateway = desk->wiring().gateway, id](meter::Ledger& l) {
    ValveStore(l.store(), gateway).put_dispatch(id, "");
    return true;
  };
  co_await desk->wiring().ledger.query(work);
  desk->dispatches().erase(id);
  std::string body = json_text(kept);
  co_await out.json(200, std::move(body));
}

}  // namespace

void ValveDesk::add_dispatch_routes(base::HttpServer& server) {
  const DispatchDesk self = shared_from_this();
  const auto route = [&](std::string_view method, std::string_view pattern,
                         awaitable<void> (*handler)(DispatchDesk, base::Request&, base::Responder&)) {
    server.route(method, pattern,
                 [self, handler](base::Request& in, base::Responder& out) { return handler(self, in, out); });
  };
  route("POST", "/v1/dispatches", dispatch);
  route("GET", "/v1/dispatches", list_dispatches);
  route("GET", "/v1/dispatches/{id}", one_dispatch);
  route("DELETE", "/v1/dispatches/{id}", end_dispatch);
}

}  // namespace qanat::app
