// A SOCKS5 UDP association (RFC 1928 §7): a relay socket that lives as long as the TCP connection that asked for it.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>

#include "gateway/access/catalogue.hh"
#include "gateway/access/dialer.hh"

namespace qanat::access {

// Answers the request on `control` with the relay's address, then carries datagrams until `control` ends. Only the host
// that asked is served; datagrams for what it may not dial, and fragments, are dropped.
boost::asio::awaitable<void> associate_udp(boost::asio::ip::tcp::socket& control, const Catalogue& catalogue,
                                           Dialer& dialer, const Catalogue::Tenant& tenant);

}  // namespace qanat::access
