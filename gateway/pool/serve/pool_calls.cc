// Calls at a pool: chats, completions and embeddings, from their check to their recorded usage.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "gateway/pool/serve/completion_api.hh"
#include "gateway/pool/serve/pool_state.hh"

namespace qanat::pool {
namespace asio = boost::asio;
using asio::awaitable;

namespace {

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

std::string PoolService::State::retry_after(Served& one) const {
  double s = 60;
  if (Station* const station = one.pick()) {
    const base::Time now = base::monotonic_now();
    const auto sample = describe_engine(one.model, station->engine(), now);
    s = sample.prefill.time_us(double(sample.queued_prefill_tokens)) * 1e-6 +
        std::chrono::duration<double>(station->life().ready_in(now).value_or(base::Duration{})).count();
  }
  return fmt::format("{}", std::clamp(static_cast<int>(s) + 1, 1, 600));
}

awaitable<void> PoolService::State::refuse(base::Responder& out, ApiError error) {
  co_await out.send(error.status, "application/json", to_json(error));
}

bool PoolService::State::must_go_elsewhere(Served& one, const base::Request& in) const {
  Station* const station = one.pick();
  if (!station) return config.leased;
  if (station->life().serving()) return false;
  station->wake();
  base::Duration patience = config.cold_wait;
  if (const auto said = to_number(in.headers.value_or("x-qanat-wait-ms", "")))
    patience = std::chrono::milliseconds(std::min<std::uint64_t>(*said, 3'600'000));
  return station->life().ready_in(base::monotonic_now()).value_or(base::Duration::max()) > patience;
}

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

}  // namespace qanat::pool
