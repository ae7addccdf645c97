// BoxConfig: qanatd's configuration file (docs/specifications/seams.md §2), read strictly.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/app/qos_config.hh"
#include "dataplane/app/srv6_config.hh"
#include "dataplane/forwarder/mode_watch.hh"

namespace qanat::base {
class ConfigTable;
}

namespace qanat::app {

struct LineSettings {
  std::uint32_t plane = 0;  // 1 … 15
  std::string address;      // underlay, IPv4 or IPv6
  std::uint16_t port = 7700;
  std::string name;
  std::uint64_t in_bps = 0;  // that it brings, for the controller to know; 0: not said
  bool af_xdp = false;       // a relay's transit past the kernel's IP stack (io/xdp_socket)
};

// Where a tenant's device stands, if not "qt<vni>" in the daemon's own namespace.
struct TenantSettings {
  std::string device;
  std::string netns;
};

// Each can be switched off where a kernel gets it wrong; what remains is slower, not different.
struct Offloads {
  bool tun_tcp = true;      // TCP super-packets from and to tenants' devices
  bool tun_udp = true;      // UDP ones (Linux 6.2)
  bool udp_segment = true;  // UDP_SEGMENT: a train in one send
  bool udp_gather = true;   // UDP_GRO: a train in one receive
};

struct ForwardingSettings {
  bool pin = true;  // several workers: each to a CPU of its own
  bool port_per_worker =
      false;  // workers after the first send from ports of their own, here and at neighbours
  std::chrono::microseconds linger{};
  std::chrono::microseconds anticipation{100};
  bool real_time = true;
  forwarder::Adaptive adaptive = forwarder::Adaptive::Off;
  Offloads offloads;
};

struct BoxConfig {
  std::string name;
  std::string location;
  std::string state_dir;
  std::string socket;
  std::string metrics;  // TCP address for Prometheus; empty: on the socket only
  bool relay = false;
  std::uint32_t relay_packets_per_s = 0;  // that it carries for others; 0: not known
  unsigned workers = 1;
  ForwardingSettings forwarding;
  std::vector<std::string> controllers;
  unsigned rotate_key_days = 90;
  std::string join_token_file;
  std::vector<LineSettings> lines;
  std::map<std::uint32_t, TenantSettings> tenants;  // by VNI
  QosConfig qos;
  Srv6Config srv6;
};

// Takes every key; problems are noted in the table.
void read(base::ConfigTable& root, BoxConfig& config);

// A commented file that passes the check.
extern const std::string_view kSampleConfig;

}  // namespace qanat::app
