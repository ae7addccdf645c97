#include "gateway/access/listen.hh"

#include <netinet/in.h>
#include <sys/socket.h>

#include <boost/asio/ip/v6_only.hpp>
#include <system_error>

#include "base/log.hh"
#include "gateway/access/proxy_message.hh"

namespace qanat::access {
namespace {

namespace asio = boost::asio;

template <class Endpoint, class Socket>
void bind_to(Socket& socket, const std::string& address, const std::string& what, bool free) {
  const auto target = split_target(address);
  if (!target) throw std::system_error(EINVAL, std::system_category(), what + " at " + address);
  try {
    const Endpoint where(asio::ip::make_address(target->host), target->port);
    socket.open(where.protocol());
    if (where.address().is_v6()) socket.set_option(asio::ip::v6_only(true));
    if constexpr (std::is_same_v<Endpoint, asio::ip::tcp::endpoint>)
      socket.set_option(asio::socket_base::reuse_address(true));
    const int on = 1;
    boost::system::error_code ec;
    if (!free) socket.bind(where, ec);
    const bool absent = ec == boost::system::errc::address_not_available;
    if (ec && !absent) throw boost::system::system_error(ec);
    if (!free && !absent) return;
    ::setsockopt(socket.native_handle(), IPPROTO_IP, IP_FREEBIND, &on, sizeof on);
    socket.bind(where);
    if (absent)
      base::log_warn("{} at {}: this host has no such address yet; it is served once it has", what, address);
  } catch (const boost::system::system_error& e) {
    throw std::system_error(e.code().value(), std::system_category(), what + " at " + address);
  }
}

}  // namespace

std::unique_ptr<asio::ip::tcp::acceptor> listen_tcp(asio::io_context& io, const std::string& address,
                                                    const std::string& what, bool free) {
  auto acceptor = std::make_unique<asio::ip::tcp::acceptor>(io);
  bind_to<asio::ip::tcp::endpoint>(*acceptor, address, what, free);
  acceptor->listen();
  return acceptor;
}

std::unique_ptr<asio::ip::udp::socket> bind_udp(asio::io_context& io, const std::string& address,
                                                const std::string& what, bool free) {
  auto socket = std::make_unique<asio::ip::udp::socket>(io);
  bind_to<asio::ip::udp::endpoint>(*socket, address, what, free);
  return socket;
}

}  // namespace qanat::access
