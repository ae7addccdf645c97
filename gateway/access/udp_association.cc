#include "gateway/access/udp_association.hh"

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <map>
#include <memory>

#include "base/clock.hh"
#include "gateway/access/proxy_message.hh"

namespace qanat::access {
namespace {

namespace asio = boost::asio;
using asio::ip::udp;
using ErrorCode = boost::system::error_code;
constexpr std::size_t kMaxPeers = 64;  // services at once in one association
constexpr std::size_t kMaxWrapped = 65535;

// One service that this association talks to, by a socket of its own, so that answers are told apart.
struct Peer {
  explicit Peer(udp::socket s) : socket(std::move(s)) {}
  udp::socket socket;
  std::string header;   // before what it answers: the place as the client wrote it
  std::string backend;  // "10.0.0.7:53"
};

struct Association : std::enable_shared_from_this<Association> {
  explicit Association(udp::socket s) : relay(std::move(s)) {}

  void close() {
    ErrorCode ignored;
    relay.close(ignored);
    for (auto& [place, peer] : peers) peer->socket.close(ignored);
  }

  asio::awaitable<void> back([[maybe_unused]] std::shared_ptr<Association> self, std::shared_ptr<Peer> peer,
                             Dialer& dialer) {
    std::string datagram(kMaxWrapped, '\0');
    while (relay.is_open() && peer->socket.is_open()) {
      ErrorCode ec;
      const std::size_t size = co_await peer->socket.async_receive(
          asio::buffer(datagram), asio::redirect_error(asio::use_awaitable, ec));
      if (ec == asio::error::operation_aborted) break;
      if (ec) {  // nobody listens there: the next datagram tries another backend
        if (relay.is_open()) dialer.affinity().failed(peer->backend, base::monotonic_now());
        break;
      }
      const std::string wrapped = peer->header + datagram.substr(0, size);
      relay.send_to(asio::buffer(wrapped), client, 0, ec);
    }
    ErrorCode ignored;
    peer->socket.close(ignored);
  }

  asio::awaitable<void> forth([[maybe_unused]] std::shared_ptr<Association> self, const Catalogue& catalogue,
                              Dialer& dialer, Catalogue::Tenant tenant, asio::ip::address host) {
    std::string datagram(kMaxWrapped, '\0');
    while (relay.is_open()) {
      ErrorCode ec;
      udp::endpoint from;
      const std::size_t size = co_await relay.async_receive_from(
          asio::buffer(datagram), from, asio::redirect_error(asio::use_awaitable, ec));
      if (ec == asio::error::operation_aborted || !relay.is_open()) co_return;
      if (ec || from.address() != host || (client.port() != 0 && from != client)) continue;
      Target target;
      std::size_t used = 0;
      if (parse_datagram(std::string_view(datagram).substr(0, size), used, target) != Read::Good) continue;
      client = from;
      const Service* service = catalogue.find_name(target.host, target.port, Protocol::Udp, tenant);
      if (service == nullptr) continue;
      auto& peer = peers[target.host + ":" + std::to_string(target.port)];
      if (peer == nullptr || !peer->socket.is_open()) {
        const auto where = dialer.udp_backend(host.to_string(), *service);
        if (!where || peers.size() > kMaxPeers) continue;
        udp::socket socket(relay.get_executor());
        socket.connect(*where, ec);
        if (ec) continue;
        peer = std::make_shared<Peer>(std::move(socket));
        peer->header.assign(3, '\0');
        append_target(peer->header, target);
        peer->backend = where->address().is_v6() ? "[" + where->address().to_string() + "]"
                                                 : where->address().to_string();
        peer->backend += ":" + std::to_string(where->port());
        asio::co_spawn(relay.get_executor(), back(shared_from_this(), peer, dialer), asio::detached);
      }
      peer->socket.send(asio::buffer(datagram.data() + used, size - used), 0, ec);
    }
  }

  udp::socket relay;
  udp::endpoint client;
  std::map<std::string, std::shared_ptr<Peer>, std::less<>> peers;
};

}  // namespace

asio::awaitable<void> associate_udp(asio::ip::tcp::socket& control, const Catalogue& catalogue,
                                    Dialer& dialer, const Catalogue::Tenant& tenant) {
  ErrorCode ec;
  const auto local = control.local_endpoint(ec);
  const auto remote = control.remote_endpoint(ec);
  udp::socket socket(control.get_executor());
  if (!ec) socket.open(local.address().is_v6() ? udp::v6() : udp::v4(), ec);
  if (!ec) socket.bind(udp::endpoint(local.address(), 0), ec);
  const Target bound{ec ? "0.0.0.0" : local.address().to_string(),
                     ec ? std::uint16_t{0} : socket.local_endpoint().port()};
  const std::string reply = socks_reply(ec ? SocksReply::GeneralFailure : SocksReply::Succeeded, bound);
  const bool failed = static_cast<bool>(ec);
  co_await asio::async_write(control, asio::buffer(reply), asio::redirect_error(asio::use_awaitable, ec));
  if (failed || ec) co_return;
  const auto association = std::make_shared<Association>(std::move(socket));
  asio::co_spawn(control.get_executor(),
                 association->forth(association, catalogue, dialer, tenant, remote.address()),
                 asio::detached);
  // The control connection says nothing more; its end ends the association.
  std::array<char, 256> ignored_bytes;
  while (!ec)
    co_await control.async_read_some(asio::buffer(ignored_bytes),
                                     asio::redirect_error(asio::use_awaitable, ec));
  association->close();
}

}  // namespace qanat::access
