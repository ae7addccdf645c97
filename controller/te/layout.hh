// Layout: the paths of many demands, one behind the other in flat arrays: levelling and waterfilling go through them
// thousands of times. So only resources that can become full are in them, and of those that the same paths use (links in a
// row) the one with the least capacity alone.
#pragma once

#include <span>
#include <vector>

#include "controller/te/allocation.hh"

namespace qanat::te {

class Layout {
 public:
  Layout(std::span<const Demand> demands, std::span<const double> capacities);

  using PathIndex =
      std::uint32_t;  // over all demands: those of demand d from first_path(d) to first_path(d + 1)
  std::size_t paths() const { return path_begin_.size() - 1; }
  PathIndex first_path(std::size_t demand) const { return demand_begin_[demand]; }
  // Of what can become full; nothing: as much as is asked fits.
  std::span<const Resource> path(PathIndex path) const { return part(resources_, path_begin_, path); }
  // What a demand's paths use, each once; and where in this list a path's resources stand.
  std::span<const Resource> own(std::size_t demand) const { return part(own_, own_begin_, demand); }
  std::span<const std::uint32_t> places(PathIndex path) const { return part(places_, path_begin_, path); }
  // The demands that have a path over it.
  std::span<const std::uint32_t> users(Resource resource) const {
    return part(users_, users_begin_, resource);
  }

 private:
  static std::vector<char> may_fill(std::span<const Demand> demands, std::span<const double> capacities);
  template <typename T>
  static std::span<const T> part(const std::vector<T>& all, const std::vector<std::uint32_t>& begin,
                                 std::size_t at) {
    return std::span(all).subspan(begin[at], begin[at + 1] - begin[at]);
  }
  std::vector<Resource> resources_;
  std::vector<std::uint32_t> places_;
  std::vector<std::uint32_t> path_begin_{0};
  std::vector<PathIndex> demand_begin_{0};
  std::vector<Resource> own_;
  std::vector<std::uint32_t> own_begin_{0};
  std::vector<std::uint32_t> users_;
  std::vector<std::uint32_t> users_begin_;
};

}  // namespace qanat::te
