#include "base/http_client.hh"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <unordered_map>

#include "base/clock.hh"
#include "base/errc.hh"
#include "base/http_server.hh"
#include "base/http_stream.hh"
#include "base/transport.hh"

namespace qanat::base {
namespace asio = boost::asio;
using ErrorCode = boost::system::error_code;
namespace {

constexpr std::size_t kMaxOrigins = 1024;  // that one client remembers

struct Origin {
  std::string scheme;  // "http", "https", "unix"
  std::string host;    // or the socket's path
  std::uint16_t port = 0;
  std::string authority;  // the Host header
};

std::optional<Origin> parse_origin(std::string_view text) {
  if (text.starts_with("unix:")) return Origin{"unix", std::string{text.substr(5)}, 0, "localhost"};
  Origin origin{"http", {}, 80, {}};
  if (text.starts_with("https://")) {
    origin.scheme = "https";
    origin.port = 443;
    text.remove_prefix(8);
  } else if (text.starts_with("http://")) {
    text.remove_prefix(7);
  } else {
    return std::nullopt;
  }
  if (text.ends_with('/')) text.remove_suffix(1);
  if (text.empty() || text.find('/') != std::string_view::npos) return std::nullopt;
  origin.authority = text;
  if (const auto parts = split_address(text)) {
    origin.host = parts->first;
    origin.port = parts->second;
  } else if (text.starts_with('[') && text.ends_with(']')) {
    origin.host = text.substr(1, text.size() - 2);
  } else if (text.find(':') == std::string_view::npos) {
    origin.host = text;
  } else {
    return std::nullopt;
  }
  return origin;
}

std::string serialize_head(const Origin& origin, const ClientRequest& request) {
  std::string out;
  out.reserve(512);
  const auto clean = [&out](std::string_view text) -> std::string& {
    const std::size_t begin = out.size();
    out += text;
    for (std::size_t i = begin; i < out.size(); ++i)
      if (out[i] == '\r' || out[i] == '\n' || out[i] == '\0') out[i] = ' ';
    return out;
  };
  clean(request.method) += ' ';
  clean(request.target) += " HTTP/1.1\r\n";
  if (request.headers.find("host") == nullptr) {
    out += "host: ";
    clean(origin.authority) += "\r\n";
  }
  for (const auto& [name, value] : request.headers) {
    clean(name) += ": ";
    clean(value) += "\r\n";
  }
  if (!request.body.empty() && request.headers.find("content-type") == nullptr)
    out += "content-type: application/json\r\n";
  if (!request.body.empty() || request.method == "POST" || request.method == "PUT")
    fmt::format_to(std::back_inserter(out), "content-length: {}\r\n", request.body.size());
  return out += "\r\n";
}

bool idempotent(std::string_view method) {
  return method == "GET" || method == "HEAD" || method == "PUT" || method == "DELETE";
}

}  // namespace

struct HttpClient::State {
  State(asio::io_context& context, HttpClientOptions o) : io(context), options(std::move(o)) {}

  asio::io_context& io;
  HttpClientOptions options;
  std::shared_ptr<IdleConnections> pool = std::make_shared<IdleConnections>();
  std::unordered_map<std::string, std::shared_ptr<const Origin>> origins;

  // Each is parsed once; null: it is none.
  std::shared_ptr<const Origin> origin(const std::string& text) {
    if (const auto known = origins.find(text); known != origins.end()) return known->second;
    auto parsed = parse_origin(text);
    if (!parsed) return nullptr;
    if (origins.size() >= kMaxOrigins) origins.clear();
    return origins.emplace(text, std::make_shared<const Origin>(std::move(*parsed))).first->second;
  }

  std::shared_ptr<Transport> take_idle(const std::string& origin) {
    const auto it = pool->idle.find(origin);
    if (it == pool->idle.end()) return nullptr;
    const Time oldest = monotonic_now() - options.idle_timeout;
    std::shared_ptr<Transport> found;
    while (!it->second.empty() && !found) {
      IdleConnections::Idle idle = std::move(it->second.back());
      it->second.pop_back();
      if (idle.since < oldest || idle.transport->peer_gone())
        idle.transport->close();
      else
        found = std::move(idle.transport);
    }
    if (it->second.empty()) pool->idle.erase(it);
    return found;
  }

