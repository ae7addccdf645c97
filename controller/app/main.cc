// qanat-controller: a service of its own on a file, or one of several that stand in for each other on etcd.
#include <optional>

#include "base/daemon.hh"
#include "controller/app/cluster.hh"
#include "controller/app/sample_config.hh"
#include "controller/app/service.hh"
#include "controller/app/settings.hh"
#include "controller/store/sqlite_store.hh"

int main(int argc, char** argv) {
  using namespace qanat;
  app::Settings settings;
  std::optional<store::SqliteStore> store;
  std::optional<app::Service> service;
  std::optional<app::Cluster> cluster;
  const base::DaemonInfo info{"qanat-controller",
                              "decides where packets go: a domain's controller, or the global one",
                              app::kSampleConfig,
                              {{"--store", "state", "sqlite:FILE|etcd:ENDPOINT,…",
                                "where the state is kept, instead of the file's `state`"}}};
  return base::daemon_main(
      argc, argv, info, [&](base::ConfigTable& root) { app::read(root, settings); },
      [&](base::Daemon& daemon) {
        if (settings.etcd.endpoints.empty()) {
          store.emplace(settings.state);
          service.emplace(daemon.io(), settings, *store);
          daemon.on_stop([&] { service->stop(); });
        } else {
          cluster.emplace(daemon.io(), settings, [argv] { app::replace_process(argv); });
          daemon.on_stop([&] { cluster->stop(); });
        }
      });
}
