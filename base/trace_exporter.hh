// TraceExporter: sends a daemon's spans to an OpenTelemetry collector, as OTLP/HTTP with JSON (POST /v1/traces).
// Only requests whose traceparent says "sampled" make spans, so that a thousand calls a second cost nothing unless asked.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/trace_context.hh"

namespace boost::asio {
class io_context;
}

namespace qanat::base {

struct Span {
  enum class Kind : std::uint8_t {
    Internal = 1,
    Server = 2,
    Client = 3
  } kind = Kind::Server;  // OTLP's numbers
  std::string name;
  TraceContext context;                                 // its own
  std::optional<std::array<std::uint8_t, 8>> parent{};  // none: the trace begins here
  std::uint64_t begin_unix_ns = 0, end_unix_ns = 0;
  std::vector<std::pair<std::string, std::string>> attributes{};
  bool failed = false;
};

// A new span in the parent's trace, or in a new, sampled one.
TraceContext child_of(const TraceContext& parent);
TraceContext new_trace();
std::uint64_t unix_now_ns() noexcept;
// The body of a POST /v1/traces.
std::string otlp_json(std::string_view service, std::string_view instance, const std::vector<Span>& spans);

// On the io_context's one thread. What a collector does not take within 2 s is lost, and counted; a call never waits.
class TraceExporter {
 public:
  static constexpr std::size_t kMostKept = 4096;  // spans beyond are lost, and counted
  // origin: "http://127.0.0.1:4318". instance: the daemon's own name for service.instance.id.
  TraceExporter(boost::asio::io_context& io, std::string origin, std::string service, std::string instance);
  ~TraceExporter();
  TraceExporter(const TraceExporter&) = delete;
  TraceExporter& operator=(const TraceExporter&) = delete;

  void record(Span span);
  // Sends what is there; later spans are lost.
  void stop();
  std::uint64_t sent() const;
  std::uint64_t lost() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace qanat::base
