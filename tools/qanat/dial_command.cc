// dial: a chat with whatever the C-URL finds, streamed to stdout as it arrives; the account of it on stderr.
#include <fmt/format.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "base/clock.hh"
#include "base/hex.hh"
#include "base/sse.hh"
#include "base/trace_exporter.hh"
#include "tools/linkem/netns.hh"
#include "tools/qanat/ask.hh"
#include "tools/qanat/commands.hh"
#include "tools/qanat/quote_command.hh"

namespace qanat::cli {
using nlohmann::json;
using nlohmann::ordered_json;
namespace asio = boost::asio;
namespace {

struct Outcome {
  std::string text;
  json usage;
  base::Headers headers;
  std::string finish_reason;
  base::Duration first_token{};
  base::Duration total{};
};

// One "data:" of the stream.
void take_chunk(const base::SseEvent& event, const Options& options, base::Time started, Outcome& out) {
  if (event.data == "[DONE]") return;
  const json chunk = json::parse(event.data, nullptr, false);
  if (!chunk.is_object()) throw CommandError{kFailed, "the gateway sent a chunk that is not JSON"};
  if (const auto error = chunk.find("error"); error != chunk.end())
    throw CommandError{kFailed,
                       "the call broke off: " +
                           (error->is_object() ? error->value("message", error->dump()) : error->dump())};
  if (const auto usage = chunk.find("usage"); usage != chunk.end() && usage->is_object()) out.usage = *usage;
  const auto choices = chunk.find("choices");
  if (choices == chunk.end() || !choices->is_array() || choices->empty()) return;
  const json& choice = choices->front();
  if (const auto reason = choice.find("finish_reason"); reason != choice.end() && reason->is_string())
    out.finish_reason = *reason;
  const auto delta = choice.find("delta");
  if (delta == choice.end() || !delta->is_object()) return;
  const auto content = delta->find("content");
  if (content == delta->end() || !content->is_string() || content->get_ref<const std::string&>().empty())
    return;
  const std::string& piece = content->get_ref<const std::string&>();
  if (out.text.empty()) out.first_token = base::monotonic_now() - started;
  out.text += piece;
  if (options.json) return;
  std::fwrite(piece.data(), 1, piece.size(), stdout);
  std::fflush(stdout);
}

asio::awaitable<void> converse(base::HttpClient& client, const Place& gateway, base::ClientRequest request,
                               const Options& options, Outcome& out) {
  const base::Time started = base::monotonic_now();
  auto stream = co_await client.open(gateway.origin, std::move(request));
  if (!stream) throw not_reachable(gateway, stream.error());
  out.headers = stream->headers();
  if (stream->status() != 200) {
    const auto body = co_await stream->read_all(1024 * 1024);
    throw refused(gateway, stream->status(), body ? *body : std::string{});
  }
  base::SseParser parser;
  std::vector<base::SseEvent> events;
  while (true) {
    const auto part = co_await stream->read_some();
    if (!part)
      throw CommandError{kFailed, "the stream broke off: " + part.error().message(),
                         "`qanat explain` tells why"};
    if (part->empty()) break;
    events.clear();
    if (!parser.feed(*part, events))
      throw CommandError{kFailed, "the gateway sent an event beyond all bounds"};
    for (const base::SseEvent& event : events) take_chunk(event, options, started, out);
  }
  out.total = base::monotonic_now() - started;
}

// Our own part of the call's trace. A collector that does not take it is a warning: the call is what matters.
void export_span(const std::string& collector, const base::Span& span) {
  base::ClientRequest request;
  request.method = "POST";
  request.target = "/v1/traces";
  request.headers.add("content-type", "application/json");
  request.headers.add("connection", "close");
  request.body = base::otlp_json("qanat", "dial", {span});
  const auto answer = base::fetch_blocking(collector, std::move(request));
  if (!answer || answer->status / 100 != 2)
    fmt::print(stderr, "qanat: the collector at {} did not take the span\n", collector);
  else
    fmt::print(stderr, "trace {}\n", base::to_hex(span.context.trace));
}

double ms(base::Duration d) { return static_cast<double>(d.count()) / 1e6; }

void print_account(const Outcome& out) {
  const auto header = [&](const char* name) { return out.headers.value_or(name, "-"); };
  const auto tokens = [&](const char* key) { return out.usage.is_object() ? out.usage.value(key, 0) : 0; };
  const int completion = tokens("completion_tokens");
  const double pace = completion > 1 ? ms(out.total - out.first_token) / (completion - 1) : 0;
  fmt::print(stderr,
             "\ncall {}   pool {}   path {}   price {}\n"
             "{} tokens in, {} out ({})   first after {:.0f} ms, then {:.1f} ms each\n",
             header("x-qanat-call"), header("x-qanat-pool"), header("x-qanat-path"), header("x-qanat-price"),
             tokens("prompt_tokens"), completion, out.finish_reason, ms(out.first_token), pace);
}

}  // namespace

std::string chat_body(const DialRequest& request) {
  std::string prompt = request.prompt;
  if (prompt == "-") prompt.assign(std::istreambuf_iterator<char>{std::cin}, {});
  ordered_json body{{"model", request.c_url},
                    {"messages", {{{"role", "user"}, {"content", prompt}}}},
                    {"stream", true},
                    {"stream_options", {{"include_usage", true}}}};
  if (request.max_tokens > 0) body["max_tokens"] = request.max_tokens;
  return body.dump(-1, ' ', false, json::error_handler_t::replace);
}

int dial(const Options& options, const DialRequest& request) {
  const Place gateway = find_gateway(options);
  base::ClientRequest http;
  http.method = "POST";
  http.target = "/v1/chat/completions";
  http.body = chat_body(request);
  if (!gateway.key.empty()) http.headers.add("authorization", "Bearer " + gateway.key);
  base::HttpClientOptions client_options;
  client_options.connect_timeout = std::chrono::seconds{3};
  client_options.read_timeout = std::chrono::minutes{5};

  Outcome out;
  std::exception_ptr failure;
  const char* const collector = std::getenv("OTEL_EXPORTER_OTLP_ENDPOINT");
  base::Span span;
  if (collector != nullptr) {
    span.kind = base::Span::Kind::Client;
    span.name = "dial";
    span.context = base::new_trace();
    span.begin_unix_ns = base::unix_now_ns();
    span.attributes = {{"qanat.c_url", request.c_url}};
    http.headers.add("traceparent", to_string(span.context));
  }
  {
    const linkem::NetnsScope inside{gateway.netns};
    asio::io_context io{1};
    base::HttpClient client{io, client_options};
    asio::co_spawn(io, converse(client, gateway, std::move(http), options, out), [&](std::exception_ptr e) {
      failure = e;
      io.stop();
    });
    io.run();
  }
  if (!options.json && !out.text.empty()) fmt::print("\n");
  if (collector != nullptr) {
    span.end_unix_ns = base::unix_now_ns();
    span.failed = failure != nullptr;
    export_span(collector, span);
  }
  if (failure) std::rethrow_exception(failure);
  if (!options.json) {
    print_account(out);
    return 0;
  }
  ordered_json result{{"text", out.text},
                      {"finish_reason", out.finish_reason},
                      {"usage", out.usage},
                      {"ttft_ms", ms(out.first_token)},
                      {"total_ms", ms(out.total)}};
  for (const char* name : {"call", "pool", "path", "price"})
    result[name] = out.headers.value_or(std::string{"x-qanat-"} + name, "");
  fmt::print("{}\n", result.dump(2, ' ', false, json::error_handler_t::replace));
  return 0;
}

}  // namespace qanat::cli
