#include "bench/routes/planetlab.hh"

#include <cmath>
#include <fstream>
#include <random>
#include <sstream>
#include <stdexcept>

namespace qanat::bench {

RttMatrix read_matrix(const std::string& file) {
  std::ifstream in(file);
  if (!in) throw std::runtime_error("cannot read " + file);
  RttMatrix out;
  for (std::string line; std::getline(in, line); ++out.hosts) {
    std::istringstream cells(line);
    for (double ms = 0; cells >> ms;) out.rtt_us.push_back(static_cast<std::uint32_t>(std::ceil(ms * 1000)));
  }
  if (out.hosts == 0 || out.rtt_us.size() != out.hosts * out.hosts) {
    throw std::runtime_error(file + " is not a square matrix");
  }
  return out;
}

telemetry::Link link_of(std::uint32_t from, std::uint32_t to, std::uint32_t rtt_us) {
  telemetry::Link link{.key = {ids::NodeId{from + 1}, ids::NodeId{to + 1}, ids::PlaneId{1}, ids::PlaneId{1}}};
  link.state = telemetry::LinkState::Usable;
  link.rtt_us = rtt_us;
  return link;
}

Tiled tile(const RttMatrix& matrix, std::uint32_t nodes, std::uint32_t seed) {
  std::mt19937 random(seed);
  Tiled out;
  for (std::uint32_t i = 0; i < nodes; ++i) {
    topology::Node node{.id = ids::NodeId{i + 1}, .domain = ids::DomainId{1}};
    node.relay = true;
    node.border = i % 16 == 0;
    out.nodes.push_back(node);
  }
  out.links.reserve(std::size_t{nodes} * nodes);
  for (std::uint32_t i = 0; i < nodes; ++i) {
    for (std::uint32_t j = 0; j < nodes; ++j) {
      if (i == j) continue;
      const std::uint32_t measured = matrix.at(i % matrix.hosts, j % matrix.hosts);
      const std::uint64_t rtt = measured == 0 ? 1000 + random() % 4000 : measured;
      telemetry::Link link = link_of(i, j, static_cast<std::uint32_t>(rtt * (950 + random() % 101) / 1000));
      if (random() % 10 == 0) link.loss_ppm = 1000 + random() % 29'000;
      link.jitter_us = static_cast<std::uint32_t>(std::uint64_t{link.rtt_us} * (10 + random() % 91) / 1000);
      out.links.push_back(link);
    }
  }
  return out;
}

}  // namespace qanat::bench
