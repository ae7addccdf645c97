// AdoptedPool: a real OpenAI-compatible server that is not ours, as a pool: probed, measured, described, and called through
// this address with the same signed usage records as a simulated one.
//
//   level         in resolve          calls through here      placed by gateways
//   observed      yes, filtered       refused                 no
//   managed       yes, filtered       yes, drained at will    no
//   schedulable   yes                 yes                     yes
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

class AdoptedPool {
 public:
  AdoptedPool(boost::asio::io_context& io, const PoolConfig& config);
  ~AdoptedPool();
  AdoptedPool(const AdoptedPool&) = delete;
  AdoptedPool& operator=(const AdoptedPool&) = delete;

  void add_routes(base::HttpServer& server);
  void add_operator_routes(base::HttpServer& server);
  void begin_drain();
  bool drained() const;
  void stop();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace qanat::pool
