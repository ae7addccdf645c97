// DnsServer: the name server's sockets. UDP on a thread of its own, in batches (recvmmsg, sendmmsg), so that neither a
// flood of queries nor a long call holds up the other; TCP on the gateway's loop.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <string>
#include <vector>

#include "gateway/access/dns/zone.hh"

namespace boost::asio {
class io_context;
}
namespace qanat::base {
class MetricsRegistry;
}

namespace qanat::access {

class DnsServer {
 public:
  // "127.0.0.1:53", "[::1]:53": particular addresses, so that answers leave from where they were asked.
  // Binds at once; throws std::system_error that names the address.
  DnsServer(boost::asio::io_context& io, const std::vector<std::string>& addresses,
            std::shared_ptr<const dns::Zone> zone, base::MetricsRegistry& metrics);
  ~DnsServer();
  DnsServer(const DnsServer&) = delete;
  DnsServer& operator=(const DnsServer&) = delete;

  void set_zone(std::shared_ptr<const dns::Zone> zone);
  void stop();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace qanat::access
