// qanat-pool: configuration → engines, or an adopted server → HTTP for callers, gateways and the operator.
#include "base/daemon.hh"
#include "base/http_server.hh"
#include "base/log.hh"
#include "gateway/pool/adopt/adopted_pool.hh"
#include "gateway/pool/serve/pool_config.hh"
#include "gateway/pool/serve/pool_service.hh"

namespace {

template <class Service>
void serve(qanat::base::Daemon& daemon, const qanat::pool::PoolConfig& config) {
  using namespace qanat;
  auto& service = daemon.make<Service>(daemon.io(), config);
  auto& server = daemon.make<base::HttpServer>(daemon.io());
  server.trace(daemon.traces());
  service.add_routes(server);
  server.listen_tcp(config.listen);
  if (!config.socket.empty()) {
    auto& operator_server = daemon.make<base::HttpServer>(daemon.io());
    service.add_operator_routes(operator_server);
    operator_server.listen_unix(config.socket);
    daemon.on_stop([&operator_server] { operator_server.drain(); });
  }
  daemon.drain(
      config.drain, [&service] { service.begin_drain(); }, [&service] { return service.drained(); });
  daemon.on_stop(
      [&server] { server.drain(); });  // after the service's own stop, which breaks off what is left
  daemon.on_stop([&service] { service.stop(); });
}

}  // namespace

int main(int argc, char** argv) {
  using namespace qanat;
  pool::PoolConfig config;
  return base::daemon_main(
      argc, argv,
      {"qanat-pool",
       "A pool of simulated accelerators, or an adopted server, behind an OpenAI-compatible address.",
       pool::kSampleConfig},
      [&](base::ConfigTable& root) { pool::read_pool_config(root, config); },
      [&](base::Daemon& daemon) {
        if (!config.adopt.url.empty()) {
          serve<pool::AdoptedPool>(daemon, config);
          base::log_info("{}: {} adopted as {}, listening on {}", config.id, config.adopt.url,
                         to_string(config.adopt.level), config.listen);
        } else {
          serve<pool::PoolService>(daemon, config);
          base::log_info("{}: {} × {} listening on {}", config.id, config.count, config.card.name,
                         config.listen);
        }
      });
}
