#include "gateway/pool/serve/pool_service.hh"

#include <fmt/format.h>

#include <boost/asio/io_context.hpp>
#include <charconv>
#include <map>
#include <nlohmann/json.hpp>

#include "base/clock.hh"
#include "base/daemon.hh"
#include "base/http_server.hh"
#include "base/metrics.hh"
#include "gateway/pool/serve/chat_api.hh"
#include "gateway/pool/serve/completion_api.hh"
#include "gateway/pool/serve/describe.hh"
#include "gateway/pool/serve/embeddings_api.hh"
#include "gateway/pool/serve/live_call.hh"
#include "gateway/pool/serve/model_versions.hh"
#include "gateway/pool/serve/offer_desk.hh"
#include "gateway/pool/serve/placeholder_desk.hh"
#include "gateway/pool/serve/pool_models.hh"
#include "gateway/pool/serve/usage_routes.hh"
#include "gateway/pool/tune/tune_service.hh"
#include "gateway/pool/usage/usage_recorder.hh"

namespace qanat::pool {
namespace asio = boost::asio;
using asio::awaitable;

namespace {

constexpr std::size_t kChatBodyBytes = 16 * 1024 * 1024;

double seconds(base::Duration d) { return std::chrono::duration<double>(d).count(); }

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value > INT64_MAX) return std::nullopt;
  return value;
}

// Made in functions of their own: g++ 12 destroys braced temporaries of an awaited expression twice.
ApiError model_not_found(std::string_view model) {
  return {404, fmt::format("The model '{}' does not exist at this pool.", model), "model_not_found", "model"};
}
ApiError too_long(const ChatRequest& request, std::uint64_t limit) {
  return {400,
          fmt::format(
              "This model's maximum context length is {} tokens; the prompt has {} and {} were asked for.",
              limit, request.prompt_tokens, request.max_tokens.value_or(1)),
          "context_length_exceeded",
          request.dialect == Dialect::Chat         ? "messages"
          : request.dialect == Dialect::Completion ? "prompt"
                                                   : "input"};
}
ApiError bad_call_name() {
  return {400, "x-qanat-call must be 1 to 127 visible ASCII characters.", "invalid_value", ""};
}
ApiError queue_full() { return {503, "The pool's queue is full.", "queue_full", "", "server_error"}; }
ApiError cold_start() {
  return {503, "The model is starting; ask again, or let the call wait with x-qanat-wait-ms.", "cold_start",
          "model", "server_error"};
}
ApiError shutting_down() { return {503, "The pool is shutting down.", "shutting_down", "", "server_error"}; }

ApiError not_offered() {
  return {503, "The pool's owner does not offer it at this hour.", "not_offered", "", "server_error"};
}

bool is_call_name(std::string_view name) {
  if (name.empty() || name.size() > ProgressJournal::kMaxCall) return false;
  return std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

}  // namespace

struct PoolService::State : std::enable_shared_from_this<PoolService::State> {
  State(asio::io_context& context, const PoolConfig& c)
      : io(context),
        config(c),
        started(base::monotonic_now()),
        started_unix_ms(base::unix_now_ms()),
        generation(started_unix_ms),
        next_call(started_unix_ms << 16),
        models(context, config, metrics),
        site(c.artefacts.folder.empty() ? nullptr : std::make_unique<jobs::SiteStore>(context, c.artefacts)),
        versions(site ? std::make_unique<ModelVersions>(*site) : nullptr),
        tune(
            context, config, [this](bool busy) { models.set_neighbour(busy); }, site.get()),
        recorder(context, c.usage_db, c.id, started_unix_ms),
        leases(c.usage_db + ".leases"),
        offers(config, leases),
        desk(context, config, models, offers, leases, site.get(), metrics),
        description(describe(c)) {
    models.on_neighbour_share([this](double share) { tune.set_share(share); });
    if (site) site->on_revoked([this](const std::string& contract) { tune.revoke(contract); });
    models.on_cards_failed([this](base::Duration outage) { tune.lose(outage); });
  }

