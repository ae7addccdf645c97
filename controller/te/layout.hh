// Layout: the paths of many demands, one behind the other in flat arrays: levelling and waterfilling go through them
// thousands of times. So only resources that can become full are in them, and of those that the same paths use (links in a
// row) the one with the least capacity alone. These are numbered anew, from 0.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "controller/te/allocation.hh"

namespace qanat::te {

class Layout {
 public:
  Layout(std::span<const Demand> demands, std::span<const double> capacities);

  using PathIndex =
      std::uint32_t;  // over all demands: those of demand d from first_path(d) to first_path(d + 1)
  std::size_t demands() const { return demand_begin_.size() - 1; }
  std::size_t paths() const { return demand_of_.size(); }
  PathIndex first_path(std::size_t demand) const { return demand_begin_[demand]; }
  std::uint32_t demand_of(PathIndex path) const { return demand_of_[path]; }
  // Of what can become full, by the new numbers; nothing: as much as is asked fits.
  std::span<const Resource> path(PathIndex path) const {
    return {resources_.get() + path_begin_[path], resources_.get() + path_begin_[path + 1]};
  }
  std::span<const double> capacities() const { return capacities_; }

 private:
  // What all demands together are to a resource of the caller's.
  struct Use {
    std::uint64_t paths = 0;  // which: the sum of their marks
    double most = 0;          // its load if all of every demand came here
    std::uint32_t last = 0;   // the last demand seen, plus one
    std::uint32_t count = 0;  // of paths
  };
  static std::vector<Use> uses(std::span<const Demand> demands, std::size_t resources);
  static std::vector<std::uint8_t> may_fill(std::span<const Use> uses, std::span<const double> capacities);

  std::vector<PathIndex> demand_begin_;
  std::vector<std::uint32_t> demand_of_;
  std::unique_ptr<Resource[]> resources_;
  std::vector<std::uint32_t> path_begin_;
  std::vector<double> capacities_;
};

}  // namespace qanat::te
