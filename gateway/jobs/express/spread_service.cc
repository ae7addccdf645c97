#include "gateway/jobs/express/spread_service.hh"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <nlohmann/json.hpp>

#include "base/log.hh"
#include "gateway/jobs/rest.hh"

namespace qanat::jobs {
namespace asio = boost::asio;
using asio::awaitable;
using nlohmann::json;
using nlohmann::ordered_json;

namespace {

constexpr base::Duration kTurn = std::chrono::milliseconds{100}, kAfterLoss = std::chrono::seconds{1};
constexpr int kStill = 300;  // turns without a byte: the copy is lost

}  // namespace

// One that is under way; its JSON is what the book keeps.
struct SpreadService::Going {
  std::string id, dataset, state = "moving";
  Caller payer;
  Digest artefact;
  std::uint64_t size = 0;
  std::int64_t created_ms = 0, finished_ms = 0;
  meter::Nano held = 0;   // in the payer's budgets, not billed yet
  std::int64_t paid = 0;  // nano
  std::vector<PoolSite> pools;
  std::vector<std::uint64_t> to_move, missing;  // by pool: at first, and now
  std::unique_ptr<Spread> spread;

  ordered_json to_json() const {
    ordered_json j;
    j["id"] = id;
    j["object"] = "spread";
    j["dataset"] = dataset;
    j["artefact"] = to_string(artefact);
    j["state"] = state;
    j["bytes"] = size;
    j["created_unix_ms"] = created_ms;
    j["finished_unix_ms"] = finished_ms ? ordered_json(finished_ms) : ordered_json();
    j["price_nano"] = paid;
    j["at_most_nano"] = paid + static_cast<std::int64_t>(held);
    j["pools"] = ordered_json::array();
    for (std::size_t i = 0; i < pools.size(); ++i) {
      const Spread::Target& t = spread->targets()[i];
      j["pools"].push_back({{"pool", pools[i].id},
                            {"state", to_string(t.state)},
                            {"from", t.from.empty() ? ordered_json() : ordered_json(t.from)},
                            {"bytes_to_move", to_move[i]},
                            {"bytes_missing", missing[i]}});
    }
    return j;
  }
  void begin(Holder home) {
    std::vector<Holder> targets;
    std::vector<bool> there;
    for (std::size_t i = 0; i < pools.size(); ++i) {
      targets.push_back({pools[i].id, pools[i].site, pools[i].location});
      there.push_back(missing[i] == 0);
    }
    spread = std::make_unique<Spread>(std::move(home), std::move(targets), there);
  }
};

awaitable<void> SpreadService::keep(GoingPtr g) {
  Document d;
  d.id = g->id;
  d.tenant = g->payer.tenant;
  d.created_unix_ms = g->created_ms;
  ordered_json body = g->to_json();
  body["project"] = g->payer.project;
  body["key"] = g->payer.key;
  d.body = body.dump();
  co_await desk_.save("spread", std::move(d));
}

// The pool fetches for itself, with our word to the one that has it; we look on.
awaitable<bool> SpreadService::from_pool(GoingPtr g, Spread::Leg leg) {
  const PoolSite to = g->pools[leg.target], from = g->pools[leg.source];
  const std::string name = to_string(g->artefact), path = "/qanat/v1/store/" + name;
  const json wish{{"origin", from.origin}, {"ticket", desk_.mover.ticket("get", name, from.id)}};
  base::ClientRequest ask;
  ask.method = "POST";
  ask.target = path + "/fetch";
  ask.body = wish.dump();
  const Place at{to.origin, to.id};
  const auto begun = co_await desk_.mover.ask(at, std::move(ask), "put", name);
  if (!begun || begun->status != 202) co_return false;
  for (int still = 0; still < kStill && !desk_.stopping && g->state == "moving"; ++still) {
    co_await rest(desk_.io, kTurn);
    base::ClientRequest look;
    look.method = "GET";
    look.target = path + "/missing";
    const auto said = co_await desk_.mover.ask(at, std::move(look), "get", name);
    if (!said) co_return false;
    if (said->status == 404) continue;  // it has not begun
    const json body = json::parse(said->body, nullptr, false);
    if (said->status != 200 || !body.is_object()) co_return false;
    const std::uint64_t missing = body.value("missing_bytes", g->missing[leg.target]);
    if (missing < g->missing[leg.target]) still = 0;
    g->missing[leg.target] = missing;
    if (missing == 0) co_return true;
    if (!body.value("fetching", false)) co_return false;
  }
  co_return false;
}

awaitable<void> SpreadService::leg(Self, GoingPtr g, Spread::Leg l) {
  bool there = false;
  if (l.source == Spread::kHome) {
    auto steering = std::make_shared<Steering>();
    steering->moved = [g, l, s = steering.get()](std::uint64_t bytes) {
      g->missing[l.target] -= std::min(bytes, g->missing[l.target]);
      if (g->state != "moving") s->stop = true;
    };
    const Place to{g->pools[l.target].origin, g->pools[l.target].id};
    const auto pushed = co_await desk_.mover.push(to, g->artefact, ids::Tier::Bulk, steering);
    there = pushed.has_value();
  } else {
    const bool fetched = co_await from_pool(g, l);
    there = fetched;
  }
  if (desk_.stopping || g->state != "moving") co_return;
  if (!there) {
    g->spread->on_lost(l.target);
    co_await rest(desk_.io, kAfterLoss);
    g->spread->again(l.target);
    co_return;
  }
  g->missing[l.target] = 0;
  g->spread->on_there(l.target);
  const std::uint64_t bytes = g->to_move[l.target];
  const bool cheap = tariff_.is_off_peak(unix_ms());
  meter::ServiceLine line;
  line.id = g->id + ":" + g->pools[l.target].id;
  line.kind = "transfer";
  line.subject = to_string(g->artefact);
  line.supplier = "network:" + g->pools[l.target].site;
  line.quantity = bytes;
  line.unit = "bytes";
  line.amount_nano = static_cast<std::int64_t>(tariff_.price(cheap ? 0 : bytes, cheap ? bytes : 0));
  line.unix_ms = unix_ms();
  g->held -= line.amount_nano;
  g->paid += line.amount_nano;
  co_await desk_.bill(g->payer, std::move(line));
  co_await keep(g);
}

awaitable<void> SpreadService::carry(Self self, GoingPtr g) {
  while (!desk_.stopping && g->state == "moving") {
    while (const auto next = g->spread->poll_leg())
      asio::co_spawn(desk_.io, leg(self, g, *next), [g, target = next->target](std::exception_ptr error) {
        if (error) g->spread->on_lost(target), g->spread->again(target);
      });
    if (g->spread->done() && g->state == "moving") g->state = "done";
    co_await rest(desk_.io, kTurn);
  }
  if (desk_.stopping) co_return;
  g->finished_ms = unix_ms();
  desk_.settle(g->payer, std::exchange(g->held, 0), 0);
  co_await keep(g);
  going_.erase(g->id);
}

awaitable<void> SpreadService::take_up(Self self) {
  for (const Document& d : co_await desk_.list("spread", "")) {
    const json j = json::parse(d.body, nullptr, false);
    if (!j.is_object() || j.value("state", "") != "moving") continue;
    auto g = std::make_shared<Going>();
    g->id = d.id;
    g->payer.tenant = d.tenant;
    g->payer.project = j.value("project", "default");
    g->payer.key = j.value("key", "");
    g->dataset = j.value("dataset", "");
    g->artefact = parse_digest(j.value("artefact", "")).value_or(Digest{});
    g->size = j.value("bytes", 0ULL);
    g->created_ms = d.created_unix_ms;
    g->paid = j.value("price_nano", std::int64_t{0});
    g->held = j.value("at_most_nano", std::int64_t{0}) - g->paid;
    for (const json& t : j["pools"]) {
      std::optional<PoolSite> pool;
      // The pool may not have been heard of yet.
      for (int i = 0; i < 100 && !desk_.stopping && !pool; ++i) {
        pool = desk_.find_pool(t.value("pool", ""));
        if (!pool) co_await rest(desk_.io, kTurn);
      }
      if (!pool) continue;
      g->pools.push_back(*pool);
      g->to_move.push_back(t.value("bytes_to_move", 0ULL));
      g->missing.push_back(t.value("state", "") == "there" ? 0
                                                           : std::max<std::uint64_t>(g->to_move.back(), 1));
    }
    g->begin(home());
    desk_.settle(g->payer, -g->held, 0);  // it was let in: held again, whatever else has been let in since
    going_[g->id] = g;
    asio::co_spawn(desk_.io, carry(self, g), asio::detached);
  }
}

void SpreadService::start() { asio::co_spawn(desk_.io, take_up(shared_from_this()), asio::detached); }

std::vector<Task> SpreadService::tasks() const {
  std::vector<Task> list;
  for (const auto& [id, g] : going_) {
    Task task{id, g->payer.tenant, "spread", g->state, "", 0, 0, "bytes"};
    for (std::size_t i = 0; i < g->pools.size(); ++i) {
      task.of += g->to_move[i];
      task.done += g->to_move[i] - std::min(g->missing[i], g->to_move[i]);
      if (g->missing[i] != 0) task.at += (task.at.empty() ? "" : ", ") + g->pools[i].id;
    }
    list.push_back(std::move(task));
  }
  return list;
}

bool SpreadService::cancel(const std::string& id) {
  const auto found = going_.find(id);
  if (found == going_.end()) return false;
  found->second->state = "cancelled";
  return true;
}

struct SpreadService::Routes {
  static awaitable<void> create(Self self, Caller caller, base::Request& in, base::Responder& out) {
    Desk& desk = self->desk_;
    const json asked = json::parse(in.body, nullptr, false);
    if (!asked.is_object() || !asked.contains("dataset") || !asked["dataset"].is_string() ||
        !asked.contains("pools") || !asked["pools"].is_array() || asked["pools"].empty())
      co_return void(co_await out.error(400, "missing_required_parameter",
                                        "'dataset' and 'pools' are required",
                                        R"({"dataset":"wards-2025","pools":["far1","far2"]})"));
    auto g = std::make_shared<Going>();
    g->dataset = asked["dataset"].get<std::string>();
    const auto file = co_await desk.find_file(g->dataset, caller.tenant);
    if (!file || file->status != "processed")
      co_return co_await refuse(out, Errc::NoSuchArtefact,
                                "no data set '" + g->dataset + "' that is complete");
    g->artefact = file->artefact;
    g->size = file->bytes;
    for (const json& name : asked["pools"]) {
      const auto pool = name.is_string() ? desk.find_pool(name.get<std::string>()) : std::nullopt;
      if (!pool) co_return co_await refuse(out, Errc::NoRoute, "no pool or site " + name.dump());
      const auto known = std::find_if(g->pools.begin(), g->pools.end(),
                                      [&](const PoolSite& one) { return one.id == pool->id; });
      if (known != g->pools.end()) continue;
      const auto allowed = co_await desk.could_use(*file, caller, *pool, "transfer");
      if (!allowed) co_return co_await refuse(out, errc_of(allowed.error()));
      const Place to{pool->origin, pool->id};
      const auto missing = co_await desk.mover.survey(to, g->artefact);
      if (!missing)
        co_return co_await refuse(out, errc_of(missing.error()), pool->id + ": " + missing.error().message());
      g->pools.push_back(*pool);
      g->to_move.push_back(*missing);
      g->held += self->tariff_.price(*missing, 0);
    }
    g->missing = g->to_move;
    g->id = fresh_id("spread-");
    g->payer = caller;
    g->created_ms = unix_ms();
    if (auto lack = co_await desk.hold(caller, g->held)) co_return co_await refuse(out, std::move(*lack));
    for (const PoolSite& pool : g->pools) {
      const auto used = co_await desk.use(*file, caller, pool, "transfer", g->id);
      if (used) continue;
      desk.settle(caller, g->held, 0);
      co_return co_await refuse(out, errc_of(used.error()));
    }
    g->begin(self->home());
    self->going_[g->id] = g;
    const std::string body = g->to_json().dump();
    co_await self->keep(g);
    asio::co_spawn(desk.io, self->carry(self, g), asio::detached);
    co_await out.json(201, body);
  }

