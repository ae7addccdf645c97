// qanat-gateway: configuration → journal, ledger and pools → tenants' API on TCP, admin API on a Unix socket.
#include "base/daemon.hh"
#include "base/http_server.hh"
#include "base/log.hh"
#include "base/metrics_server.hh"
#include "base/time_slice.hh"
#include "gateway/access/access_service.hh"
#include "gateway/app/gateway_config.hh"
#include "gateway/app/gateway_service.hh"
#include "ui/pages.hh"

int main(int argc, char** argv) {
  using namespace qanat;
  app::GatewayConfig config;
  return base::daemon_main(
      argc, argv,
      {"qanat-gateway",
       "Admits compute calls, places them, carries them, measures them.",
       app::kSampleConfig,
       {{"--ledger", "ledger", "sqlite:FILE|postgres:CONNINFO",
         "where keys and calls are kept, instead of the file's `ledger`"}}},
      [&](base::ConfigTable& root) { app::read_gateway_config(root, config); },
      [&](base::Daemon& daemon) {
        auto& service = daemon.make<app::GatewayService>(daemon.io(), config);
        base::HttpLimits limits;
        limits.write_timeout = config.stall;
        auto& tenants = daemon.make<base::HttpServer>(daemon.io(), limits);
        auto& admin = daemon.make<base::HttpServer>(daemon.io());
        tenants.trace(daemon.traces());
        service.add_tenant_routes(tenants);
        ui::add_pages(tenants, ui::Site::Gateway);
        service.add_admin_routes(admin);
        service.add_jobs_routes(tenants, admin);
        auto& access = daemon.make<access::AccessService>(
            daemon.io(), config.access, [&service](std::string_view key) { return service.tenant_of(key); },
            service.metrics());
        access.add_admin_routes(admin);
        auto& console = daemon.make<base::HttpServer>(daemon.io());
        if (!config.console.listen.empty()) {
          service.add_console_routes(console);
          ui::add_pages(console, ui::Site::Console);
          console.listen_tcp(config.console.listen);
        }
        for (const std::string& address : config.listen) {
          tenants.listen_tcp(address);
          base::log_info("{}: listening on {}", config.name, address);
        }
        if (config.tls)
          for (const std::string& address : config.tls->listen) {
            tenants.listen_tcp(address, config.tls->context);
            base::log_info("{}: listening on {}, TLS", config.name, address);
          }
        admin.listen_unix(config.socket);
        daemon.drain(
            config.drain, [&tenants] { tenants.drain(); }, [&tenants] { return tenants.connections() == 0; });
        daemon.on_stop([&tenants, &admin, &console] {
          console.stop();
          tenants.drain();
          admin.drain();
        });
        base::serve_metrics(daemon, config.metrics, service.metrics());
        daemon.on_stop([&service] { service.stop(); });
        daemon.on_stop([&access] { access.stop(); });
        daemon.look_on(config.look_on, [&service] { return service.only_awaits_pools(); });
        base::ask_for_slice(
            base::kShortSlice);  // the loop's; the ledger's and the name server's threads are older
      });
}
