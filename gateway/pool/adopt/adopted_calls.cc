// Calls to an adopted server: checked, carried, counted, recorded.
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

#include "base/sse.hh"
#include "gateway/pool/adopt/adopted_state.hh"
#include "gateway/pool/serve/chat_api.hh"

namespace qanat::pool {
using boost::asio::awaitable;

namespace {

constexpr std::size_t kAnswerBytes = 64 << 20;

ApiError error_of(int status, std::string message, std::string code) {
  return {status, std::move(message), std::move(code), "",
          status < 500 ? "invalid_request_error" : "server_error"};
}

std::string expected(Dialect dialect) {
  switch (dialect) {
    case Dialect::Chat: return "A chat request with 'model' and 'messages' is expected.";
    case Dialect::Completion:
      return "A completion with 'model' and 'prompt' is expected: a text, token ids, or a list of either.";
    case Dialect::Embeddings:
      return "A request for embeddings with 'model' and 'input' is expected: a text, token ids, or a list of "
             "either.";
  }
  return {};
}

}  // namespace

awaitable<void> AdoptedPool::State::refuse(base::Responder& out, ApiError error) {
  co_await out.send(error.status, "application/json", to_json(error));
}

awaitable<void> AdoptedPool::State::call(std::shared_ptr<State> self, Dialect dialect, base::Request& in,
                                         base::Responder& out) {
  out.set_header("x-qanat-pool", config.id);
  if (config.adopt.level == AdoptLevel::Observed)
    co_return co_await refuse(
        out, error_of(403, "This server is only observed: call it itself.", "observed_only"));
  auto request = parse_request(dialect, in.body);
  if (!request) co_return co_await refuse(out, error_of(400, expected(dialect), "invalid_json"));
  const ForeignModel* model = find(request->model);
  if (!model)
    co_return co_await refuse(
        out, error_of(404, "The adopted server does not list '" + request->model + "'.", "model_not_found"));
  std::string name(in.headers.value_or("x-qanat-call", ""));
  if (name.empty() || name.size() > ProgressJournal::kMaxCall)
    name = fmt::format("call-{:x}-{:x}", started_unix_ms, next_call++);
  const bool full = under_way >= config.adopt.max_streams;
  auto ticket =
      stopping || drained_by_operator || full || !up
          ? std::nullopt
          : recorder.begin(name, lower_case(model->name), request->prompt_tokens, base::unix_now_ms());
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
  suit(*request, *model, context_of(*model));
  auto cancel = std::make_shared<std::function<void()>>();
  out.on_disconnect([cancel] {
    if (*cancel) (*cancel)();
  });
  const base::Time sent = base::monotonic_now();
  auto upstream = upstream_request(*request);
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
  const bool generates = request.dialect != Dialect::Embeddings;
  const auto count = [&] {
    if (generates && reader.completion_tokens() == 0) return;
    if (generates && first == base::Time{}) {
      first = base::monotonic_now();
      pace.on_first(reader.prompt_tokens(), first - sent);
    }
    ticket.call.prompt_tokens = reader.prompt_tokens();
    recorder.progress(
        ticket, static_cast<std::uint32_t>(std::min<std::uint64_t>(reader.completion_tokens(), UINT32_MAX)));
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
    std::string answer = body ? reader.on_whole(*body) : std::string();
    if (body && !reader.failed()) {
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
    co_return co_await refuse(
        out, error_of(502, broken ? "The adopted server broke off." : "The adopted server's answer is none.",
                      "server_failed"));
  }
  if (request.stream && !reader.done()) {
    if (!reader.failed())
      co_await out.write(ChatWriter::broken(error_of(502, "The adopted server broke off.", "server_failed")));
    co_return out.abort();
  }
  if (request.stream) co_await out.finish();
}

}  // namespace qanat::pool
