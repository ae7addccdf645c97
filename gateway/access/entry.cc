#include "gateway/access/entry.hh"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <map>
#include <system_error>

#include "base/clock.hh"
#include "base/log.hh"
#include "gateway/access/listen.hh"
#include "gateway/access/splice.hh"

namespace qanat::access {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using asio::ip::udp;
using ErrorCode = boost::system::error_code;
constexpr auto kUdpIdle = std::chrono::seconds{60};
constexpr std::size_t kMaxDatagram = 65535;

std::string text(const asio::ip::address& address, std::uint16_t port) {
  return (address.is_v6() ? "[" + address.to_string() + "]" : address.to_string()) + ":" +
         std::to_string(port);
}

struct Flow {
  explicit Flow(udp::socket s) : socket(std::move(s)) {}
  udp::socket socket;
  base::Time used{};
  std::string backend;
};

}  // namespace

struct Entry::State : std::enable_shared_from_this<State> {
  State(asio::io_context& io_context, const Service& s, Dialer& d) : io(io_context), service(s), dialer(d) {}

  asio::awaitable<void> accept([[maybe_unused]] std::shared_ptr<State> self, tcp::acceptor& acceptor) {
    while (acceptor.is_open()) {
      ErrorCode ec;
      tcp::socket socket = co_await acceptor.async_accept(asio::redirect_error(asio::use_awaitable, ec));
      if (ec == asio::error::operation_aborted || !acceptor.is_open()) co_return;
      if (!ec) asio::co_spawn(io, carry(self, std::move(socket)), asio::detached);
    }
  }

  asio::awaitable<void> carry([[maybe_unused]] std::shared_ptr<State> self, tcp::socket client) {
    ErrorCode ec;
    const auto peer = client.remote_endpoint(ec);
    if (ec) co_return;
    auto backend = co_await dialer.dial(peer.address().to_string(), service.backends);
    if (!backend) {  // a reset, not an orderly end: nothing was served
      client.set_option(asio::socket_base::linger(true, 0), ec);
      co_return;
    }
    co_await splice(client, *backend, std::string());
  }

  asio::awaitable<void> receive([[maybe_unused]] std::shared_ptr<State> self, udp::socket& front) {
    std::string datagram(kMaxDatagram, '\0');
    while (front.is_open()) {
      ErrorCode ec;
      udp::endpoint from;
      const std::size_t size = co_await front.async_receive_from(
          asio::buffer(datagram), from, asio::redirect_error(asio::use_awaitable, ec));
      if (ec == asio::error::operation_aborted || !front.is_open()) co_return;
      if (ec) continue;
      const auto flow = flow_of(front, from);
      if (flow == nullptr) continue;
      flow->used = base::monotonic_now();
      flow->socket.send(asio::buffer(datagram.data(), size), 0, ec);
    }
  }

  std::shared_ptr<Flow> flow_of(udp::socket& front, const udp::endpoint& from) {
    const auto known = flows.find(from);
    if (known != flows.end() && known->second->socket.is_open()) return known->second;
    if (known == flows.end() && flows.size() >= kMaxFlows) return nullptr;
    const auto where = dialer.udp_backend(from.address().to_string(), service);
    if (!where) return nullptr;
    udp::socket socket(io);
    ErrorCode ec;
    socket.connect(*where, ec);
    if (ec) return nullptr;
    auto flow = std::make_shared<Flow>(std::move(socket));
    flow->backend = text(where->address(), where->port());
    flows[from] = flow;
    asio::co_spawn(io, back(shared_from_this(), front, from, flow), asio::detached);
    return flow;
  }

  asio::awaitable<void> back([[maybe_unused]] std::shared_ptr<State> self, udp::socket& front,
                             udp::endpoint to, std::shared_ptr<Flow> flow) {
    std::string datagram(kMaxDatagram, '\0');
    while (flow->socket.is_open()) {
      ErrorCode ec;
      const std::size_t size = co_await flow->socket.async_receive(
          asio::buffer(datagram), asio::redirect_error(asio::use_awaitable, ec));
      if (ec == asio::error::operation_aborted) break;
      if (ec) {
        dialer.affinity().failed(flow->backend, base::monotonic_now());
        break;
      }
      flow->used = base::monotonic_now();
      if (front.is_open()) front.send_to(asio::buffer(datagram.data(), size), to, 0, ec);
    }
    ErrorCode ignored;
    flow->socket.close(ignored);
  }

  // Idle UDP flows end.
  asio::awaitable<void> sweep([[maybe_unused]] std::shared_ptr<State> self) {
    while (!stopped) {
      timer.expires_after(std::chrono::seconds{5});
      ErrorCode ec;
      co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ec));
      if (ec) co_return;
      const base::Time old = base::monotonic_now() - kUdpIdle;
      for (auto it = flows.begin(); it != flows.end();) {
        ErrorCode ignored;
        const bool over = !it->second->socket.is_open() || it->second->used < old;
        if (over) it->second->socket.close(ignored);
        it = over ? flows.erase(it) : std::next(it);
      }
    }
  }

  void stop() {
    stopped = true;
    ErrorCode ignored;
    for (auto& acceptor : acceptors) acceptor->close(ignored);
    for (auto& front : fronts) front->close(ignored);
    for (auto& [from, flow] : flows) flow->socket.close(ignored);
    timer.cancel();
  }

  asio::io_context& io;
  Service service;
  Dialer& dialer;
  std::vector<std::unique_ptr<tcp::acceptor>> acceptors;
  std::vector<std::unique_ptr<udp::socket>> fronts;
  std::map<udp::endpoint, std::shared_ptr<Flow>> flows;
  asio::steady_timer timer{io};
  bool stopped = false;
};

Entry::Entry(asio::io_context& io, const Service& service, Dialer& dialer)
    : state_(std::make_shared<State>(io, service, dialer)) {
  State& s = *state_;
  const std::string port = ":" + std::to_string(service.port);
  const std::string what = c_url::to_string(service.url);
  std::size_t bound = 0;
  for (const std::string& address :
       {c_url::to_string(service.ipv4) + port, "[" + c_url::to_string(service.ipv6) + "]" + port}) {
    try {
      if (service.protocol == Protocol::Tcp)
        s.acceptors.push_back(listen_tcp(io, address, what, true));
      else
        s.fronts.push_back(bind_udp(io, address, what, true));
      ++bound;
    } catch (const std::system_error& e) {
      if (address.starts_with('[') && bound == 0) throw;
      base::log_warn("{}", e.what());
    }
  }
  for (auto& acceptor : s.acceptors) asio::co_spawn(io, s.accept(state_, *acceptor), asio::detached);
  for (auto& front : s.fronts) asio::co_spawn(io, s.receive(state_, *front), asio::detached);
  if (!s.fronts.empty()) asio::co_spawn(io, s.sweep(state_), asio::detached);
}

Entry::~Entry() { state_->stop(); }

void Entry::update(const Service& service) { state_->service = service; }

}  // namespace qanat::access
