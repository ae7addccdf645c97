#include "base/http_connection.hh"

#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <exception>
#include <utility>

#include "base/clock.hh"
#include "base/log.hh"

namespace qanat::base {
namespace asio = boost::asio;
namespace http = boost::beast::http;
namespace {

// A client that is refused may still be sending: this much is read and thrown away, so that it sees the answer rather
// than a reset (RFC 9112 §9.6).
constexpr std::size_t kLingerBytes = 32 * 1024 * 1024;  // more than any route's body
constexpr Duration kLingerTime = std::chrono::seconds{2};

LogGate g_handler_gate{std::chrono::seconds{1}};

HttpRefusal turned_away(int status, std::string_view code, std::string message,
                        std::string hint = std::string()) {
  return HttpRefusal{status, std::string(code), std::move(message), std::move(hint)};
}

}  // namespace

struct Responder::Connection::Head {
  http::request_parser<http::string_body> parser;
  boost::system::error_code error;  // of parsing
};

Responder::Connection::Connection(std::shared_ptr<Transport> transport, std::shared_ptr<const void> owner,
                                  const HttpRouter& router, const HttpLimits& limits, const HttpHooks& hooks,
                                  std::string peer)
    : transport_(std::move(transport)),
      owner_(std::move(owner)),
      router_(router),
      limits_(limits),
      hooks_(hooks),
      peer_(std::move(peer)) {}

asio::awaitable<void> Responder::Connection::serve() {
  const auto self = shared_from_this();
  transport_->set_read_deadline(monotonic_now() + limits_.header_timeout);
  if (co_await transport_->handshake(true, {})) {
    close();
    co_return;
  }
  if (transport_->ssl() != nullptr) {
    auto identity = peer_identity(transport_->ssl());
    if (identity) identity_ = std::move(*identity);
  }
  while (!gone_ && co_await handle_one()) {
  }
  close();
}

void Responder::Connection::close() {
  transport_->close();
  set_gone();
}

void Responder::Connection::leave() {
  leaving_ = true;
  keep_alive_ = false;
  if (idle_) close();
}

void Responder::Connection::set_gone() {
  if (gone_) return;
  gone_ = true;
  if (auto callback = std::exchange(disconnect_, nullptr)) callback();
}

// Feeds the parser what is there, and reads once if it wants more. False: the connection is over, or parsing failed.
asio::awaitable<bool> Responder::Connection::read_more(Head& head, Duration timeout) {
  if (!input_.empty()) {
    const std::size_t used = head.parser.put(asio::buffer(input_), head.error);
    input_.erase(0, used);
    if (head.error == http::error::need_more) head.error = {};
    if (head.error) co_return false;
    if (used > 0) co_return true;
  }
  transport_->set_read_deadline(monotonic_now() + timeout);
  boost::system::error_code ec;
  const std::string_view bytes = co_await transport_->read(ec);
  input_ += bytes;
  co_return !ec;
}

asio::awaitable<bool> Responder::Connection::handle_one() {
  Head head;
  head.parser.header_limit(static_cast<std::uint32_t>(limits_.header_bytes));
  head.parser.body_limit(boost::none);  // checked below, once the route is known

  Request request;
  request.peer = peer_;
  request.identity = identity_;

  // 2. The head. Its deadline runs from the first byte, however slowly the rest drips in.
  idle_ = input_.empty();
  if (idle_ && !co_await read_more(head, limits_.idle_timeout)) co_return false;
  idle_ = false;
  const Time head_deadline = monotonic_now() + limits_.header_timeout;
  while (!head.parser.is_header_done()) {
    const std::size_t unparsed = input_.size();
    const bool more = co_await read_more(head, head_deadline - monotonic_now());
    if (head.error == http::error::header_limit || unparsed > limits_.header_bytes + Transport::kReadSize) {
      const HttpRefusal refusal = turned_away(431, "headers_too_large", "the request's headers are too large",
                                              fmt::format("at most {} bytes", limits_.header_bytes));
      co_return co_await refuse(request, refusal);
    }
    if (head.error) {
      const HttpRefusal refusal =
          turned_away(400, "malformed_request", "not an HTTP/1.1 request: " + head.error.message());
      co_return co_await refuse(request, refusal);
    }
    if (!more) {
      if (transport_->expired()) {
        refused(408, "too_slow", request);
        set_gone();
      }
      co_return false;
    }
  }
  const auto& message = head.parser.get();
  keep_alive_ = message.keep_alive() && !leaving_;
  old_client_ = message.version() < 11;
  head_request_ = message.method() == http::verb::head;

  // 3. The route, and with it the body's bound.
  request.method = std::string{message.method_string()};
  const std::string_view target{message.target().data(), message.target().size()};
  const std::size_t question = target.find('?');
  const std::string_view raw_path = target.substr(0, question);
  if (question != std::string_view::npos) request.query = target.substr(question + 1);
  const auto path = percent_decode(raw_path, false);
  if (!raw_path.starts_with('/') || !path) {
    const HttpRefusal refusal =
        turned_away(400, "malformed_target", "the request's target is not a path", "it starts with \"/\"");
    co_return co_await refuse(request, refusal);
  }
  request.path = *path;
  HttpRouter::Match match = router_.find(request.method, raw_path);
  const std::size_t limit =
      match.route != nullptr && match.route->body_bytes != 0 ? match.route->body_bytes : limits_.body_bytes;
  const auto length = head.parser.content_length();
  if (length && *length > limit) {
    const HttpRefusal refusal =
        turned_away(413, "body_too_large", fmt::format("the body has {} bytes", *length),
                    fmt::format("at most {} bytes here", limit));
    co_return co_await refuse(request, refusal);
  }
  head.parser.body_limit(limit);
  for (const auto& field : message)
    request.headers.add(std::string{field.name_string()}, std::string{field.value()});
  if (hooks_.admit) {
    const auto refusal = hooks_.admit(request);
    if (refusal) co_return co_await refuse(request, *refusal);
  }

  // 4. The body.
  if (!head.parser.is_done() && equal_ignoring_case(std::string_view{message[http::field::expect].data(),
                                                                     message[http::field::expect].size()},
                                                    "100-continue"))
    if (!co_await write("HTTP/1.1 100 Continue\r\n\r\n")) co_return false;
  const Time body_deadline = monotonic_now() + limits_.body_timeout;
  while (!head.parser.is_done()) {
    const bool more = co_await read_more(head, body_deadline - monotonic_now());
    if (head.error == http::error::body_limit) {
      const HttpRefusal refusal = turned_away(413, "body_too_large", "the body is too large",
                                              fmt::format("at most {} bytes here", limit));
      co_return co_await refuse(request, refusal);
    }
    if (head.error) {
      const HttpRefusal refusal =
          turned_away(400, "malformed_request", "the request's body is malformed: " + head.error.message());
      co_return co_await refuse(request, refusal);
    }
    if (!more) {
      if (transport_->expired()) refused(408, "too_slow", request);
      co_return false;
    }
  }
  transport_->set_read_deadline(Time::max());
  request.body = std::move(head.parser.get().body());
  request.captures = std::move(match.captures);

  // 5. and 6. The handler and the end of its answer.
  if (match.route == nullptr) {
    Responder responder{*this};
    refused(match.allowed.empty() ? 404 : 405, match.allowed.empty() ? "no_such_path" : "method_not_allowed",
            request);
    if (match.allowed.empty()) {
      co_await responder.error(404, "no_such_path", fmt::format("nothing at {}", request.path));
    } else {
      responder.set_header("allow", match.allowed);
      co_await responder.error(405, "method_not_allowed",
                               fmt::format("no {} at {}", request.method, request.path),
                               "allowed: " + match.allowed);
    }
  } else {
    co_await run_handler(*match.route, request);
  }
  co_return keep_alive_ && !gone_;
}

asio::awaitable<void> Responder::Connection::run_handler(const HttpRoute& route, Request& request) {
  Responder responder{*this};
  bool failed = false;
  try {
    co_await route.handler(request, responder);
  } catch (const std::exception& e) {
    failed = true;
    log_gated(g_handler_gate, monotonic_now(), LogLevel::Error, "{} {}: {}", request.method, request.path,
              e.what());
  }
  disconnect_ = nullptr;
  if (gone_) co_return;
  if (!responder.started())
    co_await responder.error(500, "internal_error",
                             failed ? "the request failed here" : "the request was left unanswered",
                             "see the log");
  else if (failed)
    responder.abort();
  else
    co_await responder.finish();
}

// An answer before the request was read to its end; the connection ends with it.
asio::awaitable<bool> Responder::Connection::refuse(const Request& head, const HttpRefusal& refusal) {
  keep_alive_ = false;
  refused(refusal.status, refusal.code, head);
  {
    Responder responder{*this};
    for (const auto& [name, value] : refusal.headers) responder.set_header(name, value);
    co_await responder.error(refusal.status, refusal.code, refusal.message, refusal.hint);
  }
  co_await linger();
  co_return false;
}

void Responder::Connection::refused(int status, std::string_view code, const Request& head) const {
  if (hooks_.refused) hooks_.refused(status, code, head);
}

asio::awaitable<void> Responder::Connection::linger() {
  boost::system::error_code ec;
  if (gone_) co_return;
  transport_->shutdown_send();
  transport_->set_read_deadline(monotonic_now() + kLingerTime);
  for (std::size_t total = 0; total < kLingerBytes && !ec;) {
    const std::string_view bytes = co_await transport_->read(ec);
    total += bytes.size();
  }
}

asio::awaitable<bool> Responder::Connection::write(std::string_view first, std::string_view second) {
  if (gone_) co_return false;
  transport_->set_write_deadline(monotonic_now() + limits_.write_timeout);
  const boost::system::error_code ec = co_await transport_->write_all(first, second);
  transport_->set_write_deadline(Time::max());
  if (ec) close();
  co_return !ec;
}

Responder::Offered Responder::Connection::offer(std::string_view bytes) {
  if (gone_) return Offered::Gone;
  if (backlog_.empty() && !draining_) {
    boost::system::error_code ec;
    bytes.remove_prefix(transport_->write_now(bytes, ec));
    if (ec) {
      close();
      return Offered::Gone;
    }
    if (bytes.empty()) return Offered::Taken;
  }
  backlog_.append(bytes);
  return Offered::Kept;
}

asio::awaitable<bool> Responder::Connection::drain() {
  while (!gone_ && !backlog_.empty()) {
    const std::string bytes = std::exchange(backlog_, {});
    draining_ = true;
    co_await write(bytes);
    draining_ = false;
  }
  co_return !gone_;
}

void Responder::Connection::on_disconnect(std::function<void()> callback) {
  if (gone_) {
    callback();
    return;
  }
  disconnect_ = std::move(callback);
  transport_->on_hangup([weak = weak_from_this()] {
    const auto self = weak.lock();
    if (self && self->disconnect_) self->set_gone();
  });
}

}  // namespace qanat::base
