// Sockets bound to an address written as text, with errors that name it.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <memory>
#include <string>

namespace qanat::access {

// `what` is for the error: "proxy", "DNS". An address that the host does not have yet is warned of, and served once it
// is there (IP_FREEBIND); `free`: it is nobody's business whether the host has it.
std::unique_ptr<boost::asio::ip::tcp::acceptor> listen_tcp(boost::asio::io_context& io,
                                                           const std::string& address,
                                                           const std::string& what, bool free = false);
std::unique_ptr<boost::asio::ip::udp::socket> bind_udp(boost::asio::io_context& io,
                                                       const std::string& address, const std::string& what,
                                                       bool free = false);

}  // namespace qanat::access
