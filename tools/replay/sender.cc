#include "tools/replay/sender.hh"

#include <fmt/format.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <nlohmann/json.hpp>

#include "base/clock.hh"
#include "base/http_client.hh"
#include "gateway/pool/tokenizer.hh"
#include "tools/replay/chat_stream.hh"

namespace qanat::replay {
namespace asio = boost::asio;
using asio::awaitable;

struct Sender::State {
  State(asio::io_context& context, SenderOptions o, Tally& t)
      : io(context),
        options(std::move(o)),
        tally(t),
        client(context, client_options(options)),
        next(context),
        idle(context) {}

  static base::HttpClientOptions client_options(const SenderOptions& options) {
    base::HttpClientOptions result;
    result.read_timeout = options.silence;
    result.idle_per_origin = 1024;
    return result;
  }

  base::ClientRequest request(std::string method, std::string target, std::string body) const {
    base::ClientRequest out{std::move(method), std::move(target), {}, std::move(body)};
    if (!options.key.empty()) out.headers.add("authorization", "Bearer " + options.key);
    if (!out.body.empty()) out.headers.add("content-type", "application/json");
    return out;
  }

  awaitable<void> one(std::size_t index, TraceRow row, base::Time intended);
  awaitable<Outcome> follow(std::size_t index, TraceRow row, base::Time intended,
                            std::function<void()>& cancel);

  asio::io_context& io;
  SenderOptions options;
  Tally& tally;
  base::HttpClient client;
  asio::steady_timer next, idle;  // the next arrival; all requests over
  std::map<std::size_t, std::function<void()>> running;
  bool stopping = false;
};

std::string request_body(const std::string& model, const TraceRow& row, std::uint64_t seed) {
  constexpr std::uint32_t kOverhead = pool::kTokensPerMessage + pool::kTokensPerReply;
  const std::uint32_t words = row.prompt_tokens > kOverhead ? row.prompt_tokens - kOverhead : 1;
  nlohmann::ordered_json body;
  body["model"] = model;
  body["messages"] = {{{"role", "user"}, {"content", pool::words(seed, words)}}};
  body["stream"] = true;
  body["stream_options"] = {{"include_usage", true}, {"continuous_usage_stats", true}};
  body["max_tokens"] = row.output_tokens;
  body["x_qanat_sim_output_tokens"] = row.output_tokens;
  return body.dump();
}

// Follows one request to its end. Whatever goes wrong becomes the outcome's failure.
awaitable<Outcome> Sender::State::follow(std::size_t index, TraceRow row, base::Time intended,
                                         std::function<void()>& cancel) {
  Outcome outcome;
  auto message =
      request("POST", "/v1/chat/completions", request_body(options.model, row, options.seed + index));
  auto opened = co_await client.open(options.gateway, std::move(message), &cancel);
  if (!opened) {
    outcome.failure = opened.error().message();
    co_return outcome;
  }
  base::HttpStream& stream = *opened;
  outcome.pool = stream.headers().value_or("x-qanat-pool", "");
  outcome.local = options.local_pools.contains(outcome.pool);
  if (stream.status() != 200) {
    const auto body = co_await stream.read_all(64 * 1024);
    outcome.failure = fmt::format("HTTP {}: {}", stream.status(), body ? error_text(*body) : "no body");
    co_return outcome;
  }
  ChatStream chat;
  base::Time first{}, last{};
  while (true) {
    const auto bytes = co_await stream.read_some();
    if (!bytes) {
      outcome.failure = bytes.error().message();
      break;
    }
    if (bytes->empty()) break;
    const std::uint64_t fresh = chat.feed(*bytes);
    for (std::uint64_t i = 0; i < fresh; ++i) tally.token();
    if (fresh == 0) continue;
    last = base::monotonic_now();
    if (first == base::Time{}) first = last;
  }
  if (outcome.failure.empty()) outcome.failure = chat.failure(true);
  outcome.tokens = chat.tokens();
  outcome.prompt_tokens = chat.prompt_tokens().value_or(0);
  outcome.ttft = first - intended;
  if (outcome.tokens > 1) outcome.tpot = (last - first) / static_cast<std::int64_t>(outcome.tokens - 1);
  outcome.total = last - intended;
  co_return outcome;
}

awaitable<void> Sender::State::one(std::size_t index, TraceRow row, base::Time intended) {
  tally.started();
  tally.sent_late(base::monotonic_now() - intended);
  Outcome outcome = co_await follow(index, row, intended, running[index]);
  tally.finished(std::move(outcome));
  running.erase(index);
  if (running.empty()) idle.cancel();
}

Sender::Sender(asio::io_context& io, SenderOptions options, Tally& tally)
    : state_(std::make_shared<State>(io, std::move(options), tally)) {}
Sender::~Sender() = default;

awaitable<bool> Sender::learn_local_pools() {
  State& s = *state_;
  auto question = s.request("GET", "/qanat/v1/resolve?c_url=" + base::percent_encode(s.options.model), "");
  const auto answer = co_await s.client.fetch(s.options.gateway, std::move(question));
  if (!answer) co_return false;
  const auto body = nlohmann::json::parse(answer->body, nullptr, false);
  if (!s.options.local_pools.empty()) co_return true;
  if (answer->status != 200 || !body.is_object() || !body.contains("candidates")) co_return true;
  for (const auto& candidate : body["candidates"]) {
    if (!candidate.is_object() || !candidate.value("local", false)) continue;
    for (const char* name : {"pool", "instance"})
      if (candidate.contains(name) && candidate[name].is_string())
        s.options.local_pools.insert(candidate[name].get<std::string>());
  }
  co_return true;
}

awaitable<void> Sender::send_all(std::vector<TraceRow> requests) {
  const auto state = state_;
  const base::Time start = base::monotonic_now();
  boost::system::error_code woken;
  for (std::size_t i = 0; i < requests.size() && !state->stopping; ++i) {
    const base::Time intended = start + requests[i].at;
    state->next.expires_at(std::chrono::steady_clock::time_point(intended.time_since_epoch()));
    co_await state->next.async_wait(asio::redirect_error(asio::use_awaitable, woken));
    if (state->stopping) break;
    state->running[i] = nullptr;
    asio::co_spawn(state->io, state->one(i, requests[i], intended), asio::detached);
  }
  while (!state->running.empty()) {
    state->idle.expires_at(asio::steady_timer::time_point::max());
    co_await state->idle.async_wait(asio::redirect_error(asio::use_awaitable, woken));
  }
}

void Sender::stop() {
  state_->stopping = true;
  state_->next.cancel();
  auto running = state_->running;  // cancelling may end a request and take it out
  for (auto& [index, cancel] : running)
    if (cancel) cancel();
}

}  // namespace qanat::replay
