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
  int sweeps = 12;           // over all demands, to level the fullest resources
  int rounds = 40;           // of levelling and raising again
  double least_gain = 5e-5;  // that another round is worth
};

class Allocation {
 public:
  // Same input, same output on one machine: no clock and nothing random.
  Allocation(std::span<const double> capacities, std::span<const Demand> demands, Options options = {});

  double flow(std::size_t demand, std::size_t path) const { return flow_[demand][path]; }
  std::span<const double> flows(std::size_t demand) const { return flow_[demand]; }
  double rate(std::size_t demand) const;
  double total() const;
  double load(Resource resource) const { return load_[resource]; }
  double residual(const std::vector<Resource>& path) const;

 private:
  void allocate_tier(const std::vector<std::uint32_t>& members, Options options);
  void level(const std::vector<std::uint32_t>& members, int sweeps, std::span<const double> before,
             double least);
  void fill(const std::vector<std::uint32_t>& members, const std::vector<std::vector<double>>* splits);
  void add_load(std::uint32_t demand, std::size_t path, double amount);
  bool full(Resource resource) const {
    return capacity_[resource] - load_[resource] <= capacity_[resource] * kSlack;
  }

  static constexpr double kSlack = 1e-9;
  std::span<const double> capacity_;
  std::span<const Demand> demands_;
  std::vector<std::vector<double>> flow_;
  std::vector<double> load_;
};

}  // namespace qanat::te