  ErrorCode prepare(asio::ip::tcp::socket& socket, const asio::ip::tcp::endpoint& remote) const {
    ErrorCode ec;
    socket.open(remote.protocol(), ec);
    if (ec) return ec;
    socket.set_option(asio::ip::tcp::no_delay{true}, ec);
    if (options.dscp) {
      const int tos = *options.dscp << 2;
      const bool v6 = remote.address().is_v6();
      if (::setsockopt(socket.native_handle(), v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_TCLASS : IP_TOS,
                       &tos, sizeof tos) != 0)
        return {errno, boost::system::system_category()};
    }
    if (!options.local_address.empty()) {
      const auto local = asio::ip::make_address(options.local_address, ec);
      if (!ec) {
        // The port is chosen at connect, so that many connections can share the address.
        const int on = 1;
        ::setsockopt(socket.native_handle(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
        socket.bind({local, 0}, ec);
      }
    }
    return ec;
  }

  asio::awaitable<Result<Transport::Socket>> connect_tcp(const Origin& origin,
                                                         std::shared_ptr<CancelState> cancel, Time deadline) {
    // One object for the steps, so that the deadline and a cancellation reach whichever is under way.
    struct Attempt {
      explicit Attempt(asio::io_context& io) : resolver(io), socket(io), timer(io) {}
      asio::ip::tcp::resolver resolver;
      asio::ip::tcp::socket socket;
      asio::steady_timer timer;
      bool expired = false;
      void abort() {
        ErrorCode ignored;
        resolver.cancel();
        socket.close(ignored);
      }
    };
    auto attempt = std::make_shared<Attempt>(io);
    cancel->abort_connect = [attempt] { attempt->abort(); };
    attempt->timer.expires_at(std::chrono::steady_clock::time_point{deadline.time_since_epoch()});
    attempt->timer.async_wait([attempt](const ErrorCode& ec) {
      if (ec) return;
      attempt->expired = true;
      attempt->abort();
    });
    ErrorCode ec;
    std::vector<asio::ip::tcp::endpoint> endpoints;
    if (const auto literal = asio::ip::make_address(origin.host, ec); !ec) {
      endpoints.emplace_back(literal, origin.port);
    } else {
      const auto found = co_await attempt->resolver.async_resolve(
          origin.host, std::to_string(origin.port), asio::redirect_error(asio::use_awaitable, ec));
      for (const auto& entry : found) endpoints.push_back(entry.endpoint());
      if (!ec && endpoints.empty()) ec = asio::error::host_not_found;
    }
    for (const auto& endpoint : endpoints) {
      if (attempt->expired || cancel->cancelled) break;
      attempt->socket = asio::ip::tcp::socket{io};
      ec = prepare(attempt->socket, endpoint);
      if (ec) continue;
      co_await attempt->socket.async_connect(endpoint, asio::redirect_error(asio::use_awaitable, ec));
      if (!ec) break;
    }
    attempt->timer.cancel();
    cancel->abort_connect = nullptr;
    if (cancel->cancelled) co_return make_error_code(Errc::Cancelled);
    if (attempt->expired) co_return make_error_code(Errc::Timeout);
    if (ec) co_return ec;
    co_return Transport::Socket{std::move(attempt->socket)};
  }

  asio::awaitable<Result<std::shared_ptr<Transport>>> connect(const Origin& origin,
                                                              std::shared_ptr<CancelState> cancel) {
    const Time deadline = monotonic_now() + options.connect_timeout;
    if (origin.scheme == "unix") {
      if (origin.host.size() >= 108) co_return make_error_code(Errc::BadUrl);
      asio::local::stream_protocol::socket socket{io};
      ErrorCode ec;
      socket.connect(asio::local::stream_protocol::endpoint{origin.host},
                     ec);  // never waits: a full backlog is EAGAIN
      if (ec) co_return ec;
      co_return Transport::plain(Transport::Socket{std::move(socket)});
    }
    auto socket = co_await connect_tcp(origin, cancel, deadline);
    if (!socket) co_return socket.error();
    if (origin.scheme == "http") co_return Transport::plain(std::move(*socket));
    if (!options.tls) co_return make_error_code(Errc::UntrustedPeer);  // no CA, no trust
    auto transport = Transport::tls(std::move(*socket), options.tls);
    cancel->transport = transport;
    transport->set_read_deadline(deadline);
    const ErrorCode ec = co_await transport->handshake(false, options.tls_name);
    transport->set_read_deadline(Time::max());
    if (!ec) co_return transport;
    const bool expired = transport->expired();
    transport->close();
    if (cancel->cancelled) co_return make_error_code(Errc::Cancelled);
    if (expired) co_return make_error_code(Errc::Timeout);
    const bool verify = ec.category() == asio::error::get_ssl_category();
    co_return verify ? make_error_code(Errc::UntrustedPeer) : ec;
  }

  // One try on one connection. `answered`: whether any byte of an answer came.
  asio::awaitable<Result<std::shared_ptr<HttpStream::State>>> exchange(
      std::shared_ptr<Transport> transport, const std::string& key, std::string_view head,
      std::string_view body, bool head_request, std::shared_ptr<CancelState> cancel) {
    auto stream = std::make_shared<HttpStream::State>();
    stream->transport = transport;
    stream->cancel = cancel;
    stream->pool = pool;
    stream->origin = key;
    stream->read_timeout = options.read_timeout;
    stream->header_bytes = options.header_bytes;
    stream->idle_per_origin = options.idle_per_origin;
    if (head_request) stream->parser.skip(true);
    cancel->transport = transport;
    if (cancel->cancelled) co_return make_error_code(Errc::Cancelled);
    transport->set_write_deadline(monotonic_now() + options.read_timeout);
    const ErrorCode written = co_await transport->write_all(head, body);
    transport->set_write_deadline(Time::max());
    // A server that refuses early answers and closes while we still write: read its answer all the same.
    const ErrorCode ec =
        cancel->cancelled || transport->closed() ? stream->why(written) : co_await stream->read_head();
    if (ec) {
      transport->close();
      co_return ec;
    }
    co_return stream;
  }
};

HttpClient::HttpClient(asio::io_context& io, HttpClientOptions options)
    : state_(std::make_shared<State>(io, std::move(options))) {}

HttpClient::~HttpClient() {
  state_->pool->closed = true;
  for (auto& [origin, idle] : state_->pool->idle)
    for (auto& each : idle) each.transport->close();
}

asio::awaitable<Result<HttpStream>> HttpClient::open(std::string origin, ClientRequest request,
                                                     std::function<void()>* cancel) {
  const std::shared_ptr<State> s = state_;
  const auto parsed = s->origin(origin);
  if (!parsed) co_return make_error_code(Errc::BadUrl);
  auto cancel_state = std::make_shared<CancelState>();
  if (cancel != nullptr) *cancel = [cancel_state] { cancel_state->cancel(); };
  const std::string head = serialize_head(*parsed, request);
  const bool head_request = request.method == "HEAD";
  if (auto idle = s->take_idle(origin)) {
    auto stream =
        co_await s->exchange(std::move(idle), origin, head, request.body, head_request, cancel_state);
    if (stream) co_return HttpStream{std::move(*stream)};
    // The server closed it just as we wrote: it saw nothing, or the method bears repeating.
    if (stream.error() != Errc::Closed || !idempotent(request.method)) co_return stream.error();
  }
  auto transport = co_await s->connect(*parsed, cancel_state);
  if (!transport) co_return transport.error();
  auto stream =
      co_await s->exchange(std::move(*transport), origin, head, request.body, head_request, cancel_state);
  if (!stream) co_return stream.error();
  co_return HttpStream{std::move(*stream)};
}

asio::awaitable<Result<ClientResponse>> HttpClient::fetch(std::string origin, ClientRequest request) {
  auto stream = co_await open(std::move(origin), std::move(request));
  if (!stream) co_return stream.error();
  auto body = co_await stream->read_all(state_->options.body_bytes);
  if (!body) co_return body.error();
  co_return ClientResponse{stream->status(), stream->headers(), std::move(*body)};
}

std::size_t HttpClient::idle() const {
  std::size_t n = 0;
  for (const auto& [origin, idle] : state_->pool->idle) n += idle.size();
  return n;
}

Result<ClientResponse> fetch_blocking(const std::string& origin, ClientRequest request,
                                      HttpClientOptions options) {
  asio::io_context io{1};
  HttpClient client{io, std::move(options)};
  std::optional<Result<ClientResponse>> result;
  std::exception_ptr failure;
  asio::co_spawn(io, client.fetch(origin, std::move(request)),
                 [&](std::exception_ptr e, Result<ClientResponse> r) {
                   failure = e;
                   result = std::move(r);
                   io.stop();  // timers of the idle connection are not worth waiting for
                 });
  io.run();
  if (failure) std::rethrow_exception(failure);
  return std::move(*result);
}

}  // namespace qanat::base
