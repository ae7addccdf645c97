// Net: a small world for tests of path computation: nodes 1 … n, links both ways or one way.
#pragma once

#include <random>
#include <set>
#include <vector>

#include "controller/topology/topology.hh"

namespace qanat::paths {

struct Net {
  using Link = telemetry::Link;
  using LinkState = telemetry::LinkState;
  std::vector<topology::Node> nodes;
  std::vector<Link> links;
  std::vector<topology::LineRisk> lines;

  explicit Net(std::uint32_t count, std::set<std::uint32_t> relays = {}) {
    for (std::uint32_t i = 1; i <= count; ++i) {
      topology::Node node{.id = ids::NodeId{i}, .domain = ids::DomainId{1}};
      node.relay = relays.contains(i);
      nodes.push_back(node);
    }
  }
  static telemetry::LinkKey key(std::uint32_t a, std::uint32_t b, std::uint8_t plane) {
    return {ids::NodeId{a}, ids::NodeId{b}, ids::PlaneId{plane}, ids::PlaneId{plane}};
  }
  Net& one_way(std::uint32_t a, std::uint32_t b, std::uint8_t plane, std::uint32_t rtt_us,
               LinkState state = LinkState::Usable, std::uint32_t loss_ppm = 0, std::uint32_t jitter_us = 0) {
    std::erase_if(links, [&](const Link& l) { return l.key == key(a, b, plane); });
    Link link{.key = key(a, b, plane)};
    link.state = state;
    link.rtt_us = rtt_us;
    link.loss_ppm = loss_ppm;
    link.jitter_us = jitter_us;
    links.push_back(link);
    return *this;
  }
  Net& link(std::uint32_t a, std::uint32_t b, std::uint8_t plane, std::uint32_t rtt_us,
            LinkState state = LinkState::Usable, std::uint32_t loss_ppm = 0) {
    one_way(a, b, plane, rtt_us, state, loss_ppm);
    return one_way(b, a, plane, rtt_us, state, loss_ppm);
  }
  Net& line_risk(std::uint32_t node, std::uint8_t plane, std::uint32_t risk = 1) {
    lines.push_back({ids::NodeId{node}, ids::PlaneId{plane}, risk});
    return *this;
  }
  topology::Topology topology() const { return topology::Topology(nodes, links, lines); }
};

// Of a node by its number.
inline topology::Index index_of(const topology::Topology& topology, std::uint32_t node) {
  return topology.index_of(ids::NodeId{node}).value();
}

// Up to 20 nodes, half of them relays, some of these borders, zones and risks; up to `planes` planes, and in half of the nets
// risks of lines; one direction may be missing, dead or slower.
inline Net random_net(std::mt19937& random, std::uint32_t most_nodes = 9, std::uint32_t planes = 2) {
  const std::uint32_t n = 3 + random() % (most_nodes - 2);
  Net net(n);
  for (auto& node : net.nodes) {
    node.relay = random() % 2 != 0;
    node.border = node.relay && random() % 4 == 0;
    node.zone = static_cast<std::uint8_t>(random() % 3);
    node.risk = random() % 3 == 0 ? 1u << random() % 4 : 0;
  }
  for (std::uint32_t a = 1; a <= n; ++a) {
    for (std::uint32_t b = 1; b <= n; ++b) {
      for (std::uint32_t plane = 1; plane <= planes; ++plane) {
        const auto kind = random() % 5;
        if (a == b || kind == 0) continue;
        net.one_way(a, b, static_cast<std::uint8_t>(plane), 1000 + random() % 80'000,
                    kind == 1 ? Net::LinkState::Dead : Net::LinkState::Usable, random() % 60'000,
                    random() % 5'000);
      }
    }
  }
  if (random() % 2 != 0) {
    for (std::uint32_t count = random() % (2 * n); count > 0; --count)
      net.line_risk(1 + random() % n, static_cast<std::uint8_t>(1 + random() % planes), 1u << random() % 4);
  }
  return net;
}

}  // namespace qanat::paths
