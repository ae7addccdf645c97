#include "base/http_server.hh"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/socket_base.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <charconv>
#include <system_error>
#include <unordered_set>

#include "base/clock.hh"
#include "base/http_connection.hh"
#include "base/http_router.hh"
#include "base/log.hh"
#include "base/service_manager.hh"
#include "base/trace_exporter.hh"

namespace qanat::base {
namespace asio = boost::asio;
namespace {

using Connection = Responder::Connection;
using TcpAcceptor = asio::ip::tcp::acceptor;
using UnixAcceptor = asio::local::stream_protocol::acceptor;

[[noreturn]] void fail(const boost::system::error_code& ec, const std::string& attempt) {
  throw std::system_error{ec.value(), std::system_category(), attempt};
}

std::string peer_name(const asio::ip::tcp::socket& socket) {
  boost::system::error_code ec;
  const auto endpoint = socket.remote_endpoint(ec);
  if (ec) return "unknown";
  const std::string host = endpoint.address().to_string();
  return endpoint.address().is_v6() ? fmt::format("[{}]:{}", host, endpoint.port())
                                    : fmt::format("{}:{}", host, endpoint.port());
}

std::string peer_name(const asio::local::stream_protocol::socket&) { return "unix"; }

// Under which the service manager keeps the listening socket: its names have no colon.
std::string descriptor_name(std::string address) {
  std::replace(address.begin(), address.end(), ':', '_');
  return "listen_" + address;
}

// Whether somebody listens on this path.
bool answers(const std::string& path) {
  asio::io_context io;
  asio::local::stream_protocol::socket probe{io};
  boost::system::error_code ec;
  probe.connect(asio::local::stream_protocol::endpoint{path}, ec);
  return !ec;
}

// A handler's run as a span: the request's traceparent becomes the span's own, for whom it asks in turn.
asio::awaitable<void> traced(TraceExporter& exporter, const std::string& name,
                             const HttpServer::Handler& handler, TraceContext parent, Request& request,
                             Responder& responder) {
  Span span;
  span.name = name;
  span.context = child_of(parent);
  span.parent = parent.span;
  span.begin_unix_ns = unix_now_ns();
  request.headers.set("traceparent", to_string(span.context));
  std::exception_ptr failure;
  try {
    co_await handler(request, responder);
  } catch (...) {
    failure = std::current_exception();
  }
  span.end_unix_ns = unix_now_ns();
  span.failed = failure != nullptr || responder.client_gone();
  span.attributes = std::move(request.remarks);
  exporter.record(std::move(span));
  if (failure) std::rethrow_exception(failure);
}

}  // namespace

struct HttpServer::State : std::enable_shared_from_this<HttpServer::State> {
  State(asio::io_context& context, HttpLimits l) : io(context), limits(l) {}

  asio::io_context& io;
  HttpLimits limits;
  HttpHooks hooks;
  HttpRouter router;
  TraceExporter* tracer = nullptr;
  std::vector<std::shared_ptr<TcpAcceptor>> tcp;
  std::vector<std::shared_ptr<UnixAcceptor>> unix_sockets;
  std::vector<std::string> paths;
  std::unordered_set<Connection*> connections;
  std::uint16_t port = 0;
  LogGate gate{std::chrono::seconds{5}};

  asio::awaitable<void> serve(std::shared_ptr<Connection> connection) {
    const auto self = shared_from_this();
    struct Entry {
      State& state;
      Connection* connection;
      ~Entry() { state.connections.erase(connection); }
    } entry{*this, connection.get()};
    connections.insert(connection.get());
    co_await connection->serve();
  }

  template <class Acceptor>
  asio::awaitable<void> accept_loop(std::shared_ptr<Acceptor> acceptor, TlsContext tls) {
    const auto self = shared_from_this();
    while (acceptor->is_open()) {
      boost::system::error_code ec;
      auto socket = co_await acceptor->async_accept(asio::redirect_error(asio::use_awaitable, ec));
      if (ec == asio::error::operation_aborted || !acceptor->is_open()) co_return;
      if (ec) {  // out of descriptors, most likely: others will be closed
        log_gated(gate, monotonic_now(), LogLevel::Warn, "accept: {}", ec.message());
        asio::steady_timer pause{io, std::chrono::milliseconds{50}};
        co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, ec));
        continue;
      }
      if (connections.size() >= limits.connections) {
        log_gated(gate, monotonic_now(), LogLevel::Warn, "{} connections: closing new ones",
                  connections.size());
        continue;
      }
      std::string peer = peer_name(socket);
      if constexpr (std::is_same_v<Acceptor, TcpAcceptor>)
        socket.set_option(asio::ip::tcp::no_delay{true}, ec);
      Transport::Socket stream{std::move(socket)};
      auto connection = std::make_shared<Connection>(
          tls ? Transport::tls(std::move(stream), tls) : Transport::plain(std::move(stream)), self, router,
          limits, hooks, std::move(peer));
      asio::co_spawn(io, serve(std::move(connection)), asio::detached);
    }
  }

  void serve_tcp(std::shared_ptr<TcpAcceptor> acceptor, TlsContext tls) {
    port = acceptor->local_endpoint().port();
    tcp.push_back(acceptor);
    asio::co_spawn(io, accept_loop(std::move(acceptor), std::move(tls)), asio::detached);
  }

  void stop_listening() {
    boost::system::error_code ignored;
    for (const auto& acceptor : tcp) acceptor->close(ignored);
    for (const auto& acceptor : unix_sockets) acceptor->close(ignored);
    for (const std::string& path : paths) ::unlink(path.c_str());
    tcp.clear();
    unix_sockets.clear();
    paths.clear();
  }

  void drain() {
    stop_listening();
    const std::vector<Connection*> open{connections.begin(), connections.end()};
    for (Connection* connection : open) connection->leave();
  }

  void stop() {
    stop_listening();
    const std::vector<Connection*> open{connections.begin(), connections.end()};
    for (Connection* connection : open) connection->close();
  }
};

