#include "gateway/pool/adopt/adopted_pool.hh"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <nlohmann/json.hpp>

#include "base/clock.hh"
#include "base/http_client.hh"
#include "base/http_server.hh"
#include "base/log.hh"
#include "base/metrics.hh"
#include "base/sse.hh"
#include "gateway/pool/adopt/dialect.hh"
#include "gateway/pool/adopt/pace_meter.hh"
#include "gateway/pool/serve/chat_api.hh"
#include "gateway/pool/serve/describe.hh"
#include "gateway/pool/serve/usage_routes.hh"
#include "gateway/pool/usage/usage_recorder.hh"

namespace qanat::pool {
namespace asio = boost::asio;
using asio::awaitable;

namespace {

constexpr std::size_t kChatBodyBytes = 16 << 20;
constexpr std::size_t kAnswerBytes = 64 << 20;
constexpr std::uint32_t kUsualContext = 8192;  // where the server does not say

ApiError error_of(int status, std::string message, std::string code) {
  return {status, std::move(message), std::move(code), "",
          status < 500 ? "invalid_request_error" : "server_error"};
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

}  // namespace

struct AdoptedPool::State : std::enable_shared_from_this<AdoptedPool::State> {
  State(asio::io_context& context, const PoolConfig& c)
      : io(context),
        config(c),
        started_unix_ms(base::unix_now_ms()),
        generation(started_unix_ms),
        client(context),
        recorder(context, c.usage_db, c.id, started_unix_ms),
        timer(context),
        calls_total(
            metrics.counter("qanat_pool_adopted_calls_total", "Calls carried to the adopted server.")),
        failures_total(metrics.counter("qanat_pool_adopted_failures_total", "Of those, failed there.")),
        description(describe_adopted(c)) {
    metrics.before_text([this] {
      metrics.gauge("vllm:num_requests_running", "Calls under way.").set(double(under_way));
      metrics.gauge("qanat_pool_adopted_up", "1 if the last probe was answered.").set(up ? 1 : 0);
    });
  }

  awaitable<void> probe(std::shared_ptr<State> self);
  awaitable<bool> probe_once();
  awaitable<void> measure(std::string model);
  awaitable<void> chat(std::shared_ptr<State> self, base::Request& in, base::Responder& out);
  awaitable<void> carry(base::HttpStream& upstream, const ForeignRequest& request, UsageTicket& ticket,
                        base::Time sent, base::Responder& out);
  awaitable<void> refuse(base::Responder& out, ApiError error) {
    co_await out.send(error.status, "application/json", to_json(error));
  }
  base::ClientRequest upstream_request(std::string body, bool stream) const {
    base::ClientRequest request;
    request.method = "POST";
    request.target = "/v1/chat/completions";
    request.headers.add("content-type", "application/json");
    request.headers.add("accept", stream ? "text/event-stream" : "application/json");
    if (!config.adopt.key.empty()) request.headers.add("authorization", "Bearer " + config.adopt.key);
    request.body = std::move(body);
    return request;
  }
  const ForeignModel* find(std::string_view name) const {
    for (const ForeignModel& model : models)
      if (lower(model.name) == lower(std::string(name))) return &model;
    return nullptr;
  }
  std::string descriptor_json();
  std::string status_json() const;

