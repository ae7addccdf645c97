// AccessService: access put together: catalogue, name server, proxy, entries; and the admin routes that publish.
#pragma once

#include <memory>

#include "gateway/access/access_config.hh"

namespace boost::asio {
class io_context;
}
namespace qanat::base {
class HttpServer;
class MetricsRegistry;
}  // namespace qanat::base

namespace qanat::access {

class AccessService {
 public:
  // Binds what the configuration names; throws std::system_error that names the address or file.
  AccessService(boost::asio::io_context& io, const AccessConfig& config, TenantOf tenant_of,
                base::MetricsRegistry& metrics);
  ~AccessService();
  AccessService(const AccessService&) = delete;
  AccessService& operator=(const AccessService&) = delete;

  // GET, PUT and DELETE /v1/services.
  void add_admin_routes(base::HttpServer& server);
  void stop();

  struct State;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace qanat::access