  static awaitable<void> get(Self self, Caller caller, base::Request& in, base::Responder& out) {
    const std::string id(in.capture("id"));
    const auto found = self->going_.find(id);
    if (found != self->going_.end() && found->second->payer.tenant == caller.tenant)
      co_return void(co_await out.json(200, found->second->to_json().dump()));
    const auto d = co_await self->desk_.load("spread", id);
    if (!d || d->tenant != caller.tenant)
      co_return void(co_await out.error(404, "not_found", "no such spread"));
    co_await out.json(200, d->body);
  }

  static awaitable<void> list(Self self, Caller caller, base::Request&, base::Responder& out) {
    ordered_json list = ordered_json::array();
    for (const Document& d : co_await self->desk_.list("spread", caller.tenant)) {
      const auto found = self->going_.find(d.id);
      list.push_back(found != self->going_.end() ? found->second->to_json()
                                                 : ordered_json::parse(d.body, nullptr, false));
    }
    co_await out.json(200, list.dump());
  }

  static awaitable<void> cancel(Self self, Caller caller, base::Request& in, base::Responder& out) {
    const auto found = self->going_.find(std::string(in.capture("id")));
    if (found == self->going_.end() || found->second->payer.tenant != caller.tenant)
      co_return void(co_await out.error(404, "not_found", "no such spread is under way"));
    const GoingPtr g = found->second;
    g->state = "cancelled";
    co_await out.json(200, g->to_json().dump());
  }
};

void SpreadService::add_routes(base::HttpServer& server) {
  const auto self = shared_from_this();
  route(server, desk_, "POST", "/qanat/v1/spreads", self, Routes::create);
  route(server, desk_, "GET", "/qanat/v1/spreads", self, Routes::list);
  route(server, desk_, "GET", "/qanat/v1/spreads/{id}", self, Routes::get);
  route(server, desk_, "DELETE", "/qanat/v1/spreads/{id}", self, Routes::cancel);
}

}  // namespace qanat::jobs
