// PoolService: the pool's HTTP interface (seams.md §4) over its engines, metrics and usage records.
#pragma once

#include <memory>

#include "gateway/pool/serve/pool_config.hh"

namespace boost::asio {
class io_context;
}
namespace qanat::base {
class HttpServer;
}

namespace qanat::pool {

class PoolService {
 public:
  // Opens the usage files (system_error, meter::SqliteError) and starts the engines, idle.
  PoolService(boost::asio::io_context& io, const PoolConfig& config);
  ~PoolService();
  PoolService(const PoolService&) = delete;
  PoolService& operator=(const PoolService&) = delete;

  // The routes for callers and gateways; for the operator's Unix socket.
  void add_routes(base::HttpServer& server);
  void add_operator_routes(base::HttpServer& server);

  // Takes no more calls; drained() once those under way have ended.
  void begin_drain();
  bool drained() const;
  // Takes no more calls, breaks off those under way, records their usage.
  void stop();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace qanat::pool
