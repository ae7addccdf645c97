#include "gateway/pool/serve/pool_service.hh"

#include <fmt/format.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/clock.hh"
#include "base/daemon.hh"
#include "base/http_server.hh"
#include "base/metrics.hh"
#include "gateway/pool/serve/call_runner.hh"
#include "gateway/pool/serve/chat_api.hh"
#include "gateway/pool/serve/describe.hh"
#include "gateway/pool/serve/pool_metrics.hh"
#include "gateway/pool/usage/usage_recorder.hh"

namespace qanat::pool {
namespace asio = boost::asio;
using asio::awaitable;

namespace {

constexpr std::size_t kChatBodyBytes = 16 * 1024 * 1024;
constexpr std::size_t kUsagePage = 1000;

// One model on its share of the cards.
struct Served {
  Served(asio::io_context& io, const PoolConfig& config, const Model& m, base::MetricsRegistry& registry)
      : model(m),
        limits(config.limits_for(m)),
        runner(io, Roofline(config.card, config.cards_per_model(), m), limits),
        metrics(registry, m.name) {}
  Model model;
  EngineLimits limits;
  CallRunner runner;
  PoolMetrics metrics;
};

// One call under way: the listener moves `generated`, the handler sends up to it.
struct LiveCall {
  LiveCall(asio::io_context& io, UsageTicket t)
      : wake(io, asio::steady_timer::time_point::max()), ticket(std::move(t)) {}
  asio::steady_timer wake;
  UsageTicket ticket;
  base::Time arrived{}, last_token{};
  std::uint32_t generated = 0;
  bool stopped = false;  // the pool is ending
};

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
          "context_length_exceeded", "messages"};
}
ApiError bad_call_name() {
  return {400, "x-qanat-call must be 1 to 127 visible ASCII characters.", "invalid_value", ""};
}
ApiError queue_full() { return {503, "The pool's queue is full.", "queue_full", "", "server_error"}; }
ApiError shutting_down() { return {503, "The pool is shutting down.", "shutting_down", "", "server_error"}; }

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
        recorder(context, c.usage_db, c.id, started_unix_ms),
        description(describe(c)) {
    for (const auto& model : config.models)
      served.push_back(std::make_unique<Served>(io, config, model, metrics));
    metrics.before_text([this] {
      for (auto& one : served) one->metrics.sample(one->runner.engine());
    });
  }

  Served* find(std::string_view model) {
    for (auto& one : served)
      if (base::equal_ignoring_case(one->model.name, model)) return one.get();
    return nullptr;
  }

  std::string descriptor_json() {
    description.state.generation = ++generation;
    description.state.health = stopping ? descriptor::Health::Draining : descriptor::Health::Serving;
    description.state.engines.clear();
    for (const auto& one : served)
      description.state.engines.push_back(
          describe_engine(one->model, one->runner.engine(), one->limits, base::monotonic_now()));
    return descriptor::serialize(description);
  }

  // Until the queue has likely moved, in whole seconds.
  std::string retry_after(const Served& one) const {
    const auto sample = describe_engine(one.model, one.runner.engine(), one.limits, base::monotonic_now());
    const double s = sample.prefill.time_us(double(sample.queued_prefill_tokens)) * 1e-6;
    return fmt::format("{}", std::clamp(static_cast<int>(s) + 1, 1, 60));
  }

  void on_token(Served& one, LiveCall& call, const OutputPlan& plan, const TokenEvent& event) {
    recorder.progress(call.ticket, event.index);
    one.metrics.generation_tokens.add();
    if (event.index == 1)
      one.metrics.ttft_s.observe(seconds(event.at - call.arrived));
    else
      one.metrics.tpot_s.observe(seconds(event.at - call.last_token));
    call.last_token = event.at;
    call.generated = event.index;
    if (event.last) {
      recorder.end(call.ticket, to_string(plan.finish), base::unix_now_ms());
      one.metrics.e2e_s.observe(seconds(event.at - call.arrived));
      (plan.finish == Finish::Stop ? one.metrics.stopped : one.metrics.length).add();
    }
    call.wake.cancel();
  }

  awaitable<void> refuse(base::Responder& out, ApiError error) {
    co_await out.send(error.status, "application/json", to_json(error));
  }

  awaitable<void> chat(std::shared_ptr<State> self, base::Request& in, base::Responder& out);
  awaitable<void> send_tokens(Served& one, LiveCall& call, const OutputPlan& plan, const ChatWriter& writer,
                              base::Responder& out);
  awaitable<void> send_whole(LiveCall& call, const OutputPlan& plan, const ChatWriter& writer,
                             base::Responder& out);
  awaitable<void> usage(std::shared_ptr<State> self, base::Request& in, base::Responder& out);
  awaitable<void> acknowledge(std::shared_ptr<State> self, base::Request& in, base::Responder& out);
  std::string status_json() const;

  asio::io_context& io;
  PoolConfig config;
  base::Time started;
  std::uint64_t started_unix_ms, generation;
  CallId next_call;
  base::MetricsRegistry metrics;
  UsageRecorder recorder;
  descriptor::Descriptor description;
  std::vector<std::unique_ptr<Served>> served;
  std::unordered_map<CallId, std::shared_ptr<LiveCall>> live;
  bool stopping = false;
  bool ended = false;
};

