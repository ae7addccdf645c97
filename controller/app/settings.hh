// Settings: qanat-controller's configuration file as values (seams.md §3).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace qanat::base {
class ConfigTable;
}

namespace qanat::app {

// state = "etcd:ENDPOINT,…" and [etcd].
struct EtcdSettings {
  std::vector<std::string> endpoints;  // empty: the state is a file
  std::string user;
  std::string password_file;
  std::string ca_file;
  std::string certificate_file;
  std::string key_file;
  std::int64_t lease_s = 2;
};

struct Settings {
  std::string name;
  bool global = false;
  std::uint32_t domain = 0;
  std::string state;  // a file, where it is not etcd
  EtcdSettings etcd;
  std::vector<std::string> listen;
  std::string socket;
  std::string northbound;  // empty: none
  std::string admin_token_file;
  std::string viewer_token_file;              // empty: no viewers
  std::vector<std::string> parent_addresses;  // empty: no parent
  std::string join_token_file;
  std::uint32_t active_interval_ms = 10;
  std::uint32_t mesh_interval_ms = 200;
  std::uint32_t report_interval_ms = 500;
  std::uint32_t relay_probes_per_s = 20'000;  // 0: no bound
};

// Notes every problem in the table's reader.
void read(base::ConfigTable& root, Settings& settings);

}  // namespace qanat::app
