// HttpServer: HTTP/1.1 over TCP, TLS and Unix sockets, with coroutine handlers. Beast stays in the .cc.
// Every connection lives on the io_context it was accepted on, which one thread runs: handlers need no locks.
// To use more cores, run one server per io_context on the same address with `reuse_port`.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/http_message.hh"
#include "base/time.hh"
#include "base/tls.hh"

namespace boost::asio {
class io_context;
}

namespace qanat::base {

class TraceExporter;

struct Request {
  std::string method;  // "GET"
  std::string path;    // percent-decoded, without the query
  std::string query;   // raw, without "?"
  Headers headers;
  std::string body;
  std::string peer;                      // "127.0.0.1:4711", "[::1]:4711", or "unix"
  std::optional<PeerIdentity> identity;  // of a verified client certificate
  std::vector<std::pair<std::string, std::string>> captures;
  // What a handler has to say of a request that is traced: attributes of its span.
  std::vector<std::pair<std::string, std::string>> remarks;

  // The part of the path that `{name}` of the route matched.
  std::string_view capture(std::string_view name) const;
  std::optional<std::string> parameter(std::string_view name) const { return query_parameter(query, name); }
};

// The answer to one request. Exactly one of send/json/error/begin_stream is called, once. Writes complete
// when the kernel's socket has accepted every byte (that is what "delivered" means to the meter). After the
// client has gone, writes return false and nothing throws.
class Responder {
 public:
  class Connection;  // private to http_server.cc
  explicit Responder(Connection& connection);
  ~Responder();
  Responder(const Responder&) = delete;
  Responder& operator=(const Responder&) = delete;

  // Extra headers, before the answer starts.
  void set_header(std::string_view name, std::string value);

  boost::asio::awaitable<bool> send(int status, std::string_view content_type, std::string body);
  boost::asio::awaitable<bool> json(int status, std::string body);
  boost::asio::awaitable<bool> error(int status, std::string_view code, std::string_view message,
                                     std::string_view hint = {});

  // Streaming, chunked transfer coding; each write is one chunk, sent at once.
  boost::asio::awaitable<bool> begin_stream(int status, std::string_view content_type);
  boost::asio::awaitable<bool> begin_events(int status = 200);  // text/event-stream, no caching
  boost::asio::awaitable<bool> write(std::string_view bytes);
  // One chunk of a stream without a coroutine's turn, for a server whose many streams fall due at one instant. The kernel
  // has taken it (Taken), or it is kept, in order, until drain() sends it. Not beside a write() under way.
  enum class Offered : std::uint8_t { Taken, Kept, Gone };
  Offered offer(std::string_view bytes);
  // Ends when everything kept is with the kernel; false when the client has gone. offer() may go on meanwhile.
  boost::asio::awaitable<bool> drain();
  // "data: …\n\n", with "event: …" when named; data may have several lines.
  boost::asio::awaitable<bool> event(std::string_view data, std::string_view name = {});
  boost::asio::awaitable<bool>
  finish();  // else done after the handler returns; a handler that throws breaks it off

  bool started() const;
  bool client_gone() const;
  // Called at most once, on the io_context's thread, if the client goes away while the handler runs. The
  // callback is dropped when the handler returns.
  void on_disconnect(std::function<void()> callback);
  // Ends the connection without finishing a stream, so that the client sees an incomplete answer.
  void abort();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

struct HttpLimits {
  std::size_t header_bytes = 16 * 1024;                // 431 beyond
  std::size_t body_bytes = 1024 * 1024;                // 413 beyond; a route may have its own
  std::size_t connections = 20'000;                    // beyond, new ones are closed at once
  Duration header_timeout = std::chrono::seconds{10};  // from the first byte to the end of the headers
  Duration body_timeout = std::chrono::seconds{60};
  Duration idle_timeout = std::chrono::seconds{75};   // between requests
  Duration write_timeout = std::chrono::seconds{60};  // one write that the client does not take
};

// An answer given instead of a handler's.
struct HttpRefusal {
  int status = 403;
  std::string code;
  std::string message;
  std::string hint;
  Headers headers{};
};

// What a server has to say to requests before handlers see them. Set before listening; `head` has no body yet.
struct HttpHooks {
  // Asked when the head is there, before a byte of the body is read; the connection ends with a refusal.
  std::function<std::optional<HttpRefusal>(const Request& head)> admit{};
  // Told of each request that no handler gets: refused, malformed, too large, unknown, or too slow (408, which is not
  // answered: the connection ends).
  std::function<void(int status, std::string_view code, const Request& head)> refused{};
  bool problem_details = false;  // errors are RFC 9457's, beside the member "error" of seams.md
};

class HttpServer {
 public:
  using Handler = std::function<boost::asio::awaitable<void>(Request&, Responder&)>;

  explicit HttpServer(boost::asio::io_context& io, HttpLimits limits = {});
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // pattern: "/v1/nodes/{name}"; a capture is one path segment; "{rest...}" at the end takes all that is
  // left. An exact segment wins over a capture. `GET /healthz` is there already. body_bytes 0: the server's
  // limit.
  void route(std::string_view method, std::string_view pattern, Handler handler, std::size_t body_bytes = 0);

  // Requests whose traceparent says "sampled" make a span each, and handlers find that span in their traceparent. Before
  // route(); null: none do. Not owned.
  void trace(TraceExporter* exporter);

  // Before listening.
  void hooks(HttpHooks hooks);

  // Bind and listen; both throw std::system_error that names the address. "127.0.0.1:8080", "[::1]:0". An address that
  // the host does not have yet, such as an overlay's while its box restarts, is warned of, and served once it is there. A TCP socket is kept by the service manager: who
  // connects while one process follows another waits, and is not refused.
  void listen_tcp(const std::string& address, TlsContext tls = nullptr);
  // A stale socket file (nobody listens on it) is replaced; the file is removed by stop().
  void listen_unix(const std::string& path, unsigned mode = 0600);
  // The port of the last listen_tcp, for port 0.
  std::uint16_t port() const;
  std::size_t connections() const;

  // Before the end: accepts no more, closes idle connections, and each other one after the answer under way. Drained
  // when connections() is 0.
  void drain();
  // Closes listeners and connections. The destructor does it too.
  void stop();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

// Splits "127.0.0.1:8080", "[::1]:8080" into host and port; nullopt otherwise. Names are allowed as hosts.
std::optional<std::pair<std::string, std::uint16_t>> split_address(std::string_view text);

}  // namespace qanat::base
