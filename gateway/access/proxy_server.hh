// ProxyServer: SOCKS5 (CONNECT and UDP ASSOCIATE) and HTTP CONNECT on one port, told apart by the first byte. A client
// names a service, by DNS name or by C-URL, and gives its tenant's key; it reaches published services and nothing else.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace boost::asio {
class io_context;
}
namespace qanat::base {
class MetricsRegistry;
}

namespace qanat::access {

class Catalogue;
class Dialer;

// The tenant of a key; nullopt: no such key.
using TenantOf = std::function<std::optional<std::string>(std::string_view key)>;

struct ProxyOptions {
  std::vector<std::string> addresses;  // "127.0.0.1:1080"
  bool anonymous = true;               // without a key: open services only; false: refused
};

class ProxyServer {
 public:
  // Binds at once; throws std::system_error that names the address. What it is given outlives it.
  ProxyServer(boost::asio::io_context& io, ProxyOptions options, const Catalogue& catalogue, Dialer& dialer,
              TenantOf tenant_of, base::MetricsRegistry& metrics);
  ~ProxyServer();
  ProxyServer(const ProxyServer&) = delete;
  ProxyServer& operator=(const ProxyServer&) = delete;
  void stop();

  struct State;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace qanat::access
