#include "gateway/access/proxy_server.hh"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "base/metrics.hh"
#include "gateway/access/catalogue.hh"
#include "gateway/access/deadline.hh"
#include "gateway/access/dialer.hh"
#include "gateway/access/listen.hh"
#include "gateway/access/proxy_message.hh"
#include "gateway/access/splice.hh"
#include "gateway/access/udp_association.hh"

namespace qanat::access {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using ErrorCode = boost::system::error_code;

constexpr std::size_t kMaxClients = 4096;
constexpr auto kHandshakeWithin = std::chrono::seconds{10};

// A client being understood: what it sent and is not used up yet, and a deadline over it all.
struct Handshake {
  explicit Handshake(tcp::socket& s) : socket(s), deadline(s) { deadline.set(kHandshakeWithin); }
  // Reads until `parse` is done with it; false: malformed, too long, too late or gone.
  template <class Message>
  asio::awaitable<bool> read(Read (*parse)(std::string_view, std::size_t&, Message&), Message& out) {
    for (;;) {
      std::size_t used = 0;
      const Read read = parse(bytes, used, out);
      if (read == Read::Good) bytes.erase(0, used);
      if (read != Read::Need) co_return read == Read::Good;
      if (bytes.size() > kMaxHeadBytes) co_return false;
      char chunk[2048];
      ErrorCode ec;
      const std::size_t size =
          co_await socket.async_read_some(asio::buffer(chunk), asio::redirect_error(asio::use_awaitable, ec));
      if (ec) co_return false;
      bytes.append(chunk, size);
    }
  }
  asio::awaitable<bool> write(std::string text) {
    ErrorCode ec;
    co_await asio::async_write(socket, asio::buffer(text), asio::redirect_error(asio::use_awaitable, ec));
    co_return !ec;
  }

  tcp::socket& socket;
  Deadline deadline;
  std::string bytes;
};

std::string http(std::string_view status, std::string_view headers, std::string_view body) {
  return "HTTP/1.1 " + std::string(status) + "\r\n" + std::string(headers) +
         "content-length: " + std::to_string(body.size()) + "\r\nconnection: close\r\n\r\n" +
         std::string(body);
}

}  // namespace

struct ProxyServer::State {
  State(asio::io_context& io_context, ProxyOptions o, const Catalogue& c, Dialer& d, TenantOf t,
        base::MetricsRegistry& m)
      : io(io_context), options(std::move(o)), catalogue(c), dialer(d), tenant_of(std::move(t)), metrics(m) {}

  void count(const char* how, const char* outcome) {
    metrics
        .counter("qanat_gateway_proxy_requests_total", "What proxy clients asked for, and got",
                 {{"via", how}, {"outcome", outcome}})
        .add();
  }

  asio::awaitable<void> accept([[maybe_unused]] std::shared_ptr<State> self, tcp::acceptor& acceptor) {
    while (acceptor.is_open()) {
      ErrorCode ec;
      tcp::socket socket = co_await acceptor.async_accept(asio::redirect_error(asio::use_awaitable, ec));
      if (ec == asio::error::operation_aborted || !acceptor.is_open()) co_return;
      if (ec || connections >= kMaxClients) continue;
      asio::co_spawn(io, serve(self, std::move(socket)), asio::detached);
    }
  }

  asio::awaitable<void> serve([[maybe_unused]] std::shared_ptr<State> self, tcp::socket socket) {
    ++connections;
    {
      Handshake h(socket);
      char first = 0;
      ErrorCode ec;
      const std::size_t size = co_await socket.async_read_some(asio::buffer(&first, 1),
                                                               asio::redirect_error(asio::use_awaitable, ec));
      if (!ec && size == 1) {
        h.bytes.assign(1, first);
        if (first == 5)
          co_await socks(h);
        else
          co_await connect(h);
      }
    }
    --connections;
  }

  std::string client_of(const tcp::socket& socket) const {
    ErrorCode ec;
    const auto peer = socket.remote_endpoint(ec);
    return ec ? std::string() : peer.address().to_string();
  }

  // Who asks: an unknown key is refused, not taken for nobody.
  bool admit(const std::optional<std::string>& key, Catalogue::Tenant& tenant) const {
    if (!key) return options.anonymous;
    tenant = tenant_of(*key);
    return tenant.has_value();
  }

  const Service* find(const Target& target, Protocol protocol, const Catalogue::Tenant& tenant) const {
    if (target.host.starts_with("c-url:") || target.host.starts_with("C-URL:")) {
      c_url::Flat flat;
      return flat.scan(target.host) ? nullptr : catalogue.find_url(flat, protocol, tenant);
    }
    return catalogue.find_name(target.host, target.port, protocol, tenant);
  }