namespace {

awaitable<void> next_token(LiveCall& call) {
  boost::system::error_code woken;
  co_await call.wake.async_wait(asio::redirect_error(asio::use_awaitable, woken));
}

}  // namespace

// 1. Parse and check. 2. Decide what the model will say. 3. Queue it. 4. Send tokens as they come into being. 5. Whatever
// happens to the client, the usage is recorded and the sequence ends with the call.
awaitable<void> PoolService::State::chat(std::shared_ptr<State> self, base::Request& in,
                                         base::Responder& out) {
  const auto arrived = base::monotonic_now();
  out.set_header("x-qanat-pool", config.id);
  auto parsed = parse_chat(in.body);
  if (!parsed) co_return co_await refuse(out, parsed.error());
  const ChatRequest& request = *parsed;
  Served* const one = find(request.model);
  if (!one) co_return co_await refuse(out, model_not_found(request.model));
  const std::uint64_t limit = one->runner.engine().context_limit();
  if (request.prompt_tokens + request.max_tokens.value_or(1) > limit)
    co_return co_await refuse(out, too_long(request, limit));
  const CallId id = next_call++;
  std::string name(in.headers.value_or("x-qanat-call", ""));
  if (name.empty()) name = fmt::format("call-{:x}", id);
  if (!is_call_name(name)) co_return co_await refuse(out, bad_call_name());

  OutputRequest wanted;
  wanted.seed = request.prompt_hash;
  wanted.max_tokens = request.max_tokens;
  wanted.natural_length = request.natural_length;
  wanted.ignore_stop = request.ignore_stop;
  wanted.stop = request.stop;
  wanted.room = static_cast<std::uint32_t>(limit - request.prompt_tokens);
  const OutputPlan plan = plan_output(wanted);

  auto ticket = stopping ? std::nullopt
                         : recorder.begin(name, one->model.name, request.prompt_tokens, base::unix_now_ms());
  Admission admission = Admission::QueueFull;
  std::shared_ptr<LiveCall> call;
  if (ticket) {
    call = std::make_shared<LiveCall>(io, std::move(*ticket));
    call->arrived = arrived;
    admission = one->runner.submit(id, static_cast<std::uint32_t>(request.prompt_tokens),
                                   static_cast<std::uint32_t>(plan.tokens.size()),
                                   [this, one, live_call = call.get(), &plan](const TokenEvent& event) {
                                     on_token(*one, *live_call, plan, event);
                                   });
  }
  if (admission != Admission::Accepted) {
    if (call) recorder.end(call->ticket, "cancelled", base::unix_now_ms());
    out.set_header("retry-after", retry_after(*one));
    co_return co_await refuse(out, stopping ? shutting_down() : queue_full());
  }
  live.emplace(id, call);
  one->metrics.prompt_tokens.add(request.prompt_tokens);
  // Leaving this scope, by whatever way, takes the sequence out of the engine and completes the record.
  struct Leave {
    State& state;
    Served& served;
    CallId id;
    std::shared_ptr<LiveCall> call;
    ~Leave() {
      if (state.ended) return;  // the loop itself is going; stop() has recorded everything
      served.runner.cancel(id);
      if (!call->ticket.ended) {
        served.metrics.aborted.add();
        state.recorder.end(call->ticket, call->stopped ? "interrupted" : "cancelled", base::unix_now_ms());
      }
      state.live.erase(id);
    }
  } leave{*this, *one, id, call};
  out.on_disconnect([one, id, call] {
    one->runner.cancel(id);
    call->wake.cancel();
  });

  const ChatWriter writer(fmt::format("chatcmpl-{:x}", id), one->model.name, base::unix_now(), request);
  if (request.stream)
    co_await send_tokens(*one, *call, plan, writer, out);
  else
    co_await send_whole(*call, plan, writer, out);
}

