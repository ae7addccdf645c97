#include "tools/lab/topology.hh"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <set>

#include "base/config.hh"
#include "base/file.hh"
#include "tools/linkem/links_file.hh"

namespace qanat::lab {
namespace {

using base::ConfigTable;

bool is_name(const std::string& text) {
  return !text.empty() && text.size() <= kLongestName && std::all_of(text.begin(), text.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '-';
  });
}

std::string read_name(ConfigTable& table, std::string_view key) {
  std::string name = table.string(key);
  if (!name.empty() && !is_name(name))
    table.problem(key, fmt::format("'{}'", name), "1 to 20 letters, digits and dashes");
  return name;
}

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

// The node under `key`, with a problem when there is none of that name.
const Node* read_node(const Topology& topology, ConfigTable& table, std::string_view key, std::string& name) {
  name = table.string(key);
  const Node* node = topology.node(name);
  if (!node && !name.empty())
    table.problem(key, fmt::format("'{}' is no node", name), "the name of a [[node]]");
  return node;
}

void read_planes(Topology& topology, ConfigTable& root) {
  for (auto& table : root.tables("plane", true)) {
    Plane plane;
    plane.id = static_cast<int>(table.integer("id", {.min = 1, .max = 15}));
    plane.name = read_name(table, "name");
    if (topology.plane(plane.id)) table.problem("id", "given to two planes", "an id of its own");
    topology.planes.push_back(std::move(plane));
  }
}

void read_nodes(Topology& topology, ConfigTable& root) {
  for (auto& table : root.tables("node", true)) {
    Node node;
    node.name = read_name(table, "name");
    if (topology.node(node.name)) table.problem("name", "given to two nodes", "a name of its own");
    node.number = static_cast<int>(topology.nodes.size()) + 1;
    node.location = table.string("location", "");
    for (const auto id : table.integers("planes", {.min = 1, .max = 15}, true)) {
      node.planes.push_back(static_cast<int>(id));
      if (!topology.plane(static_cast<int>(id)))
        table.problem("planes", fmt::format("{} is no plane", id), "the id of a [[plane]]");
    }
    node.domain = static_cast<int>(table.integer("domain", {.min = 0, .max = 250}, 0));
    node.relay = table.boolean("relay", false);
    node.box = table.boolean("box", true);
    topology.nodes.push_back(std::move(node));
  }
  if (topology.nodes.size() > 4000) root.problem("node", "too many", "at most 4000 nodes");
}

void read_links(Topology& topology, ConfigTable& root) {
  std::set<std::string> pairs, names;
  for (auto& table : root.tables("link")) {
    Link link;
    link.plane = static_cast<int>(table.integer("plane", {.min = 1, .max = 15}));
    const Node* a = read_node(topology, table, "a", link.a);
    const Node* b = read_node(topology, table, "b", link.b);
    link.up = linkem::read_spec(table, "up");
    link.down = linkem::read_spec(table, "down");
    link.name = table.string("name", fmt::format("{}-{}-p{}", link.a, link.b, link.plane));
    for (const Node* node : {a, b})
      if (node && std::find(node->planes.begin(), node->planes.end(), link.plane) == node->planes.end())
        table.problem("plane", fmt::format("{} is not on plane {}", node->name, link.plane),
                      "a plane of both nodes");
    if (a && a == b) table.problem("b", "the same node as a", "another node");
    if (!pairs.insert(fmt::format("{} {} {}", link.plane, std::min(link.a, link.b), std::max(link.a, link.b)))
             .second)
      table.problem("", fmt::format("a second link of {} and {} on plane {}", link.a, link.b, link.plane),
                    "one link per pair and plane");
    if (!names.insert(link.name).second) table.problem("name", "given to two links", "a name of its own");
    topology.links.push_back(std::move(link));
  }
}

void read_controllers(Topology& topology, ConfigTable& root) {
  for (auto& table : root.tables("etcd")) {
    read_node(topology, table, "node", topology.etcd.emplace_back().node);
    const auto taken = [&](const EtcdSpec& other) { return other.node == topology.etcd.back().node; };
    if (std::count_if(topology.etcd.begin(), topology.etcd.end(), taken) > 1)
      table.problem("node", "has one already", "a node of its own");
  }
  for (auto& table : root.tables("controller")) {
    ControllerSpec controller;
    controller.name = read_name(table, "name");
    read_node(topology, table, "node", controller.node);
    controller.global = table.one_of("role", {"global", "domain"}) == "global";
    controller.domain = static_cast<int>(table.integer("domain", {.min = 0, .max = 250}, 0));
    if (!controller.global && controller.domain == 0)
      table.problem("domain", "missing", "the domain's number, 1 or more");
    const bool second = std::any_of(
        topology.controllers.begin(), topology.controllers.end(),
        [&](const auto& c) { return c.global == controller.global && c.domain == controller.domain; });
    if (second && topology.etcd.empty())
      table.problem("role", "a second controller of the same", "one, or an [[etcd]] that keeps their state");
    topology.controllers.push_back(std::move(controller));
  }
  for (const auto& node : topology.nodes)
    if (node.box && !topology.controllers.empty() &&
        std::none_of(topology.controllers.begin(), topology.controllers.end(),
                     [&](const auto& c) { return node.domain ? c.domain == node.domain : c.global; }))
      root.problem("controller", fmt::format("none for domain {} of node {}", node.domain, node.name),
                   "a [[controller]] with role = \"domain\" and that domain");
}

void read_tenants(Topology& topology, ConfigTable& root) {
  for (auto& table : root.tables("tenant")) {
    TenantSpec tenant;
    tenant.name = read_name(table, "name");
    tenant.vni = static_cast<std::uint32_t>(table.integer("vni", {.min = 1, .max = 0xffffff}));
    tenant.members = table.strings("members", true);
    for (const auto& member : tenant.members)
      if (const Node* node = topology.node(member); !node || !node->box)
        table.problem("members", fmt::format("'{}' is no box", member), "names of [[node]]s with box = true");
    tenant.separate = table.boolean("separate", false);
    for (const auto& other : topology.tenants) {
      if (other.vni == tenant.vni) table.problem("vni", "given to two tenants", "a number of its own");
      if (other.name == tenant.name) table.problem("name", "given to two tenants", "a name of its own");
      for (const auto& member : tenant.members)
        if (!tenant.separate && !other.separate &&
            std::find(other.members.begin(), other.members.end(), member) != other.members.end())
          table.problem(
              "separate",
              fmt::format("tenants {} and {} have the same address on {}", other.name, tenant.name, member),
              "separate = true for one of them");
    }
    topology.tenants.push_back(std::move(tenant));
  }
}

void read_pools(Topology& topology, ConfigTable& root) {
  for (auto& table : root.tables("pool")) {
    PoolSpec pool;
    read_node(topology, table, "node", pool.node);
    pool.cards = table.string("cards");
    pool.id = table.string("id", pool.node + "-" + lower(pool.cards));
    pool.provider = table.string("provider", "lab");
    pool.count = static_cast<int>(table.integer("count", {.min = 1, .max = 4096}));
    pool.models = table.strings("models", true);
    pool.time_scale = table.number("time_scale", {.min = 0.01, .max = 1000}, 1);
    pool.max_num_seqs = static_cast<int>(table.integer("max_num_seqs", {.min = 0, .max = 65'536}, 0));
    pool.tensor_parallel = static_cast<int>(table.integer("tensor_parallel", {.min = 0, .max = 1024}, 0));
    pool.leased = table.boolean("leased", false);
    pool.artefacts = table.boolean("artefacts", false);
    if (auto price = table.table("price")) {
      pool.input_price = price->integer("input", {.min = 0});
      pool.output_price = price->integer("output", {.min = 0});
      pool.card_price = price->integer("card", {.min = 0, .max = 1'000'000'000'000}, 0);
      pool.placeholder_price = price->integer("placeholder", {.min = 0, .max = 1'000'000'000'000}, 0);
    }
    for (const auto& other : topology.pools)
      if (other.id == pool.id)
        table.problem("id", fmt::format("'{}' is given to two pools", pool.id), "an id of its own");
    topology.pools.push_back(std::move(pool));
  }
}

void read_gateways(Topology& topology, ConfigTable& root) {
  for (auto& table : root.tables("gateway")) {
    GatewaySpec gateway;
    read_node(topology, table, "node", gateway.node);
    const std::string which = table.string("pools", "all");
    if (which != "all") table.problem("pools", fmt::format("'{}'", which), "\"all\"");
    for (const auto& pool : topology.pools) gateway.pools.push_back(pool.id);
    gateway.ttft_ms = static_cast<int>(table.integer("ttft_ms", {.min = 1, .max = 600'000}, 2000));
    gateway.tpot_ms = static_cast<int>(table.integer("tpot_ms", {.min = 1, .max = 60'000}, 100));
    gateway.artefacts = table.boolean("artefacts", false);
    gateway.valve = table.one_of("valve", {"auto", "ask", "closed"}, gateway.valve);
    gateway.local_streams = table.number("local_streams", {.min = 0, .max = 1e6}, gateway.local_streams);
    gateway.engine_streams =
        table.number("engine_streams", {.min = 0.01, .max = 1e6}, gateway.engine_streams);
    gateway.cool_down_s = table.number("cool_down_s", {.min = 0.1, .max = 86'400}, gateway.cool_down_s);
    topology.gateways.push_back(std::move(gateway));
  }
}

template <class List, class Test>
auto* find(const List& list, Test test) {
  const auto it = std::find_if(list.begin(), list.end(), test);
  return it == list.end() ? nullptr : &*it;
}

}  // namespace

const Node* Topology::node(const std::string& wanted) const {
  return find(nodes, [&](const Node& n) { return n.name == wanted; });
}
const Plane* Topology::plane(int id) const {
  return find(planes, [&](const Plane& p) { return p.id == id; });
}
const Link* Topology::link(const std::string& wanted) const {
  return find(links, [&](const Link& l) { return l.name == wanted; });
}

Topology read_topology(ConfigTable& root) {
  Topology topology;
  topology.name = read_name(root, "name");
  topology.seed = static_cast<std::uint64_t>(root.integer("seed", {.min = 0}, 1));
  read_planes(topology, root);
  read_nodes(topology, root);
  read_links(topology, root);
  read_controllers(topology, root);
  read_tenants(topology, root);
  read_pools(topology, root);
  read_gateways(topology, root);
  return topology;
}

bool load_topology(const std::string& file, Topology& out) {
  constexpr std::size_t kMostBytes = 64 * 1024 * 1024;  // 400,000 links
  base::ConfigReader reader(base::read_file(file, kMostBytes), file);
  auto root = reader.root();
  out = read_topology(root);
  const auto problems = reader.problems();
  for (const auto& problem : problems) fmt::print(stderr, "{}\n", to_string(problem));
  return problems.empty();
}

std::string underlay_address(int plane, const Node& node) {
  return fmt::format("10.{}.{}.{}", plane, node.number / 256, node.number % 256);
}
std::string overlay_address(const Node& node) {
  return fmt::format("100.{}.{}.1", 96 + node.number / 256, node.number % 256);
}
std::string overlay_address6(const Node& node) { return fmt::format("fd71::{:x}:1", node.number); }

}  // namespace qanat::lab
