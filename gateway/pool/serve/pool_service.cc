#include "gateway/pool/serve/pool_service.hh"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/daemon.hh"
#include "gateway/pool/serve/pool_state.hh"
#include "gateway/pool/serve/usage_routes.hh"

namespace qanat::pool {
namespace asio = boost::asio;
using asio::awaitable;

namespace {

constexpr std::size_t kChatBodyBytes = 16 * 1024 * 1024;

double seconds(base::Duration d) { return std::chrono::duration<double>(d).count(); }

}  // namespace

std::string PoolService::State::descriptor_json() {
  description.state.generation = ++generation;
  models.describe(description.state, base::monotonic_now());
  for (auto& model : description.models)
    model.price = {offers.offer().price.input, offers.offer().price.cached, offers.offer().price.output};
  // Outside its windows no call is placed here: gateways look for "infer".
  description.services = {"finetune"};
  if (offers.open()) description.services.push_back("infer");
  if (versions) versions->describe(description);
  if (stopping) description.state.health = descriptor::Health::Draining;
  return descriptor::serialize(description);
}

awaitable<void> PoolService::State::inject(std::shared_ptr<State> self, base::Request& in,
                                           base::Responder& out) {
  auto fault = parse_fault(nlohmann::json::parse(in.body, nullptr, false));
  if (!fault)
    co_return void(co_await out.error(400, "invalid_value", fault.error(),
                                      R"({"kind":"slow_card","factor":0.3,"for_ms":10000})"));
  if (!fault->model.empty() && !models.find(fault->model))
    co_return void(co_await out.error(404, "model_not_found", "no model " + fault->model + " here"));
  const std::uint64_t id = models.inject(std::move(*fault));
  co_await out.json(200, fmt::format(R"({{"id":{}}})", id));
}

// POST /qanat/v1/models/{model}/wake and …/drain.
awaitable<void> PoolService::State::turn(std::shared_ptr<State> self, base::Request& in,
                                         base::Responder& out) {
  Served* const one = models.find(in.capture("model"));
  if (!one) co_return void(co_await out.error(404, "model_not_found", "no such model here"));
  const bool wake = in.capture("verb") == "wake";
  if (!wake && in.capture("verb") != "drain")
    co_return void(co_await out.error(404, "no_such_path", "wake or drain"));
  for (auto& station : one->stations) wake ? station->wake() : station->drain();
  co_await out.json(200, status_json());
}

std::string PoolService::State::status_json() const {
  nlohmann::ordered_json status;
  const base::Time now = base::monotonic_now();
  status["id"] = config.id;
  status["version"] = base::kVersion;
  status["uptime_s"] = static_cast<std::uint64_t>(seconds(now - started));
  status["cards"] = config.card.name;
  status["count"] = config.count;
  status["spare_cards"] = models.spare_cards();
  status["stopping"] = stopping;
  status["usage_open"] = recorder.open_calls();
  status["models"] = nlohmann::ordered_json::array();
  status["faults"] = nlohmann::ordered_json::array();
  for (const Fault& fault : models.faults()) status["faults"].emplace_back(to_json(fault));
  for (const auto& one : const_cast<PoolModels&>(models).all()) {
    for (const auto& station : one->stations) {
      const auto state = station->engine().state();
      const auto& counters = station->engine().counters();
      nlohmann::ordered_json entry{{"model", one->model.name},
                                   {"cards", station->plan().cards},
                                   {"phase", to_string(station->life().phase())},
                                   {"running", state.running},
                                   {"waiting", state.waiting + station->parked()},
                                   {"kv_blocks_used", state.kv_blocks_used},
                                   {"kv_blocks_cached", state.kv_blocks_cached},
                                   {"kv_blocks_total", state.kv_blocks_total},
                                   {"steps", counters.steps},
                                   {"generated_tokens", counters.generated_tokens},
                                   {"cached_tokens", counters.cached_tokens},
                                   {"preemptions", counters.preemptions},
                                   {"resumed", station->resumed()}};
      if (const auto ready = station->life().ready_in(now)) entry["ready_in_s"] = seconds(*ready);
      status["models"].push_back(std::move(entry));
    }
  }
  return status.dump();
}

PoolService::PoolService(asio::io_context& io, const PoolConfig& config)
    : state_(std::make_shared<State>(io, config)) {}
PoolService::~PoolService() { stop(); }

// Handlers are coroutines that outlive a request's lambda; the state is theirs by a shared_ptr parameter.
void PoolService::add_routes(base::HttpServer& server) {
  auto s = state_;
  server.route(
      "POST", "/v1/chat/completions",
      [s](base::Request& in, base::Responder& out) { return s->chat(s, in, out); }, kChatBodyBytes);
  server.route(
      "POST", "/v1/completions",
      [s](base::Request& in, base::Responder& out) { return s->completion(s, in, out); }, kChatBodyBytes);
  server.route(
      "POST", "/v1/embeddings",
      [s](base::Request& in, base::Responder& out) { return s->embeddings(s, in, out); }, kChatBodyBytes);
  server.route("GET", "/v1/models", [s](base::Request&, base::Responder& out) -> awaitable<void> {
    std::vector<std::string> names;
    for (const auto& one : s->models.all()) names.push_back(one->model.name);
    co_await out.json(200, models_json(names, s->config.provider, s->started_unix_ms / 1000));
  });
  server.route("GET", "/health", [s](base::Request&, base::Responder& out) -> awaitable<void> {
    co_await out.send(s->stopping ? 503 : 200, "text/plain", "");
  });
  server.route("GET", "/metrics", [s](base::Request&, base::Responder& out) -> awaitable<void> {
    co_await out.send(200, "text/plain; version=0.0.4; charset=utf-8", s->metrics.text());
  });
  // Ready: some model serves. A pool of placeholders is healthy and not ready.
  server.route("GET", "/ready", [s](base::Request&, base::Responder& out) -> awaitable<void> {
    s->models.describe(s->description.state, base::monotonic_now());
    const bool ready = !s->stopping && s->description.state.health == descriptor::Health::Serving;
    co_await out.send(ready ? 200 : 503, "text/plain", "");
  });
  server.route("GET", "/qanat/v1/descriptor", [s](base::Request&, base::Responder& out) -> awaitable<void> {
    co_await out.json(200, s->descriptor_json());
  });
  s->tune.add_routes(server);
  if (s->site) {
    s->site->add_routes(server, s);
    s->versions->add_routes(
        server, [state = s.get()](const std::string& base) { return state->models.find(base) != nullptr; },
        s);
  }
  add_usage_routes(server, s->recorder, s);
  s->desk.add_routes(server, s);
  s->offers.add_routes(server, s);
  if (!s->config.owner_token.empty()) s->offers.add_owner_route(server, s->config.owner_token, s);
}

void PoolService::add_operator_routes(base::HttpServer& server) {
  auto s = state_;
  server.route("GET", "/v1/status", [s](base::Request&, base::Responder& out) -> awaitable<void> {
    co_await out.json(200, s->status_json());
  });
  server.route("GET", "/metrics", [s](base::Request&, base::Responder& out) -> awaitable<void> {
    co_await out.send(200, "text/plain; version=0.0.4; charset=utf-8", s->metrics.text());
  });
  add_usage_operator_routes(server, s->recorder, s);
  s->desk.add_routes(server, s);
  s->offers.add_operator_routes(server, s);
  server.route("POST", "/qanat/v1/faults",
               [s](base::Request& in, base::Responder& out) { return s->inject(s, in, out); });
  server.route("GET", "/qanat/v1/faults", [s](base::Request&, base::Responder& out) -> awaitable<void> {
    nlohmann::json list = nlohmann::json::array();
    for (const Fault& fault : s->models.faults()) list.push_back(to_json(fault));
    co_await out.json(200, list.dump());
  });
  server.route("DELETE", "/qanat/v1/faults/{id}",
               [s](base::Request& in, base::Responder& out) -> awaitable<void> {
                 const auto id = to_number(in.capture("id"));
                 if (id && s->models.clear(*id))
                   co_await out.json(200, "{}");
                 else
                   co_await out.error(404, "not_found", "no such fault", "GET /qanat/v1/faults lists them");
               });
  server.route("POST", "/qanat/v1/models/{model}/{verb}",
               [s](base::Request& in, base::Responder& out) { return s->turn(s, in, out); });
}

void PoolService::begin_drain() { state_->stopping = true; }
bool PoolService::drained() const { return state_->live.empty(); }

void PoolService::stop() {
  State& s = *state_;
  s.stopping = true;
  const auto live = s.live;
  for (const auto& [id, call] : live) call->interrupt();
  s.tune.stop();
  s.desk.stop();
  s.recorder.stop();
  s.leases.stop();
  if (s.models.log()) s.models.log()->flush();
}

}  // namespace qanat::pool
