// A running lab, as other commands find it: /run/qanat-lab/NAME/state.json, rewritten after every step of coming
// up, so that whatever interrupts it, `lab down` and `lab gc` know everything that was made.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tools/lab/process.hh"

namespace qanat::lab {

inline constexpr const char* kLabsFolder = "/run/qanat-lab";

struct NodeState {
  std::string name, netns;
  std::string socket;                 // qanatd's; "" where there is no box
  std::string overlay;                // "100.96.1.1"; "" where there is no box
  std::vector<std::string> underlay;  // one address per plane, in the node's order
};

// Where a tenant's device stands on a node.
struct HostState {
  std::string tenant, node, netns, address;
  bool separate = false;  // a namespace of its own, which the lab made
};

struct ControllerState {
  std::string name, role, node, socket;
  std::string northbound;  // "10.2.0.6:7480", in the node's namespace
  std::string token_file;  // the bearer token for it
  int domain = 0;
};

struct PoolState {
  std::string id, node, url, socket;
  bool local = false;  // stands where the gateway stands
};

struct GatewayState {
  std::string node, netns, socket;
  std::string url;  // in the node's namespace
  std::string key;  // a tenant's
  std::string tenant;
};

struct LabState {
  std::string name;
  std::string bin;    // folder of the daemons
  int owner_pid = 0;  // who brings it up, or keeps it up
  std::uint64_t owner_started = 0;
  bool attached = false;  // ends with its owner (`qanat up`), rather than by `lab down`
  bool ready = false;     // everything is up
  std::string linkem_socket;
  std::string linkem_log;
  std::vector<NodeState> nodes;
  std::vector<HostState> hosts;
  std::vector<ControllerState> controllers;
  std::vector<PoolState> pools;
  std::vector<GatewayState> gateways;
  std::vector<Process> processes;

  std::string folder() const { return std::string(kLabsFolder) + "/" + name; }
  std::string topology_file() const { return folder() + "/topology.toml"; }
  // The namespace of "city", or of tenant blue's host there, "city/blue"; "" when there is none.
  std::string netns_of(const std::string& place) const;
  const NodeState* node(const std::string& wanted) const;
  Process* process(const std::string& wanted);
};

void save(const LabState& state);  // throws std::system_error
// nullopt when there is no such lab or its state file cannot be read.
std::optional<LabState> load(const std::string& name);
// Names of the folders under /run/qanat-lab.
std::vector<std::string> lab_names();

}  // namespace qanat::lab