  asio::awaitable<void> socks(Handshake& h) {
    SocksGreeting greeting;
    const bool understood = co_await h.read(parse_greeting, greeting);
    if (!understood) {
      count("socks5", "malformed");
      co_return;
    }
    Catalogue::Tenant tenant;
    std::optional<std::string> key;
    if (greeting.password) {
      co_await h.write(std::string("\5\2", 2));
      SocksPassword password;
      const bool given = co_await h.read(parse_password, password);
      if (!given) co_return;
      key = std::move(password.password);
      const bool good = admit(key, tenant);
      // Named: g++ 12 destroys a conditional temporary of an awaited expression twice.
      std::string verdict(good ? "\1\0" : "\1\1", 2);
      co_await h.write(std::move(verdict));
      if (!good) {
        count("socks5", "bad_key");
        co_return;
      }
    } else {
      const bool good = greeting.none && admit(key, tenant);
      std::string chosen(good ? "\5\0" : "\5\xff", 2);
      co_await h.write(std::move(chosen));
      if (!good) {
        count("socks5", "no_key");
        co_return;
      }
    }
    SocksRequest request;
    const bool asked = co_await h.read(parse_request, request);
    if (!asked) {
      count("socks5", "malformed");
      co_return;
    }
    const Target nowhere{"0.0.0.0", 0};
    if (request.command == SocksCommand::UdpAssociate) {
      count("socks5", "udp_associate");
      h.deadline.cancel();
      co_await associate_udp(h.socket, catalogue, dialer, tenant);
      co_return;
    }
    if (request.command != SocksCommand::Connect) {
      count("socks5", "not_supported");
      co_await h.write(socks_reply(SocksReply::CommandNotSupported, nowhere));
      co_return;
    }
    const Service* service = find(request.target, Protocol::Tcp, tenant);
    if (service == nullptr) {
      count("socks5", "unknown_service");
      co_await h.write(socks_reply(SocksReply::HostUnreachable, nowhere));
      co_return;
    }
    auto backend = co_await dialer.dial(client_of(h.socket), service->backends);
    if (!backend) {
      count("socks5", "no_backend");
      co_await h.write(socks_reply(SocksReply::ConnectionRefused, nowhere));
      co_return;
    }
    count("socks5", "connected");
    const bool told = co_await h.write(socks_reply(SocksReply::Succeeded, nowhere));
    h.deadline.cancel();
    if (told) co_await splice(h.socket, *backend, std::move(h.bytes));
  }

  asio::awaitable<void> connect(Handshake& h) {
    ConnectRequest request;
    const bool understood = co_await h.read(parse_connect, request);
    if (!understood) {
      count("connect", "malformed");
      co_await h.write(http("400 Bad Request", "", "This is a proxy: CONNECT NAME:PORT or SOCKS5.\n"));
      co_return;
    }
    Catalogue::Tenant tenant;
    if (!admit(request.secret, tenant)) {
      count("connect", request.secret ? "bad_key" : "no_key");
      co_await h.write(http("407 Proxy Authentication Required",
                            "proxy-authenticate: Basic realm=\"qanat\"\r\n",
                            "Give a tenant's key: Proxy-Authorization: Bearer sk-qanat-...\n"));
      co_return;
    }
    std::optional<Target> target;
    if (request.target.starts_with("c-url:") || request.target.starts_with("C-URL:"))
      target = Target{request.target, 0};
    else
      target = split_target(request.target);
    const Service* service = target ? find(*target, Protocol::Tcp, tenant) : nullptr;
    if (service == nullptr) {
      count("connect", "unknown_service");
      co_await h.write(http("404 Not Found", "", "No service of this name and port is published to you.\n"));
      co_return;
    }
    auto backend = co_await dialer.dial(client_of(h.socket), service->backends);
    if (!backend) {
      count("connect", "no_backend");
      co_await h.write(http("502 Bad Gateway", "", "None of the service's backends takes a connection.\n"));
      co_return;
    }
    count("connect", "connected");
    const bool told = co_await h.write("HTTP/1.1 200 Connected\r\n\r\n");
    h.deadline.cancel();
    if (told) co_await splice(h.socket, *backend, std::move(h.bytes));
  }

  asio::io_context& io;
  ProxyOptions options;
  const Catalogue& catalogue;
  Dialer& dialer;
  TenantOf tenant_of;
  base::MetricsRegistry& metrics;
  std::vector<std::unique_ptr<tcp::acceptor>> acceptors;
  std::size_t connections = 0;
};

ProxyServer::ProxyServer(asio::io_context& io, ProxyOptions options, const Catalogue& catalogue,
                         Dialer& dialer, TenantOf tenant_of, base::MetricsRegistry& metrics)
    : state_(
          std::make_shared<State>(io, std::move(options), catalogue, dialer, std::move(tenant_of), metrics)) {
  State& s = *state_;
  for (const std::string& address : s.options.addresses) {
    s.acceptors.push_back(listen_tcp(io, address, "proxy"));
    asio::co_spawn(io, s.accept(state_, *s.acceptors.back()), asio::detached);
  }
}

ProxyServer::~ProxyServer() { stop(); }

void ProxyServer::stop() {
  ErrorCode ignored;
  for (auto& acceptor : state_->acceptors) acceptor->close(ignored);
}

}  // namespace qanat::access
