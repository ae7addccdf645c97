// The configuration files that a lab writes for its daemons (seams.md §2 to §6), as text from values.
#pragma once

#include <string>
#include <vector>

#include "tools/lab/state.hh"
#include "tools/lab/topology.hh"
#include "tools/linkem/links_file.hh"

namespace qanat::lab {

inline constexpr int kSouthboundPort = 7443;  // + n for the n-th controller of a node
inline constexpr int kNorthboundPort = 7480;
inline constexpr int kUnderlayPort = 7700;  // + plane
inline constexpr int kPoolPort = 9000;      // + n for the n-th pool of a node
inline constexpr int kGatewayPort = 8080;
inline constexpr int kEtcdPort = 2379;       // for controllers
inline constexpr int kEtcdPeersPort = 2380;  // among its members

// Everything below a lab's folder: NAME.toml, NAME.sock, NAME/ for state, log/NAME.log.
struct Files {
  std::string folder;
  std::string config(const std::string& daemon) const { return folder + "/" + daemon + ".toml"; }
  std::string socket(const std::string& daemon) const { return folder + "/" + daemon + ".sock"; }
  std::string state_dir(const std::string& daemon) const { return folder + "/state/" + daemon; }
  std::string artefacts(const std::string& node) const { return state_dir("gateway-" + node) + "/artefacts"; }
  std::string log(const std::string& daemon) const { return folder + "/log/" + daemon + ".log"; }
  std::string secret(const std::string& name) const { return folder + "/secret/" + name; }
};

// Where controller `i` of the topology listens, southbound: one address per plane of its node.
std::vector<std::string> southbound_addresses(const Topology& topology, std::size_t i);

// Where the members of controller `i`'s domain connect: its own addresses and those of all that stand in for it.
std::vector<std::string> member_addresses(const Topology& topology, std::size_t i);

// Where member `i` of the lab's etcd is asked.
std::string etcd_address(const Topology& topology, std::size_t i);
std::string etcd_url(const Topology& topology, std::size_t i);
// Its arguments; its keys are among the secrets.
std::vector<std::string> etcd_command(const Topology& topology, std::size_t i, const Files& files);

// The routing table of a plane's packets: planes are separate networks, so packets from an address of one never
// leave over another's links.
inline unsigned plane_table(int plane) { return 100 + static_cast<unsigned>(plane); }

linkem::LinksFile links_file(const Topology& topology, const std::string& netns_prefix);
std::string controller_toml(const Topology& topology, std::size_t i, const Files& files);
// controller: the index of the one that enrols the box.
std::string qanatd_toml(const Topology& topology, const Node& node, std::size_t controller,
                        const Files& files, const std::string& netns_prefix);
// `trust`: public keys of the gateways that may send artefacts and jobs there.
std::string pool_toml(const Topology& topology, std::size_t i, const Files& files,
                      const std::vector<std::string>& trust = {});
std::string gateway_toml(const Topology& topology, const GatewaySpec& gateway, const Files& files);

std::string pool_url(const Topology& topology, std::size_t i);

}  // namespace qanat::lab
