// Allocation: how much of each demand goes over which of its candidate lists. Tiers in strict priority; inside a tier max-min
// fair by share of what was asked; nothing above a capacity.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "identifiers/ids/tier.hh"

namespace qanat::te {

// What can be full: a link between two nodes, a box's access line, a relay's packet rate (as bit/s at the mean packet size).
using Resource = std::uint32_t;

struct Demand {
  ids::Tier tier = ids::Tier::Bulk;
  double rate = 0;                           // asked for, in the unit of the capacities
  std::vector<std::vector<Resource>> paths;  // each its resources, none twice; the cheapest first
};

struct Options {
  int sweeps = 6;            // over all demands, to level the fullest resources
  int rounds = 40;           // of levelling and raising again
  double least_gain = 5e-4;  // that another round is worth
};

class Allocation {
 public:
  // Same input, same output on one machine: no clock and nothing random.
  Allocation(std::span<const double> capacities, std::span<const Demand> demands, Options options = {});

  double flow(std::size_t demand, std::size_t path) const { return flows(demand)[path]; }
  std::span<const double> flows(std::size_t demand) const {
    return std::span(flow_).subspan(first_path_[demand], first_path_[demand + 1] - first_path_[demand]);
  }
  double rate(std::size_t demand) const;
  double total() const;
  double load(Resource resource) const { return load_[resource]; }

 private:
  class Run;
  std::vector<double> flow_;  // path after path, demand after demand
  std::vector<std::uint32_t> first_path_;
  std::vector<double> load_;
};

}  // namespace qanat::te