awaitable<void> PoolService::State::send_tokens(Served& one, LiveCall& call, const OutputPlan& plan,
                                                const ChatWriter& writer, base::Responder& out) {
  if (!co_await out.begin_events()) co_return;
  std::uint32_t sent = 0;
  std::string bytes;
  while (sent < plan.tokens.size()) {
    while (call.generated == sent && !call.stopped && !out.client_gone()) co_await next_token(call);
    if (call.stopped) co_return out.abort();
    if (out.client_gone()) co_return;
    // A slow client gets all that has come up meanwhile in one write, still one event a token.
    bytes.clear();
    const base::Time due = call.last_token;
    while (sent < call.generated) {
      bytes += writer.token(plan.tokens[sent], sent + 1);
      ++sent;
    }
    if (sent == plan.tokens.size()) bytes += writer.end(plan.finish, sent);
    if (!co_await out.write(bytes)) co_return;
    one.metrics.lateness_s.observe(seconds(base::monotonic_now() - due));
  }
  co_await out.finish();
}

awaitable<void> PoolService::State::send_whole(LiveCall& call, const OutputPlan& plan,
                                               const ChatWriter& writer, base::Responder& out) {
  while (call.generated < plan.tokens.size() && !call.stopped && !out.client_gone())
    co_await next_token(call);
  if (call.stopped) co_return co_await refuse(out, shutting_down());
  if (out.client_gone()) co_return;
  std::string text;
  for (const auto& token : plan.tokens) text += token;
  co_await out.json(200, writer.whole(text, plan.finish, plan.tokens.size()));
}

awaitable<void> PoolService::State::usage(std::shared_ptr<State> self, base::Request& in,
                                          base::Responder& out) {
  const auto after = number(in.parameter("after").value_or("0"));
  if (!after)
    co_return void(co_await out.error(400, "invalid_value", "after is not a sequence number", "?after=0"));
  const auto records = co_await recorder.after(*after, kUsagePage);
  std::string body = "[";
  for (const auto& record : records) body += (body.size() > 1 ? "," : "") + to_json(record);
  co_await out.json(200, body + "]");
}

awaitable<void> PoolService::State::acknowledge(std::shared_ptr<State> self, base::Request& in,
                                                base::Responder& out) {
  const auto body = nlohmann::json::parse(in.body, nullptr, false);
  const bool good = body.is_object() && body.size() == 1 && body.contains("through") &&
                    body["through"].is_number_unsigned() && body["through"].get<std::uint64_t>() <= INT64_MAX;
  if (!good)
    co_return void(co_await out.error(400, "invalid_value", "no sequence number", R"({"through":12})"));
  const auto forgotten = co_await recorder.acknowledge(body["through"].get<std::uint64_t>());
  co_await out.json(200, fmt::format(R"({{"acknowledged":{}}})", forgotten));
}