HttpServer::HttpServer(asio::io_context& io, HttpLimits limits)
    : state_(std::make_shared<State>(io, limits)) {
  route("GET", "/healthz", [](Request&, Responder& responder) -> asio::awaitable<void> {
    co_await responder.send(200, "text/plain", "ok\n");
  });
}

HttpServer::~HttpServer() { stop(); }

void HttpServer::route(std::string_view method, std::string_view pattern, Handler handler,
                       std::size_t body_bytes) {
  if (state_->tracer != nullptr)
    handler = [exporter = state_->tracer, name = fmt::format("{} {}", method, pattern),
               inner = std::move(handler)](Request& request, Responder& responder) {
      const std::string* header = request.headers.find("traceparent");
      const auto parent = header != nullptr ? parse_traceparent(*header) : std::nullopt;
      if (!parent || !parent->sampled) return inner(request, responder);
      return traced(*exporter, name, inner, *parent, request, responder);
    };
  state_->router.add(method, pattern, std::move(handler), body_bytes);
}

void HttpServer::listen_tcp(const std::string& address, TlsContext tls) {
  const std::string attempt = "listen on " + address;
  boost::system::error_code ec;
  const auto parts = split_address(address);
  if (!parts) fail(asio::error::invalid_argument, attempt);
  const auto ip = asio::ip::make_address(parts->first, ec);
  if (ec) fail(ec, attempt);
  const asio::ip::tcp::endpoint endpoint{ip, parts->second};
  auto acceptor = std::make_shared<TcpAcceptor>(state_->io);
  const std::string kept_name = descriptor_name(address);
  const int kept = take_kept_descriptor(kept_name);
  if (kept >= 0) {
    acceptor->assign(endpoint.protocol(), kept, ec);
    if (ec) fail(ec, attempt);
    state_->serve_tcp(acceptor, std::move(tls));
    return;
  }
  acceptor->open(endpoint.protocol(), ec);
  if (ec) fail(ec, attempt);
  acceptor->set_option(asio::socket_base::reuse_address{true}, ec);
  if (ip.is_v6()) acceptor->set_option(asio::ip::v6_only{true}, ec);
  acceptor->bind(endpoint, ec);
  if (ec == boost::system::errc::address_not_available) {
    const int on = 1;
    ::setsockopt(acceptor->native_handle(), IPPROTO_IP, IP_FREEBIND, &on, sizeof on);
    acceptor->bind(endpoint, ec);
    if (!ec) log_warn("{}: this host has no such address yet; it is served once it has", attempt);
  }
  if (!ec) acceptor->listen(asio::socket_base::max_listen_connections, ec);
  if (ec) fail(ec, attempt);
  keep_descriptor(acceptor->native_handle(), kept_name);
  state_->serve_tcp(acceptor, std::move(tls));
}

void HttpServer::listen_unix(const std::string& path, unsigned mode) {
  const std::string attempt = "listen on " + path;
  boost::system::error_code ec;
  if (path.size() >= sizeof(sockaddr_un::sun_path)) fail(asio::error::name_too_long, attempt);
  struct ::stat info {};
  if (::lstat(path.c_str(), &info) == 0) {
    if (!S_ISSOCK(info.st_mode) || answers(path)) fail(asio::error::address_in_use, attempt);
    ::unlink(path.c_str());
  }
  auto acceptor = std::make_shared<UnixAcceptor>(state_->io);
  acceptor->open(asio::local::stream_protocol{}, ec);
  if (ec) fail(ec, attempt);
  const mode_t before = ::umask(static_cast<mode_t>(~mode & 0777));  // never more open than asked for
  acceptor->bind(asio::local::stream_protocol::endpoint{path}, ec);
  ::umask(before);
  if (!ec) acceptor->listen(asio::socket_base::max_listen_connections, ec);
  if (ec) fail(ec, attempt);
  state_->unix_sockets.push_back(acceptor);
  state_->paths.push_back(path);
  asio::co_spawn(state_->io, state_->accept_loop(acceptor, TlsContext{}), asio::detached);
}

std::uint16_t HttpServer::port() const { return state_->port; }
std::size_t HttpServer::connections() const { return state_->connections.size(); }
void HttpServer::trace(TraceExporter* exporter) { state_->tracer = exporter; }
void HttpServer::hooks(HttpHooks hooks) { state_->hooks = std::move(hooks); }
void HttpServer::drain() { state_->drain(); }
void HttpServer::stop() { state_->stop(); }

std::optional<std::pair<std::string, std::uint16_t>> split_address(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const std::string_view digits = text.substr(colon + 1);
  if (host.starts_with('[') && host.ends_with(']'))
    host = host.substr(1, host.size() - 2);
  else if (host.find(':') != std::string_view::npos)
    return std::nullopt;
  std::uint16_t port = 0;
  const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (host.empty() || ec != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  return std::pair{std::string{host}, port};
}

}  // namespace qanat::base
