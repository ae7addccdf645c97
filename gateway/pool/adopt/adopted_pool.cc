#include "gateway/pool/adopt/adopted_pool.hh"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <nlohmann/json.hpp>

#include "base/log.hh"
#include "base/sse.hh"
#include "gateway/pool/adopt/adopted_state.hh"
#include "gateway/pool/serve/chat_api.hh"
#include "gateway/pool/serve/usage_routes.hh"

namespace qanat::pool {
namespace asio = boost::asio;
using asio::awaitable;

namespace {

constexpr std::size_t kBodyBytes = 16 << 20;
constexpr std::uint32_t kUsualContext = 8192;  // where the server does not say

// Some tokens of each kind of call: enough to see how fast it is.
nlohmann::json trial(Dialect dialect, const std::string& model) {
  constexpr const char* kText = "Count from one to eight.";
  if (dialect == Dialect::Embeddings) return {{"model", model}, {"input", kText}};
  nlohmann::json body{{"model", model}, {"max_tokens", 16}, {"stream", true}};
  if (dialect == Dialect::Completion)
    body["prompt"] = kText;
  else
    body["messages"] = nlohmann::json::array({{{"role", "user"}, {"content", kText}}});
  return body;
}

}  // namespace

std::string lower_case(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

AdoptedPool::State::State(asio::io_context& context, const PoolConfig& c)
    : io(context),
      config(c),
      started_unix_ms(base::unix_now_ms()),
      generation(started_unix_ms),
      client(context),
      recorder(context, c.usage_db, c.id, started_unix_ms),
      timer(context),
      calls_total(metrics.counter("qanat_pool_adopted_calls_total", "Calls carried to the adopted server.")),
      failures_total(metrics.counter("qanat_pool_adopted_failures_total", "Of those, failed there.")),
      description(describe_adopted(c)) {
  metrics.before_text([this] {
    metrics.gauge("vllm:num_requests_running", "Calls under way.").set(double(under_way));
    metrics.gauge("qanat_pool_adopted_up", "1 if the last probe was answered.").set(up ? 1 : 0);
  });
}

base::ClientRequest AdoptedPool::State::upstream_request(const ForeignRequest& asked) const {
  base::ClientRequest request;
  request.method = "POST";
  request.target = path_of(asked.dialect);
  request.headers.add("content-type", "application/json");
  request.headers.add("accept", asked.stream ? "text/event-stream" : "application/json");
  if (!config.adopt.key.empty()) request.headers.add("authorization", "Bearer " + config.adopt.key);
  request.body = asked.body;
  return request;
}

const ForeignModel* AdoptedPool::State::find(std::string_view name) const {
  for (const ForeignModel& model : models)
    if (lower_case(model.name) == lower_case(std::string(name))) return &model;
  return nullptr;
}

std::uint32_t AdoptedPool::State::context_of(const ForeignModel& model) const {
  return model.max_context != 0    ? model.max_context
         : config.max_context != 0 ? config.max_context
                                   : kUsualContext;
}

// Forever: is it there, what does it serve? And once, before any call has told: how fast is it?
awaitable<void> AdoptedPool::State::probe(std::shared_ptr<State> self) {
  while (!stopping) {
    const bool was = up;
    up = co_await probe_once();
    if (up != was)
      base::log_info(
          "{} {}", config.adopt.url,
          up ? "answers, with " + std::to_string(models.size()) + " models" : std::string("does not answer"));
    if (up && !pace.measured() && !models.empty()) co_await measure(models.front().name);
    timer.expires_after(config.adopt.probe_interval);
    boost::system::error_code ignored;
    co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
}

awaitable<bool> AdoptedPool::State::probe_once() {
  base::ClientRequest request;
  request.target = "/v1/models";
  if (!config.adopt.key.empty()) request.headers.add("authorization", "Bearer " + config.adopt.key);
  const auto answer = co_await client.fetch(config.adopt.url, std::move(request));
  if (!answer || answer->status != 200) co_return false;
  auto listed = parse_models(answer->body);
  if (!listed) co_return false;
  if (listed->size() > descriptor::kMaxModels) listed->resize(descriptor::kMaxModels);
  models = std::move(*listed);
  co_return true;
}

// A server may know chats, or only one of the others.
awaitable<void> AdoptedPool::State::measure(std::string model) {
  for (const Dialect dialect : {Dialect::Chat, Dialect::Completion})
    if (co_await measure_stream(dialect, model)) co_return;
  co_await measure_vector(model);
}

awaitable<void> AdoptedPool::State::measure_vector(std::string model) {
  const auto request = parse_request(Dialect::Embeddings, trial(Dialect::Embeddings, model).dump());
  const base::Time sent = base::monotonic_now();
  const auto answer = co_await client.fetch(config.adopt.url, upstream_request(*request));
  if (!answer || answer->status != 200) co_return;
  AnswerReader reader(*request);
  reader.on_whole(answer->body);
  if (!reader.failed()) pace.on_first(reader.prompt_tokens(), base::monotonic_now() - sent);
}

// False: it does not know such calls.
awaitable<bool> AdoptedPool::State::measure_stream(Dialect dialect, std::string model) {
  const auto request = parse_request(dialect, trial(dialect, model).dump());
  const base::Time sent = base::monotonic_now();
  auto opened = co_await client.open(config.adopt.url, upstream_request(*request));
  if (!opened || opened->status() != 200) co_return false;
  AnswerReader reader(*request);
  base::SseParser parser;
  base::Time first{};
  while (true) {
    const auto bytes = co_await opened->read_some();
    if (!bytes || bytes->empty()) break;
    std::vector<base::SseEvent> events;
    if (!parser.feed(*bytes, events)) break;
    for (const auto& event : events) reader.on_data(event.data);
    if (first == base::Time{} && reader.completion_tokens() > 0) {
      first = base::monotonic_now();
      pace.on_first(reader.prompt_tokens(), first - sent);
    }
  }
  if (first != base::Time{} && reader.completion_tokens() > 1)
    pace.on_end(1,
                (base::monotonic_now() - first) / static_cast<std::int64_t>(reader.completion_tokens() - 1));
  co_return true;
}

std::string AdoptedPool::State::descriptor_json() {
  description.state.generation = ++generation;
  description.models.clear();
  description.state.engines.clear();
  for (const ForeignModel& model : models) {
    descriptor::ServedModel served;
    served.name = lower_case(model.name);
    served.dtype = "unknown";
    served.max_context = context_of(model);
    served.price = {config.price.input, config.price.cached, config.price.output};
    descriptor::EngineState engine;
    engine.model = served.name;
    engine.max_num_seqs = config.adopt.max_streams;
    engine.running = static_cast<std::uint32_t>(std::min<std::uint64_t>(under_way, config.adopt.max_streams));
    engine.kv_total_tokens = std::uint64_t(served.max_context) * config.adopt.max_streams;
    engine.decode = pace.decode();
    engine.prefill = pace.prefill();
    description.models.push_back(std::move(served));
    description.state.engines.push_back(std::move(engine));
  }
  description.state.health = stopping || drained_by_operator ? descriptor::Health::Draining
                             : !up                           ? descriptor::Health::Down
                             : !pace.measured()              ? descriptor::Health::Starting
                                                             : descriptor::Health::Serving;
  return descriptor::serialize(description);
}

std::string AdoptedPool::State::status_json() const {
  const auto prefill = pace.prefill();
  const auto decode = pace.decode();
  nlohmann::ordered_json status{{"id", config.id},
                                {"adopted", config.adopt.url},
                                {"level", to_string(config.adopt.level)},
                                {"up", up},
                                {"draining", stopping || drained_by_operator},
                                {"under_way", under_way},
                                {"usage_open", recorder.open_calls()},
                                {"measured",
                                 {{"ttft_base_ms", prefill.base_us / 1e3},
                                  {"ttft_per_1000_tokens_ms", prefill.per_token_us},
                                  {"tpot_base_ms", decode.base_us / 1e3},
                                  {"tpot_per_call_ms", decode.per_sequence_us / 1e3}}}};
  status["models"] = nlohmann::ordered_json::array();
  for (const ForeignModel& model : models)
    status["models"].push_back({{"model", lower_case(model.name)}, {"phase", up ? "serving" : "failed"}});
  return status.dump();
}

AdoptedPool::AdoptedPool(asio::io_context& io, const PoolConfig& config)
    : state_(std::make_shared<State>(io, config)) {
  asio::co_spawn(io, state_->probe(state_), asio::detached);
}
AdoptedPool::~AdoptedPool() { stop(); }

void AdoptedPool::add_routes(base::HttpServer& server) {
  auto s = state_;
  for (const Dialect dialect : {Dialect::Chat, Dialect::Completion, Dialect::Embeddings})
    server.route(
        "POST", path_of(dialect),
        [s, dialect](base::Request& in, base::Responder& out) { return s->call(s, dialect, in, out); },
        kBodyBytes);
  server.route("GET", "/v1/models", [s](base::Request&, base::Responder& out) -> awaitable<void> {
    std::vector<std::string> names;
    for (const auto& model : s->models) names.push_back(lower_case(model.name));
    co_await out.json(200, models_json(names, s->config.provider, s->started_unix_ms / 1000));
  });
  for (const char* path : {"/health", "/ready"})
    server.route("GET", path, [s](base::Request&, base::Responder& out) -> awaitable<void> {
      co_await out.send(s->up && !s->stopping ? 200 : 503, "text/plain", "");
    });
  server.route("GET", "/metrics", [s](base::Request&, base::Responder& out) -> awaitable<void> {
    co_await out.send(200, "text/plain; version=0.0.4; charset=utf-8", s->metrics.text());
  });
  server.route("GET", "/qanat/v1/descriptor", [s](base::Request&, base::Responder& out) -> awaitable<void> {
    co_await out.json(200, s->descriptor_json());
  });
  add_usage_routes(server, s->recorder, s);
}

void AdoptedPool::add_operator_routes(base::HttpServer& server) {
  auto s = state_;
  server.route("GET", "/v1/status", [s](base::Request&, base::Responder& out) -> awaitable<void> {
    co_await out.json(200, s->status_json());
  });
  server.route("GET", "/metrics", [s](base::Request&, base::Responder& out) -> awaitable<void> {
    co_await out.send(200, "text/plain; version=0.0.4; charset=utf-8", s->metrics.text());
  });
  server.route("POST", "/qanat/v1/models/{model}/{verb}",
               [s](base::Request& in, base::Responder& out) -> awaitable<void> {
                 s->drained_by_operator = in.capture("verb") == "drain";
                 co_await out.json(200, s->status_json());
               });
}

void AdoptedPool::begin_drain() { state_->stopping = true; }
bool AdoptedPool::drained() const { return state_->under_way == 0; }

void AdoptedPool::stop() {
  state_->stopping = true;
  state_->timer.cancel();
  state_->recorder.stop();
}

}  // namespace qanat::pool
