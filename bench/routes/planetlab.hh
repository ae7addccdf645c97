// PlanetLab: measured round trips between 490 hosts, and networks of any size made of them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "controller/topology/topology.hh"

namespace qanat::bench {

struct RttMatrix {
  std::size_t hosts = 0;
  std::vector<std::uint32_t> rtt_us;  // [from · hosts + to]
  std::uint32_t at(std::size_t from, std::size_t to) const { return rtt_us[from * hosts + to]; }
};

// A matrix as text, one row a line, milliseconds; throws std::runtime_error naming the file.
RttMatrix read_matrix(const std::string& file);

// `nodes` nodes that stand where the hosts stand, host i mod hosts, all relays, every 16th a border, on plane 1. The data are
// symmetric and know round trips alone, so the seed adds what they lack: each direction is ±5 % off the other, copies of one
// host are 1 to 5 ms apart, one link in ten loses 0.1 to 3 %, jitter is 1 to 10 % of the round trip.
struct Tiled {
  std::vector<topology::Node> nodes;
  std::vector<telemetry::Link> links;
};
Tiled tile(const RttMatrix& matrix, std::uint32_t nodes, std::uint32_t seed);
telemetry::Link link_of(std::uint32_t from, std::uint32_t to, std::uint32_t rtt_us);

}  // namespace qanat::bench
