#include "controller/te/layout.hh"

#include <algorithm>
#include <bit>

namespace qanat::te {
namespace {

constexpr double kLeast = 1e-6;  // a capacity: others divide by it

}  // namespace

std::vector<Layout::Use> Layout::uses(std::span<const Demand> demands, std::size_t resources) {
  std::vector<Use> out(resources);
  std::uint64_t number = 0;
  for (std::uint32_t d = 0; d < demands.size(); ++d) {
    for (const auto& path : demands[d].paths) {
      std::uint64_t mark = ++number * 0x9e3779b97f4a7c15ull;
      mark = (mark ^ mark >> 32) * 0xd6e8feb86659fd93ull;
      mark ^= mark >> 32;
      for (const Resource r : path) {
        Use& use = out[r];
        use.paths += mark;
        use.most += use.last == d + 1 ? 0.0 : demands[d].rate;
        use.last = d + 1;
        ++use.count;
      }
    }
  }
  return out;
}

// A resource that all who have a path over it together cannot fill limits nobody. Of several that stand on exactly the
// same paths only the smallest does: the first of them where they are equal.
std::vector<std::uint8_t> Layout::may_fill(std::span<const Use> uses, std::span<const double> capacities) {
  std::vector<std::uint8_t> out(capacities.size(), false);
  std::vector<Resource> slots(std::bit_ceil(2 * capacities.size() + 1));  // by paths; a resource plus one
  for (Resource r = 0; r < capacities.size(); ++r) {
    if (uses[r].most <= capacities[r]) continue;
    std::size_t at = uses[r].paths & (slots.size() - 1);
    while (slots[at] != 0 &&
           (uses[slots[at] - 1].paths != uses[r].paths || uses[slots[at] - 1].count != uses[r].count))
      at = (at + 1) & (slots.size() - 1);
    if (slots[at] != 0) {
      if (capacities[slots[at] - 1] <= capacities[r]) continue;
      out[slots[at] - 1] = false;
    }
    slots[at] = r + 1;
    out[r] = true;
  }
  return out;
}

Layout::Layout(std::span<const Demand> demands, std::span<const double> capacities) {
  const std::vector<Use> use = uses(demands, capacities.size());
  const std::vector<std::uint8_t> matters = may_fill(use, capacities);
  std::vector<Resource> number(capacities.size());  // the new ones
  std::size_t kept = 0;
  for (Resource r = 0; r < capacities.size(); ++r) {
    if (!matters[r]) continue;
    number[r] = static_cast<Resource>(capacities_.size());
    capacities_.push_back(std::max(capacities[r], kLeast));
    kept += use[r].count;
  }

  std::size_t paths = 0;
  for (const Demand& demand : demands) paths += demand.paths.size();
  demand_of_.reserve(paths);
  path_begin_.reserve(paths + 1);
  demand_begin_.reserve(demands.size() + 1);
  // All are written, one over the other where the first does not matter: there is no telling beforehand which will.
  resources_ = std::make_unique_for_overwrite<Resource[]>(kept + 1);
  std::uint32_t end = 0;
  for (std::uint32_t d = 0; d < demands.size(); ++d) {
    demand_begin_.push_back(static_cast<PathIndex>(demand_of_.size()));
    for (const auto& path : demands[d].paths) {
      path_begin_.push_back(end);
      for (const Resource r : path) {
        resources_[end] = number[r];
        end += matters[r];
      }
      demand_of_.push_back(d);
    }
  }
  path_begin_.push_back(end);
  demand_begin_.push_back(static_cast<PathIndex>(demand_of_.size()));
}

}  // namespace qanat::te
