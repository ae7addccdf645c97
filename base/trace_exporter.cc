#include "base/trace_exporter.hh"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/clock.hh"
#include "base/hex.hh"
#include "base/http_client.hh"
#include "base/log.hh"

namespace qanat::base {
namespace asio = boost::asio;
using nlohmann::json;
namespace {

constexpr auto kGather = std::chrono::milliseconds{250};
constexpr auto kPatience = std::chrono::seconds{2};

json attribute(std::string_view key, std::string_view value) {
  return {{"key", key}, {"value", {{"stringValue", value}}}};
}

HttpClientOptions patient() {
  HttpClientOptions options;
  options.connect_timeout = kPatience;
  options.read_timeout = kPatience;
  return options;
}

}  // namespace

TraceContext child_of(const TraceContext& parent) {
  TraceContext out = parent;
  const auto id = random_bytes(out.span.size());
  std::copy(id.begin(), id.end(), out.span.begin());
  return out;
}

TraceContext new_trace() {
  TraceContext out;
  const auto id = random_bytes(out.trace.size());
  std::copy(id.begin(), id.end(), out.trace.begin());
  out.sampled = true;
  return child_of(out);
}

std::uint64_t unix_now_ns() noexcept {
  return static_cast<std::uint64_t>(std::chrono::system_clock::now().time_since_epoch() /
                                    std::chrono::nanoseconds{1});
}

std::string otlp_json(std::string_view service, std::string_view instance, const std::vector<Span>& spans) {
  json list = json::array();
  for (const Span& span : spans) {
    json attributes = json::array();
    for (const auto& [key, value] : span.attributes) attributes.push_back(attribute(key, value));
    json one{{"traceId", to_hex(span.context.trace)},
             {"spanId", to_hex(span.context.span)},
             {"name", span.name},
             {"kind", static_cast<int>(span.kind)},
             {"startTimeUnixNano", std::to_string(span.begin_unix_ns)},
             {"endTimeUnixNano", std::to_string(span.end_unix_ns)},
             {"attributes", std::move(attributes)},
             {"status", {{"code", span.failed ? 2 : 1}}}};
    if (span.parent) one["parentSpanId"] = to_hex(*span.parent);
    list.push_back(std::move(one));
  }
  json resource{{"attributes", json::array({attribute("service.name", service),
                                            attribute("service.instance.id", instance)})}};
  json scope{{"scope", {{"name", "qanat"}}}, {"spans", std::move(list)}};
  json all{{"resource", std::move(resource)}, {"scopeSpans", json::array({std::move(scope)})}};
  return json{{"resourceSpans", json::array({std::move(all)})}}.dump(-1, ' ', false,
                                                                     json::error_handler_t::replace);
}

struct TraceExporter::State : std::enable_shared_from_this<TraceExporter::State> {
  State(asio::io_context& context, std::string to, std::string name, std::string who)
      : io(context),
        origin(std::move(to)),
        service(std::move(name)),
        instance(std::move(who)),
        client(context, patient()) {}

  asio::io_context& io;
  std::string origin, service, instance;
  HttpClient client;
  std::vector<Span> kept;
  std::uint64_t sent = 0, lost = 0;
  bool sending = false, stopped = false;
  LogGate gate{std::chrono::seconds{30}};

  void wake() {
    if (sending) return;
    sending = true;
    asio::co_spawn(io, send(shared_from_this()), asio::detached);
  }

  static asio::awaitable<void> send(std::shared_ptr<State> self) {
    while (!self->kept.empty()) {
      if (!self->stopped) {
        asio::steady_timer pause{self->io, kGather};
        boost::system::error_code ignored;
        co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
      }
      const std::vector<Span> spans = std::exchange(self->kept, {});
      ClientRequest request;
      request.method = "POST";
      request.target = "/v1/traces";
      request.headers.add("content-type", "application/json");
      request.body = otlp_json(self->service, self->instance, spans);
      const auto answer = co_await self->client.fetch(self->origin, std::move(request));
      const bool taken = answer && answer->status / 100 == 2;
      (taken ? self->sent : self->lost) += spans.size();
      if (!taken)
        log_gated(self->gate, monotonic_now(), LogLevel::Warn,
                  "the collector at {} did not take {} spans: {}", self->origin, spans.size(),
                  answer ? "status " + std::to_string(answer->status) : answer.error().message());
    }
    self->sending = false;
  }
};

TraceExporter::TraceExporter(asio::io_context& io, std::string origin, std::string service,
                             std::string instance)
    : state_(std::make_shared<State>(io, std::move(origin), std::move(service), std::move(instance))) {}

TraceExporter::~TraceExporter() { stop(); }

void TraceExporter::record(Span span) {
  State& s = *state_;
  if (s.stopped || s.kept.size() >= kMostKept) {
    ++s.lost;
    return;
  }
  s.kept.push_back(std::move(span));
  s.wake();
}

void TraceExporter::stop() { state_->stopped = true; }
std::uint64_t TraceExporter::sent() const { return state_->sent; }
std::uint64_t TraceExporter::lost() const { return state_->lost; }

}  // namespace qanat::base
