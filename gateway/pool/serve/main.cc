// qanat-pool: configuration → engines and usage records → HTTP for callers, gateways and the operator.
#include "base/daemon.hh"
#include "base/http_server.hh"
#include "base/log.hh"
#include "gateway/pool/serve/pool_config.hh"
#include "gateway/pool/serve/pool_service.hh"

int main(int argc, char** argv) {
  using namespace qanat;
  pool::PoolConfig config;
  return base::daemon_main(
      argc, argv,
      {"qanat-pool", "A pool of simulated accelerators behind an OpenAI-compatible address.",
       pool::kSampleConfig},
      [&](base::ConfigTable& root) { pool::read_pool_config(root, config); },
      [&](base::Daemon& daemon) {
        auto& service = daemon.make<pool::PoolService>(daemon.io(), config);
        auto& server = daemon.make<base::HttpServer>(daemon.io());
        service.add_routes(server);
        server.listen_tcp(config.listen);
        base::HttpServer* operator_server = nullptr;
        if (!config.socket.empty()) {
          operator_server = &daemon.make<base::HttpServer>(daemon.io());
          service.add_operator_routes(*operator_server);
          operator_server->listen_unix(config.socket);
        }
        daemon.on_stop([&service] { service.stop(); });
        base::log_info("{}: {} × {} listening on {}", config.id, config.count, config.card.name,
                       config.listen);
      });
}
