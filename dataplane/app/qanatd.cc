// qanatd: a box of the overlay network. Agent → snapshot → worker and TUNs; see dataplane/README.md for the packet's way.
#include <memory>

#include "base/config.hh"
#include "base/daemon.hh"
#include "base/http_server.hh"
#include "base/metrics_server.hh"
#include "dataplane/app/box.hh"
#include "dataplane/app/box_config.hh"
#include "dataplane/app/local_api.hh"

int main(int argc, char** argv) {
  using namespace qanat;
  app::BoxConfig config;
  return base::daemon_main(
      argc, argv,
      {"qanatd", "A box of the overlay network: tenants' packets in, sealed datagrams out.",
       app::kSampleConfig},
      [&](base::ConfigTable& root) { app::read(root, config); },
      [&](base::Daemon& daemon) {
        auto box = std::make_shared<app::Box>(daemon.io(), config);
        auto server = std::make_shared<base::HttpServer>(daemon.io());
        app::add_routes(*server, *box, daemon.traces());
        server->listen_unix(config.socket);
        box->start();
        base::serve_metrics(daemon, config.metrics, box->metrics());
        daemon.on_stop([server] { server->stop(); });
        daemon.on_stop([box] { box->stop(); });
        daemon.keep(box);
        daemon.keep(server);
      });
}
