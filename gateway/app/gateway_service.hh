// GatewayService: qanat-gateway put together. Starts by settling what a former process left in the journal.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/app/gateway_config.hh"

namespace boost::asio {
class io_context;
}
namespace qanat::base {
class HttpServer;
class MetricsRegistry;
}  // namespace qanat::base

namespace qanat::app {

class GatewayService {
 public:
  // Opens ledger and journal, recovers, begins polling pools. Throws std::system_error or meter::StoreError.
  GatewayService(boost::asio::io_context& io, const GatewayConfig& config);
  ~GatewayService();
  GatewayService(const GatewayService&) = delete;
  GatewayService& operator=(const GatewayService&) = delete;

  void add_tenant_routes(base::HttpServer& server);  // TCP, with keys
  void add_admin_routes(base::HttpServer& server);   // the Unix socket
  void add_jobs_routes(base::HttpServer& tenants,
                       base::HttpServer& admin);  // files, transfers, jobs, statements
  // The same as the admin API's, for whom [console] lets in; GET /v1/console says who asks. Throws std::system_error
  // where a token's file cannot be read.
  void add_console_routes(base::HttpServer& server);
  void stop();
  // The tenant of a key that is good now; nullopt: there is none.
  std::optional<std::string> tenant_of(std::string_view key) const;
  base::MetricsRegistry& metrics();
  // Whether a call is at a pool, and the ledger's thread needs nothing of this core meanwhile.
  bool only_awaits_pools() const;

  struct State;

 private:
  void add_usage_routes(base::HttpServer& server);     // OpenAI's organization usage and costs
  void add_statement_routes(base::HttpServer& admin);  // what pools earned
  std::shared_ptr<State> state_;
};

}  // namespace qanat::app
