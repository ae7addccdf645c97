// HttpClient: HTTP/1.1 over TCP, TLS and Unix sockets, with coroutines, keep-alive and bodies read as they
// arrive. One client carries one set of socket options: make one per (tenant, tier) where DSCP or the source
// address matters; a live connection's DSCP is never changed. Everything runs on the io_context's one thread.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/http_message.hh"
#include "base/result.hh"
#include "base/time.hh"
#include "base/tls.hh"

namespace boost::asio {
class io_context;
}

namespace qanat::base {

struct HttpClientOptions {
  Duration connect_timeout = std::chrono::seconds{5};  // name lookup, connect, TLS handshake together
  Duration read_timeout = std::chrono::seconds{60};    // silence, not the whole answer
  std::size_t header_bytes = 64 * 1024;
  std::size_t body_bytes = 16 * 1024 * 1024;  // of fetch(); streams are bounded by their reader
  std::size_t idle_per_origin = 64;           // keep-alive connections
  Duration idle_timeout = std::chrono::seconds{60};
  std::optional<std::uint8_t> dscp{};  // 0 … 63: IP_TOS / IPV6_TCLASS
  std::string local_address{};         // empty: the kernel's choice
  TlsContext tls{};                    // for https:// origins
  std::string tls_name{};  // name in the server's certificate to insist on; empty: the chain decides
};

struct ClientRequest {
  std::string method = "GET";
  std::string target = "/";  // path and query
  Headers headers{};  // host, content-length are added; content-type when there is a body and none is given
  std::string body{};
};

// A whole answer.
struct ClientResponse {
  int status = 0;
  Headers headers;
  std::string body;
};

// An answer whose head has arrived and whose body is being read. Dropping it early closes the connection;
// read to its end, the connection goes back to the pool.
class HttpStream {
 public:
  struct State;
  explicit HttpStream(std::shared_ptr<State> state);
  HttpStream(HttpStream&&) noexcept;
  HttpStream& operator=(HttpStream&&) noexcept;
  ~HttpStream();

  int status() const;
  const Headers& headers() const;
  // The next bytes, as soon as any are there; empty at the end. The view is valid until the next call.
  // Errors: Timeout, Closed (truncated), Cancelled, BadResponse, or the system's.
  boost::asio::awaitable<Result<std::string_view>> read_some();
  // Hands on the bytes as they come, without a coroutine's turn for each piece: `take`, which outlives this, looks at
  // them, keeps none, and says whether it wants more. Once it does not, this may be called again. Errors as read_some's.
  enum class Stopped : std::uint8_t { AtEnd, ByTaker };
  boost::asio::awaitable<Result<Stopped>> each(const std::function<bool(std::string_view)>& take);
  // The rest, at most `limit` bytes (TooLarge beyond).
  boost::asio::awaitable<Result<std::string>> read_all(std::size_t limit);
  // From here on silence this long is a Timeout, whatever the client's read_timeout says.
  void set_read_timeout(Duration silence);
  // A function that ends a read in progress with Cancelled and closes the connection; may be called after the
  // stream is gone. On the io_context's thread only.
  std::function<void()> canceller() const;

 private:
  std::shared_ptr<State> state_;
};

class HttpClient {
 public:
  explicit HttpClient(boost::asio::io_context& io, HttpClientOptions options = {});
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // origin: "http://10.0.0.1:9000", "https://host:443", "unix:/run/qanat/city.sock". An idle connection that
  // turns out to be closed is replaced; where the request is idempotent, also after it was sent. Errors:
  // BadUrl, Timeout, Closed, BadResponse, UntrustedPeer, or the system's (connection_refused …). `cancel`,
  // when given, is filled before anything is sent: calling it ends the request with Cancelled.
  boost::asio::awaitable<Result<HttpStream>> open(std::string origin, ClientRequest request,
                                                  std::function<void()>* cancel = nullptr);
  boost::asio::awaitable<Result<ClientResponse>> fetch(std::string origin, ClientRequest request);
  // Connections kept open, not in use.
  std::size_t idle() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

// For programs without a loop of their own (the CLI, tests): one request, blocking.
Result<ClientResponse> fetch_blocking(const std::string& origin, ClientRequest request,
                                      HttpClientOptions options = {});

}  // namespace qanat::base