  std::string descriptor_json() {
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

  // Until it may be worth asking again, in whole seconds: the queue has moved, or the model is up.
  std::string retry_after(Served& one) const {
    double s = 60;
    if (Station* const station = one.pick()) {
      const base::Time now = base::monotonic_now();
      const auto sample = describe_engine(one.model, station->engine(), now);
      s = sample.prefill.time_us(double(sample.queued_prefill_tokens)) * 1e-6 +
          seconds(station->life().ready_in(now).value_or(base::Duration{}));
    }
    return fmt::format("{}", std::clamp(static_cast<int>(s) + 1, 1, 600));
  }

  awaitable<void> refuse(base::Responder& out, ApiError error) {
    co_await out.send(error.status, "application/json", to_json(error));
  }

  // A model that is not up is woken by the first call; whether that call waits is its own decision.
  bool must_go_elsewhere(Served& one, const base::Request& in) const {
    Station* const station = one.pick();
    if (!station) return config.leased;
    if (station->life().serving()) return false;
    station->wake();
    base::Duration patience = config.cold_wait;
    if (const auto said = number(in.headers.value_or("x-qanat-wait-ms", "")))
      patience = std::chrono::milliseconds(std::min<std::uint64_t>(*said, 3'600'000));
    return station->life().ready_in(base::monotonic_now()).value_or(base::Duration::max()) > patience;
  }

  awaitable<void> chat(std::shared_ptr<State> self, base::Request& in, base::Responder& out);
  awaitable<void> completion(std::shared_ptr<State> self, base::Request& in, base::Responder& out);
  awaitable<void> embeddings(std::shared_ptr<State> self, base::Request& in, base::Responder& out);
  // `embeddings`: null unless it is a call for them.
  awaitable<void> serve(std::shared_ptr<State> self, const ChatRequest& request,
                        const EmbeddingsRequest* embeddings, base::Request& in, base::Responder& out);
  awaitable<void> inject(std::shared_ptr<State> self, base::Request& in, base::Responder& out);
  awaitable<void> turn(std::shared_ptr<State> self, base::Request& in, base::Responder& out);
  std::string status_json() const;

  asio::io_context& io;
  PoolConfig config;
  base::Time started;
  std::uint64_t started_unix_ms, generation;
  CallId next_call;
  base::MetricsRegistry metrics;
  PoolModels models;
  std::unique_ptr<jobs::SiteStore> site;    // null: it keeps no artefacts
  std::unique_ptr<ModelVersions> versions;  // where site is
  TuneService tune;
  UsageRecorder recorder;
  LeaseBook leases;
  OfferDesk offers;
  PlaceholderDesk desk;
  descriptor::Descriptor description;
  std::map<CallId, LiveCall*> live;
  bool stopping = false;
};

awaitable<void> PoolService::State::chat(std::shared_ptr<State> self, base::Request& in,
                                         base::Responder& out) {
  out.set_header("x-qanat-pool", config.id);
  auto parsed = parse_chat(in.body);
  if (!parsed) co_return co_await refuse(out, parsed.error());
  co_await serve(std::move(self), *parsed, nullptr, in, out);
}

awaitable<void> PoolService::State::completion(std::shared_ptr<State> self, base::Request& in,
                                               base::Responder& out) {
  out.set_header("x-qanat-pool", config.id);
  auto parsed = parse_completion(in.body);
  if (!parsed) co_return co_await refuse(out, parsed.error());
  co_await serve(std::move(self), *parsed, nullptr, in, out);
}

awaitable<void> PoolService::State::embeddings(std::shared_ptr<State> self, base::Request& in,
                                               base::Responder& out) {
  out.set_header("x-qanat-pool", config.id);
  auto parsed = parse_embeddings(in.body);
  if (!parsed) co_return co_await refuse(out, parsed.error());
  co_await serve(std::move(self), parsed->call, &*parsed, in, out);
}

// 1. Check. 2. Decide what the model will say. 3. Queue it. 4. Tokens are sent as they come into being. 5. Whatever
// happens to the client, the usage is recorded and the sequence ends with the call.
awaitable<void> PoolService::State::serve(std::shared_ptr<State> self, const ChatRequest& request,
                                          const EmbeddingsRequest* embeddings, base::Request& in,
                                          base::Responder& out) {
  const auto arrived = base::monotonic_now();
  Served* const one = models.find(versions ? versions->base_of(request.model) : request.model);
  if (!one) co_return co_await refuse(out, model_not_found(request.model));
  const bool tuned = one->model.name != request.model && versions;
  const std::uint64_t limit = one->stations.front()->engine().context_limit();
  if (request.prompt_tokens + request.max_tokens.value_or(1) > limit)
    co_return co_await refuse(out, too_long(request, limit));
  if (embeddings)
    if (const auto wrong = check_dimensions(*embeddings, one->model.hidden))
      co_return co_await refuse(out, *wrong);
  const CallId id = next_call++;
  std::string name(in.headers.value_or("x-qanat-call", ""));
  if (name.empty()) name = fmt::format("call-{:x}", id);
  if (!is_call_name(name)) co_return co_await refuse(out, bad_call_name());
  in.remarks.emplace_back("qanat.call", name);
  in.remarks.emplace_back("gen_ai.request.model", one->model.name);
  if (!offers.open()) {
    const std::uint64_t opens = offers.changes_unix_ms(), now = base::unix_now_ms();
    out.set_header("retry-after", std::to_string(opens > now ? (opens - now) / 1000 + 1 : 60));
    co_return co_await refuse(out, not_offered());
  }
  if (!stopping && must_go_elsewhere(*one, in)) {
    out.set_header("retry-after", retry_after(*one));
    co_return co_await refuse(out, cold_start());
  }

  OutputRequest wanted;
  wanted.seed = request.prompt_hash;
  wanted.max_tokens = request.max_tokens;
  wanted.natural_length = request.natural_length;
  wanted.ignore_stop = request.ignore_stop;
  wanted.stop = request.stop;
  wanted.room = static_cast<std::uint32_t>(limit - request.prompt_tokens);
  OutputPlan plan = plan_output(wanted);

  auto ticket = stopping ? std::nullopt
                         : recorder.begin(name, one->model.name, request.prompt_tokens, base::unix_now_ms());
  if (!ticket) {
    out.set_header("retry-after", retry_after(*one));
    ApiError error = stopping ? shutting_down() : queue_full();
    co_return co_await refuse(out, std::move(error));
  }
  ChatWriter writer(fmt::format("{}-{:x}", request.dialect == Dialect::Completion ? "cmpl" : "chatcmpl", id),
                    tuned ? request.model : one->model.name, base::unix_now(), request);
  LiveCall call(io, id, *one, recorder, std::move(*ticket), std::move(plan), std::move(writer), arrived,
                models.log());
  if (const Admission admission = call.submit(request); admission != Admission::Accepted) {
    call.on_lost("queue_full");
    out.set_header("retry-after", retry_after(*one));
    ApiError error = admission == Admission::TooLong ? too_long(request, limit) : queue_full();
    co_return co_await refuse(out, std::move(error));
  }
  one->metrics.prompt_tokens.add(request.prompt_tokens);
  struct Listed {
    std::map<CallId, LiveCall*>& live;
    CallId id;
    ~Listed() { live.erase(id); }
  } listed{live, id};
  live.emplace(id, &call);
  out.on_disconnect([this, id] {
    if (const auto found = live.find(id); found != live.end()) found->second->on_client_gone();
  });
  bool answered = false;
  if (embeddings)
    answered = co_await call.prefilled();
  else
    answered = co_await call.answer(out, request.stream);
  if (!answered) {
    out.set_header("retry-after", retry_after(*one));
    ApiError error = call.lost_error();
    co_return co_await refuse(out, std::move(error));
  }
  if (!embeddings || out.client_gone()) co_return;
  std::string vectors =
      embeddings_json(*embeddings, tuned ? request.model : one->model.name, one->model.hidden);
  co_await out.json(200, std::move(vectors));
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
                 const auto id = number(in.capture("id"));
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
