#include <fmt/format.h>

#include <array>
#include <charconv>
#include <ctime>

#include "base/clock.hh"
#include "base/http_connection.hh"

namespace qanat::base {
namespace asio = boost::asio;
namespace {

// RFC 9110 §6.6.1; one formatting a second.
std::string_view date_text() {
  thread_local UnixSeconds at = 0;
  thread_local char text[40];
  if (const UnixSeconds now = unix_now(); now != at) {
    at = now;
    const auto t = static_cast<std::time_t>(now);
    std::tm tm{};
    gmtime_r(&t, &tm);
    std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
  }
  return text;
}

// A value with a line end in it would start a header of its own.
void append_value(std::string& out, std::string_view value) {
  for (const char c : value) out += c == '\r' || c == '\n' || c == '\0' ? ' ' : c;
}

// RFC 9112 §7.1.
void append_chunk(std::string& out, std::string_view bytes) {
  std::array<char, 16> digits;
  const auto end = std::to_chars(digits.begin(), digits.end(), bytes.size(), 16).ptr;
  out.append(digits.begin(), end).append("\r\n").append(bytes).append("\r\n");
}
constexpr std::size_t kKeptChunk = 64 * 1024;

}  // namespace

struct Responder::State {
  Connection& connection;
  Headers headers;
  bool started = false;
  bool streaming = false;
  bool chunked = false;

  std::string head(int status, std::string_view content_type) {
    started = true;
    std::string out = fmt::format("HTTP/1.1 {} {}\r\ndate: {}\r\n", status, status_text(status), date_text());
    if (!content_type.empty()) {
      out += "content-type: ";
      append_value(out, content_type);
      out += "\r\n";
    }
    for (const auto& [name, value] : headers) {
      append_value(out, name);
      out += ": ";
      append_value(out, value);
      out += "\r\n";
    }
    if (!connection.keep_alive()) out += "connection: close\r\n";
    return out;
  }
};

std::string_view Request::capture(std::string_view name) const {
  for (const auto& [key, value] : captures)
    if (key == name) return value;
  return {};
}

Responder::Responder(Connection& connection) : state_(new State{connection, {}}) {}
Responder::~Responder() = default;

void Responder::set_header(std::string_view name, std::string value) {
  state_->headers.set(name, std::move(value));
}
bool Responder::started() const { return state_->started; }
bool Responder::client_gone() const { return state_->connection.gone(); }
void Responder::on_disconnect(std::function<void()> callback) {
  state_->connection.on_disconnect(std::move(callback));
}

asio::awaitable<bool> Responder::send(int status, std::string_view content_type, std::string body) {
  State& s = *state_;
  if (s.started) co_return false;
  std::string head = s.head(status, content_type);
  if (status != 204 && status != 304) head += fmt::format("content-length: {}\r\n", body.size());
  head += "\r\n";
  if (s.connection.head_request()) body.clear();
  co_return co_await s.connection.write(head, body);
}

asio::awaitable<bool> Responder::json(int status, std::string body) {
  co_return co_await send(status, "application/json", std::move(body));
}

asio::awaitable<bool> Responder::error(int status, std::string_view code, std::string_view message,
                                       std::string_view hint) {
  const bool problem = state_->connection.problem_details();
  const std::string_view type = problem ? "application/problem+json" : "application/json";
  std::string body = problem ? problem_body(status, code, message, hint) : error_body(code, message, hint);
  co_return co_await send(status, type, std::move(body));
}

asio::awaitable<bool> Responder::begin_stream(int status, std::string_view content_type) {
  State& s = *state_;
  if (s.started) co_return false;
  s.chunked = !s.connection.old_client();
  if (!s.chunked) s.connection.drop_keep_alive();
  std::string head = s.head(status, content_type);
  if (s.chunked) head += "transfer-encoding: chunked\r\n";
  head += "\r\n";
  s.streaming = true;
  co_return co_await s.connection.write(head);
}

asio::awaitable<bool> Responder::begin_events(int status) {
  state_->headers.set("cache-control", "no-cache");
  state_->headers.set("x-accel-buffering", "no");
  co_return co_await begin_stream(status, "text/event-stream");
}

asio::awaitable<bool> Responder::write(std::string_view bytes) {
  State& s = *state_;
  if (!s.streaming) co_return false;
  if (bytes.empty() || s.connection.head_request()) co_return !s.connection.gone();
  if (!s.chunked) co_return co_await s.connection.write(bytes);
  std::string chunk;
  chunk.reserve(bytes.size() + 20);
  append_chunk(chunk, bytes);
  co_return co_await s.connection.write(chunk);
}

Responder::Offered Responder::offer(std::string_view bytes) {
  State& s = *state_;
  if (!s.streaming || s.connection.gone()) return Offered::Gone;
  if (bytes.empty() || s.connection.head_request()) return Offered::Taken;
  if (!s.chunked) return s.connection.offer(bytes);
  // Everybody's, so that it is warm: it is gone to the kernel, or copied, when offer() is over.
  thread_local std::string chunk;
  chunk.clear();
  append_chunk(chunk, bytes);
  const Offered offered = s.connection.offer(chunk);
  if (chunk.capacity() > kKeptChunk) chunk = {};
  return offered;
}

asio::awaitable<bool> Responder::drain() { co_return co_await state_->connection.drain(); }

asio::awaitable<bool> Responder::event(std::string_view data, std::string_view name) {
  std::string text;
  if (!name.empty()) text.append("event: ").append(name).append("\n");
  while (true) {
    const std::size_t end = data.find('\n');
    text.append("data: ").append(data.substr(0, end)).append("\n");
    if (end == std::string_view::npos) break;
    data.remove_prefix(end + 1);
  }
  text += "\n";
  co_return co_await write(text);
}

asio::awaitable<bool> Responder::finish() {
  State& s = *state_;
  if (!s.streaming) co_return !s.connection.gone();
  s.streaming = false;
  if (!s.chunked || s.connection.head_request()) co_return !s.connection.gone();
  co_return co_await s.connection.write("0\r\n\r\n");
}

void Responder::abort() {
  state_->streaming = false;
  state_->connection.close();
}

}  // namespace qanat::base
