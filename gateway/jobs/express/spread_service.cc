#include "gateway/jobs/express/spread_service.hh"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <nlohmann/json.hpp>

#include "gateway/jobs/kept_job.hh"

namespace qanat::jobs {
namespace asio = boost::asio;
using asio::awaitable;
using nlohmann::json;
using nlohmann::ordered_json;

// One that is under way; its JSON is what the book keeps.
struct SpreadService::Going : KeptJob {
  std::string dataset, state = "moving";
  Digest artefact;
  std::uint64_t size = 0;
  std::int64_t finished_ms = 0;
  meter::Nano held = 0;                // in the payer's budgets, not billed yet
  std::int64_t paid = 0;               // nano
  std::vector<std::uint64_t> to_move;  // by pool, at first
  std::shared_ptr<FanOut> copies;

  void cancel() {
    state = "cancelled";
    copies->stop();
  }
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
    for (std::size_t i = 0; i < to_move.size(); ++i) {
      const Spread::Target& t = copies->spread().targets()[i];
      j["pools"].push_back({{"pool", t.is.name},
                            {"state", to_string(t.state)},
                            {"from", t.from.empty() ? ordered_json() : ordered_json(t.from)},
                            {"bytes_to_move", to_move[i]},
                            {"bytes_missing", copies->targets()[i].missing}});
    }
    return j;
  }
};

awaitable<void> SpreadService::keep(GoingPtr g) {
  Document kept = g->document(g->to_json());
  co_await desk_.save("spread", std::move(kept));
}

awaitable<void> SpreadService::bill(GoingPtr g, std::size_t target) {
  const PoolSite& pool = g->copies->targets()[target].pool;
  const std::uint64_t bytes = g->to_move[target];
  const bool cheap = tariff_.is_off_peak(unix_ms());
  meter::ServiceLine line;
  line.id = g->id + ":" + pool.id;
  line.kind = "transfer";
  line.subject = to_string(g->artefact);
  line.supplier = "network:" + pool.site;
  line.quantity = bytes;
  line.unit = "bytes";
  line.amount_nano = static_cast<std::int64_t>(tariff_.price(cheap ? 0 : bytes, cheap ? bytes : 0));
  line.unix_ms = unix_ms();
  g->held -= line.amount_nano;
  g->paid += line.amount_nano;
  co_await desk_.bill(g->payer, std::move(line));
  co_await keep(g);
}

awaitable<void> SpreadService::carry(Self, GoingPtr g) {
  co_await g->copies->run();
  if (desk_.stopping) co_return;
  if (g->state == "moving") g->state = "done";
  g->finished_ms = unix_ms();
  desk_.settle(g->payer, std::exchange(g->held, 0), 0);
  co_await keep(g);
  going_.erase(g->id);
}

void SpreadService::begin(GoingPtr g, std::vector<FanOut::Target> targets) {
  g->copies =
      std::make_shared<FanOut>(desk_, Holder{desk_.gateway, "", location_}, g->artefact, std::move(targets));
  g->copies->there = [self = shared_from_this(), g](std::size_t target) { return self->bill(g, target); };
  going_[g->id] = g;
}

awaitable<void> SpreadService::take_up(Self self) {
  for (const Document& d : co_await desk_.list("spread", "")) {
    auto g = std::make_shared<Going>();
    const ordered_json j = g->restore(d);
    if (!j.is_object() || j.value("state", "") != "moving") continue;
    g->dataset = j.value("dataset", "");
    g->artefact = parse_digest(j.value("artefact", "")).value_or(Digest{});
    g->size = j.value("bytes", 0ULL);
    g->paid = j.value("price_nano", std::int64_t{0});
    g->held = j.value("at_most_nano", std::int64_t{0}) - g->paid;
    std::vector<FanOut::Target> targets;
    for (const ordered_json& t : j["pools"]) {
      const auto pool = co_await desk_.await_pool(t.value("pool", ""));
      if (!pool) continue;
      g->to_move.push_back(t.value("bytes_to_move", 0ULL));
      const bool there = t.value("state", "") == "there";
      targets.push_back({*pool, there ? 0 : std::max<std::uint64_t>(g->to_move.back(), 1)});
    }
    begin(g, std::move(targets));
    desk_.settle(g->payer, -g->held, 0);  // it was let in: held again, whatever else has been let in since
    asio::co_spawn(desk_.io, carry(self, g), asio::detached);
  }
}

void SpreadService::start() { asio::co_spawn(desk_.io, take_up(shared_from_this()), asio::detached); }

std::vector<Task> SpreadService::tasks() const {
  std::vector<Task> list;
  for (const auto& [id, g] : going_) {
    Task task{id, g->payer.tenant, "spread", g->state, "", 0, 0, "bytes"};
    for (std::size_t i = 0; i < g->to_move.size(); ++i) {
      const FanOut::Target& t = g->copies->targets()[i];
      task.of += g->to_move[i];
      task.done += g->to_move[i] - std::min(t.missing, g->to_move[i]);
      if (t.missing != 0) task.at += (task.at.empty() ? "" : ", ") + t.pool.id;
    }
    list.push_back(std::move(task));
  }
  return list;
}

bool SpreadService::cancel(const std::string& id) {
  const auto found = going_.find(id);
  if (found == going_.end()) return false;
  found->second->cancel();
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
    std::vector<FanOut::Target> targets;
    for (const json& name : asked["pools"]) {
      const auto pool = name.is_string() ? desk.find_pool(name.get<std::string>()) : std::nullopt;
      if (!pool) co_return co_await refuse(out, Errc::NoRoute, "no pool or site " + name.dump());
      if (std::any_of(targets.begin(), targets.end(), [&](const auto& t) { return t.pool.id == pool->id; }))
        continue;
      const auto allowed = co_await desk.could_use(*file, caller, *pool, "transfer");
      if (!allowed) co_return co_await refuse(out, errc_of(allowed.error()));
      const Place to{pool->origin, pool->id};
      const auto missing = co_await desk.mover.survey(to, g->artefact);
      if (!missing)
        co_return co_await refuse(out, errc_of(missing.error()), pool->id + ": " + missing.error().message());
      targets.push_back({*pool, *missing});
      g->to_move.push_back(*missing);
      g->held += self->tariff_.price(*missing, 0);
    }
    g->id = fresh_id("spread-");
    g->payer = caller;
    g->created_ms = unix_ms();
    if (auto lack = co_await desk.hold(caller, g->held)) co_return co_await refuse(out, std::move(*lack));
    for (const FanOut::Target& t : targets) {
      const auto used = co_await desk.use(*file, caller, t.pool, "transfer", g->id);
      if (used) continue;
      desk.settle(caller, g->held, 0);
      co_return co_await refuse(out, errc_of(used.error()));
    }
    self->begin(g, std::move(targets));
    const std::string body = g->to_json().dump();
    co_await self->keep(g);
    asio::co_spawn(desk.io, self->carry(self, g), asio::detached);
    co_await out.json(201, body);
  }
};

void SpreadService::add_routes(base::HttpServer& server) {
  const auto self = shared_from_this();
  route(server, desk_, "POST", "/qanat/v1/spreads", self, Routes::create);
  const auto now = [self](const std::string& id, const std::string& tenant) {
    const auto found = self->going_.find(id);
    return found == self->going_.end() || found->second->payer.tenant != tenant ? ordered_json()
                                                                                : found->second->to_json();
  };
  add_kept_routes(server, "/qanat/v1/spreads", {desk_, "spread", now},
                  [self](const std::string& id) { self->cancel(id); });
}

}  // namespace qanat::jobs
