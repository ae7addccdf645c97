// Tenants: keeps one TUN per VNI that this node is a member of, up, addressed and routed as the snapshot says.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/app/box_config.hh"
#include "dataplane/fib/snapshot.hh"
#include "dataplane/io/crew.hh"
#include "dataplane/io/netlink.hh"
#include "dataplane/io/tun_device.hh"

namespace qanat::app {

class Tenants {
 public:
  Tenants(std::map<std::uint32_t, TenantSettings> settings, unsigned queues, const Offloads& offloads)
      : settings_(std::move(settings)), queues_(queues), offloads_(offloads) {}

  // Makes, changes and removes devices until they match. Returns one line per thing that could not be done; a tenant
  // whose device cannot be made is left out and tried again with the next snapshot.
  std::vector<std::string> apply(const fib::Snapshot& snapshot);
  // Prefixes that local hosts of a tenant reach through its device besides those of other members.
  void add_routes(std::uint32_t vni, const packet::IpPrefix& prefix) {
    routes_[vni].push_back(to_string(prefix));
  }
  // What the workers should serve.
  std::vector<io::CrewTun> tuns() const;

 private:
  struct Device {
    std::shared_ptr<io::TunDevice> tun;
    io::Netlink netlink;
  };
  TenantSettings settings(std::uint32_t vni) const;
  std::map<std::uint32_t, TenantSettings> settings_;
  unsigned queues_;  // of each device: one per worker
  Offloads offloads_;
  std::map<std::uint32_t, std::vector<std::string>> routes_;
  std::map<std::uint32_t, Device> devices_;
};

}  // namespace qanat::app