std::string PoolService::State::status_json() const {
  nlohmann::ordered_json status;
  status["id"] = config.id;
  status["version"] = base::kVersion;
  status["uptime_s"] = static_cast<std::uint64_t>(seconds(base::monotonic_now() - started));
  status["cards"] = config.card.name;
  status["count"] = config.count;
  status["stopping"] = stopping;
  status["usage_open"] = recorder.open_calls();
  for (const auto& one : served) {
    const auto state = one->runner.engine().state();
    const auto& counters = one->runner.engine().counters();
    status["models"].push_back({{"model", one->model.name},
                                {"running", state.running},
                                {"waiting", state.waiting},
                                {"kv_blocks_used", state.kv_blocks_used},
                                {"kv_blocks_total", state.kv_blocks_total},
                                {"steps", counters.steps},
                                {"generated_tokens", counters.generated_tokens},
                                {"preemptions", counters.preemptions}});
  }
  return status.dump();
}

PoolService::PoolService(asio::io_context& io, const PoolConfig& config)
    : state_(std::make_shared<State>(io, config)) {}
PoolService::~PoolService() {
  stop();
  state_->ended = true;
}

// Handlers are coroutines that outlive a request's lambda; the state is theirs by a shared_ptr parameter.
void PoolService::add_routes(base::HttpServer& server) {
  auto s = state_;
  server.route(
      "POST", "/v1/chat/completions",
      [s](base::Request& in, base::Responder& out) { return s->chat(s, in, out); }, kChatBodyBytes);
  server.route("GET", "/v1/models", [s](base::Request&, base::Responder& out) -> awaitable<void> {
    std::vector<std::string> names;
    for (const auto& one : s->served) names.push_back(one->model.name);
    co_await out.json(200, models_json(names, s->config.provider, s->started_unix_ms / 1000));
  });
  server.route("GET", "/health", [s](base::Request&, base::Responder& out) -> awaitable<void> {
    co_await out.send(s->stopping ? 503 : 200, "text/plain", "");
  });
  server.route("GET", "/metrics", [s](base::Request&, base::Responder& out) -> awaitable<void> {
    co_await out.send(200, "text/plain; version=0.0.4; charset=utf-8", s->metrics.text());
  });
  server.route("GET", "/qanat/v1/descriptor", [s](base::Request&, base::Responder& out) -> awaitable<void> {
    co_await out.json(200, s->descriptor_json());
  });
  server.route("GET", "/qanat/v1/usage",
               [s](base::Request& in, base::Responder& out) { return s->usage(s, in, out); });
  server.route("POST", "/qanat/v1/usage/ack",
               [s](base::Request& in, base::Responder& out) { return s->acknowledge(s, in, out); });
  server.route("GET", "/qanat/v1/usage/key", [s](base::Request&, base::Responder& out) -> awaitable<void> {
    co_await out.json(
        200, fmt::format(R"({{"algorithm":"ed25519","public_key":"{}"}})", s->recorder.public_key()));
  });
}

void PoolService::add_operator_routes(base::HttpServer& server) {
  auto s = state_;
  server.route("GET", "/v1/status", [s](base::Request&, base::Responder& out) -> awaitable<void> {
    co_await out.json(200, s->status_json());
  });
  server.route("GET", "/metrics", [s](base::Request&, base::Responder& out) -> awaitable<void> {
    co_await out.send(200, "text/plain; version=0.0.4; charset=utf-8", s->metrics.text());
  });
}

void PoolService::stop() {
  State& s = *state_;
  s.stopping = true;
  const auto now = base::unix_now_ms();
  for (auto& [id, call] : s.live) {
    call->stopped = true;
    s.recorder.end(call->ticket, "interrupted", now);
    call->wake.cancel();
  }
  s.recorder.stop();
}

}  // namespace qanat::pool