  asio::io_context& io;
  PoolConfig config;
  std::uint64_t started_unix_ms, generation;
  base::HttpClient client;
  base::MetricsRegistry metrics;
  UsageRecorder recorder;
  asio::steady_timer timer;
  base::Counter& calls_total;
  base::Counter& failures_total;
  descriptor::Descriptor description;
  std::vector<ForeignModel> models;
  PaceMeter pace;
  std::uint64_t under_way = 0, next_call = 0;
  bool up = false, stopping = false, drained_by_operator = false;
};

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

awaitable<void> AdoptedPool::State::measure(std::string model) {
  const nlohmann::json message{{"role", "user"}, {"content", "Count from one to eight."}};
  const nlohmann::json body{
      {"model", model}, {"messages", nlohmann::json::array({message})}, {"max_tokens", 16}, {"stream", true}};
  const auto request = parse_request(body.dump());
  const base::Time sent = base::monotonic_now();
  auto opened = co_await client.open(config.adopt.url, upstream_request(request->body, true));
  if (!opened || opened->status() != 200) co_return;
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
}

std::string AdoptedPool::State::descriptor_json() {
  description.state.generation = ++generation;
  description.models.clear();
  description.state.engines.clear();
  for (const ForeignModel& model : models) {
    descriptor::ServedModel served;
    served.name = lower(model.name);
    served.dtype = "unknown";
    served.max_context = model.max_context != 0    ? model.max_context
                         : config.max_context != 0 ? config.max_context
                                                   : kUsualContext;
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

awaitable<void> AdoptedPool::State::chat(std::shared_ptr<State> self, base::Request& in,
                                         base::Responder& out) {
  out.set_header("x-qanat-pool", config.id);
  if (config.adopt.level == AdoptLevel::Observed)
    co_return co_await refuse(
        out, error_of(403, "This server is only observed: call it itself.", "observed_only"));
  auto request = parse_request(in.body);
  if (!request)
    co_return co_await refuse(
        out, error_of(400, "A chat request with 'model' and 'messages' is expected.", "invalid_json"));
  const ForeignModel* model = find(request->model);
  if (!model)
    co_return co_await refuse(
        out, error_of(404, "The adopted server does not list '" + request->model + "'.", "model_not_found"));
  std::string name(in.headers.value_or("x-qanat-call", ""));
  if (name.empty() || name.size() > ProgressJournal::kMaxCall)
    name = fmt::format("call-{:x}-{:x}", started_unix_ms, next_call++);
  const bool full = under_way >= config.adopt.max_streams;
  auto ticket = stopping || drained_by_operator || full || !up
                    ? std::nullopt
                    : recorder.begin(name, lower(model->name), request->prompt_tokens, base::unix_now_ms());
  if (!ticket) {
    out.set_header("retry-after", "2");
    ApiError error = !up    ? error_of(503, "The adopted server does not answer.", "server_down")
                     : full ? error_of(503, "All its streams are taken.", "queue_full")
                            : error_of(503, "It is being drained.", "draining");
    co_return co_await refuse(out, std::move(error));
  }
  struct Under {
    std::uint64_t& count;
    explicit Under(std::uint64_t& c) : count(c) { ++count; }
    ~Under() { --count; }
  } under{under_way};
  calls_total.add();
  suit(*request, *model);
  auto cancel = std::make_shared<std::function<void()>>();
  out.on_disconnect([cancel] {
    if (*cancel) (*cancel)();
  });
  const base::Time sent = base::monotonic_now();
  auto upstream = upstream_request(request->body, request->stream);
  // What another gateway needs to keep the two lines of one call together, and its tier.
  upstream.headers.add("x-request-id", name);
  if (const std::string* tier = in.headers.find("x-qanat-tier")) upstream.headers.add("x-qanat-tier", *tier);
  auto opened = co_await client.open(config.adopt.url, std::move(upstream), cancel.get());
  if (!opened) {
    failures_total.add();
    up = false;  // until the next probe says otherwise
    recorder.end(*ticket, "error", base::unix_now_ms());
    out.set_header("retry-after", "2");
    co_return co_await refuse(
        out, error_of(503, "The adopted server failed: " + opened.error().message(), "server_down"));
  }
  *cancel = opened->canceller();
  if (opened->status() != 200) {
    recorder.end(*ticket, "error", base::unix_now_ms());
    auto body = co_await opened->read_all(kAnswerBytes);
    if (opened->status() >= 500) failures_total.add();
    const std::string type(opened->headers().value_or("content-type", "application/json"));
    std::string text = body ? std::move(*body) : std::string();
    co_await out.send(opened->status(), type, std::move(text));
    co_return;
  }
  co_await carry(*opened, *request, *ticket, sent, out);
  *cancel = nullptr;
}

awaitable<void> AdoptedPool::State::carry(base::HttpStream& upstream, const ForeignRequest& request,
                                          UsageTicket& ticket, base::Time sent, base::Responder& out) {
  AnswerReader reader(request);
  base::Time first{};
  const double calls = double(under_way);
  const auto count = [&] {
    if (reader.completion_tokens() == 0) return;
    if (first == base::Time{}) {
      first = base::monotonic_now();
      pace.on_first(reader.prompt_tokens(), first - sent);
    }
    ticket.call.prompt_tokens = reader.prompt_tokens();
    recorder.progress(ticket, static_cast<std::uint32_t>(reader.completion_tokens()));
  };
  bool broken = false;
  if (request.stream) {
    base::SseParser parser;
    while (!reader.done() && !reader.failed() && !broken) {
      const auto bytes = co_await upstream.read_some();
      std::vector<base::SseEvent> events;
      if (!bytes || bytes->empty() || !parser.feed(*bytes, events)) {
        broken = true;
        break;
      }
      std::string text;
      for (const auto& event : events) text += reader.on_data(event.data);
      count();
      if (text.empty()) continue;
      if (!out.started() && !co_await out.begin_events()) break;
      if (!co_await out.write(text)) break;
    }
  } else {
    auto body = co_await upstream.read_all(kAnswerBytes);
    broken = !body.has_value();
    if (body) {
      std::string answer = reader.on_whole(*body);
      count();
      co_await out.json(200, std::move(answer));
    }
  }
  if (broken || reader.failed()) failures_total.add();
  if (request.stream && reader.done() && first != base::Time{} && reader.completion_tokens() > 1)
    pace.on_end(calls,
                (base::monotonic_now() - first) / static_cast<std::int64_t>(reader.completion_tokens() - 1));
  recorder.end(ticket,
               reader.done() && !reader.failed() ? (reader.finish().empty() ? "stop" : reader.finish())
               : out.client_gone()               ? "cancelled"
                                                 : "error",
               base::unix_now_ms());
  if (out.client_gone()) co_return;
  if (!out.started()) {
    out.set_header("retry-after", "2");
    co_return co_await refuse(out, error_of(502, "The adopted server broke off.", "server_failed"));
  }
  if (request.stream && !reader.done()) {
    if (!reader.failed())
      co_await out.write(ChatWriter::broken(error_of(502, "The adopted server broke off.", "server_failed")));
    co_return out.abort();
  }
  if (request.stream) co_await out.finish();
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
    status["models"].push_back({{"model", lower(model.name)}, {"phase", up ? "serving" : "failed"}});
  return status.dump();
}

AdoptedPool::AdoptedPool(asio::io_context& io, const PoolConfig& config)
    : state_(std::make_shared<State>(io, config)) {
  asio::co_spawn(io, state_->probe(state_), asio::detached);
}
AdoptedPool::~AdoptedPool() { stop(); }

void AdoptedPool::add_routes(base::HttpServer& server) {
  auto s = state_;
  server.route(
      "POST", "/v1/chat/completions",
      [s](base::Request& in, base::Responder& out) { return s->chat(s, in, out); }, kChatBodyBytes);
  server.route("GET", "/v1/models", [s](base::Request&, base::Responder& out) -> awaitable<void> {
    std::vector<std::string> names;
    for (const auto& model : s->models) names.push_back(lower(model.name));
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
