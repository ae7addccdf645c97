// Instance: a real topology with seeded demands on it, and for each demand the paths it may take.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "controller/te/allocation.hh"

namespace qanat::bench {

struct Instance {
  std::string name;
  std::vector<double> capacities;
  std::vector<te::Demand> demands;
  std::uint64_t hash() const;  // of all of it
};

// `file` is a graph as networkx writes it (nodes, links with source, target, capacity). `count` pairs of nodes drawn by the
// seed, rates by gravity: the product of two nodes' log-normal weights. Paths: up to four, each the shortest by hops when
// links of the ones before count five times. Rates have no scale yet.
Instance make_instance(const std::string& file, std::size_t count, std::uint32_t seed);
void scale(Instance& instance, double factor);

}  // namespace qanat::bench
