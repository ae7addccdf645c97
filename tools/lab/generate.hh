// Topologies from measured networks: a node per cloud region or per PlanetLab host, links with their figures.
// Values in, a Topology out; `lab generate` prints it as TOML for people to edit.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/lab/measurements.hh"
#include "tools/lab/topology.hh"

namespace qanat::lab {

struct GenerateOptions {
  std::string name;
  std::uint64_t seed = 1;
  double rate_scale =
      0.01;               // of the measured throughput: what a small machine carries for a whole lab at once
  double rate_bps = 1e8;  // where nothing was measured (PlanetLab)
  int domains = 1;        // boxes are dealt to that many domains in turn
  std::string cards = "H20";  // the pools' on every second box; "" for none
};

// Plane 1, private, has the PREMIUM tier's figures, plane 2, internet, the STANDARD tier's where there is one. A pair
// that was not measured gets no link. Every box is a relay, one tenant spans all, the controllers stand at `hq`, 2 ms
// from each box. Throws std::invalid_argument for a region that the data lack.
Topology generate_from_regions(const CloudRegions& measured, const std::vector<std::string>& regions,
                               const GenerateOptions& options);
// One plane; `hosts` are rows of the matrix. Throws std::invalid_argument for a row that it lacks.
Topology generate_from_matrix(const std::vector<std::vector<double>>& rtt_ms,
                              const std::vector<std::size_t>& hosts, const GenerateOptions& options);
// `count` of `total` rows, by the seed, in order.
std::vector<std::size_t> pick_rows(std::size_t total, std::size_t count, std::uint64_t seed);

}  // namespace qanat::lab
