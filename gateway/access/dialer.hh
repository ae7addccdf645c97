// Dialer: a client's flow to a backend of a service: the client's own one first, the next ones while they refuse.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <optional>
#include <string>

#include "gateway/access/affinity.hh"
#include "gateway/access/service.hh"

namespace qanat::access {

class Dialer {
 public:
  static constexpr base::Duration kConnectWithin = std::chrono::seconds{3};

  explicit Dialer(boost::asio::io_context& io) : io_(io) {}
  // A connected socket; nullopt when no backend takes it. `client`: who the flow belongs to, without its port.
  boost::asio::awaitable<std::optional<boost::asio::ip::tcp::socket>> dial(std::string client,
                                                                           std::vector<std::string> backends);
  // Where this client's datagrams go now.
  std::optional<boost::asio::ip::udp::endpoint> udp_backend(std::string_view client, const Service& service);
  Affinity& affinity() { return affinity_; }

 private:
  boost::asio::io_context& io_;
  Affinity affinity_;
};

}  // namespace qanat::access
