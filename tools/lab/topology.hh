// A lab's topology: what one TOML file asks for (seams.md §7), read strictly, every problem named with its line.
// Values only: nothing here makes anything.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/linkem/spec.hh"

namespace qanat::base {
class ConfigTable;
}

namespace qanat::lab {

// A node's name at most: "ql" + pid + "-" + name stays readable, and so do device names.
inline constexpr std::size_t kLongestName = 20;

struct Plane {
  int id = 0;  // 1 … 15
  std::string name;
};

struct Node {
  std::string name;      // at most kLongestName characters: letters, digits, dashes
  int number = 0;        // 1 …, in file order; the last byte of its underlay addresses
  std::string location;  // C-URL location labels
  std::vector<int> planes;
  int domain = 0;  // whose controller enrols the box; 0 where there is no box
  bool relay = false;
  bool box = true;
};

struct Link {
  std::string name;  // "city-relay1-p1" unless the file says otherwise
  int plane = 0;
  std::string a, b;
  linkem::Spec up, down;  // up is a→b
};

struct ControllerSpec {
  std::string name, node;
  bool global = false;
  int domain = 0;
};

// A member of the etcd that keeps the state of all the lab's controllers; without any, each keeps its own.
struct EtcdSpec {
  std::string node;
};

struct TenantSpec {
  std::string name;
  std::uint32_t vni = 0;
  std::vector<std::string> members;
  // Each member's device stands in a namespace of the tenant's own ("city/blue"), as a customer's host behind a box
  // does: so tenants may have the same addresses.
  bool separate = false;
};

struct PoolSpec {
  std::string id;  // "far1-h20" unless the file says otherwise
  std::string node, provider, cards;
  int count = 0;
  std::vector<std::string> models;
  std::int64_t input_price = 0, output_price = 0;      // nano-currency per token
  std::int64_t card_price = 0, placeholder_price = 0;  // nano-currency per second, of what a gateway leases
  int max_num_seqs = 0;                                // 0: the pool's own default
  int tensor_parallel = 0;                             // cards of one engine; 0: all of them
  double time_scale = 1;
  bool leased = false;     // woken by gateways' placeholders only
  bool artefacts = false;  // keeps data sets and results, and trains
};

struct GatewaySpec {
  std::string node;
  std::vector<std::string> pools;  // ids; all of them for "all"
  int ttft_ms = 2000, tpot_ms = 100;
  bool artefacts = false;  // files, transfers, fine-tunes, contracts
  // How calls come to leased pools: a valve for each of their models.
  std::string valve = "auto";
  double local_streams = 8, engine_streams = 16, cool_down_s = 10;
};

struct Topology {
  std::string name;
  std::uint64_t seed = 1;
  std::vector<Plane> planes;
  std::vector<Node> nodes;
  std::vector<Link> links;
  std::vector<EtcdSpec> etcd;
  std::vector<ControllerSpec> controllers;
  std::vector<TenantSpec> tenants;
  std::vector<PoolSpec> pools;
  std::vector<GatewaySpec> gateways;

  const Node* node(const std::string& name) const;
  const Plane* plane(int id) const;
  const Link* link(const std::string& name) const;
};

// Reads everything; problems stay in the table's reader.
Topology read_topology(base::ConfigTable& root);
// The same topology as a file: read_topology(to_toml(t)) is t.
std::string to_toml(const Topology& topology);
// Reads FILE into `out`; false after its problems were printed to stderr.
bool load_topology(const std::string& file, Topology& out);

// The address plan. Underlay: 10.PLANE.0.NODE. Overlay of a tenant: 100.96.NODE.1 and fd71::NODE:1.
std::string underlay_address(int plane, const Node& node);
std::string overlay_address(const Node& node);
std::string overlay_address6(const Node& node);

}  // namespace qanat::lab
