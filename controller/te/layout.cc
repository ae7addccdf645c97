#include "controller/te/layout.hh"

#include <algorithm>
#include <numeric>
#include <tuple>

namespace qanat::te {

// A resource that all who have a path over it together cannot fill limits nobody. Of several that stand on exactly the
// same paths only the smallest does: paths are told apart by 64 bits each, summed up.
std::vector<char> Layout::may_fill(std::span<const Demand> demands, std::span<const double> capacities) {
  struct Use {
    std::uint64_t paths = 0;
    double most = 0;         // if all of it came here
    std::uint32_t last = 0;  // the last demand that used it, plus one
    std::uint32_t count = 0;
  };
  std::vector<Use> uses(capacities.size());
  std::uint64_t number = 0;
  for (std::uint32_t d = 0; d < demands.size(); ++d) {
    for (const auto& path : demands[d].paths) {
      std::uint64_t mark = ++number * 0x9e3779b97f4a7c15ull;
      mark = (mark ^ mark >> 32) * 0xd6e8feb86659fd93ull;
      mark ^= mark >> 32;
      for (const Resource r : path) {
        Use& use = uses[r];
        use.paths += mark;
        ++use.count;
        if (use.last == d + 1) continue;
        use.last = d + 1;
        use.most += demands[d].rate;
      }
    }
  }
  std::vector<Resource> full;
  for (Resource r = 0; r < capacities.size(); ++r)
    if (uses[r].most > capacities[r]) full.push_back(r);
  std::sort(full.begin(), full.end(), [&](Resource a, Resource b) {
    const Use &x = uses[a], &y = uses[b];
    return std::tie(x.paths, x.count, capacities[a], a) < std::tie(y.paths, y.count, capacities[b], b);
  });
  std::vector<char> out(capacities.size(), false);
  for (std::size_t i = 0; i < full.size(); ++i)
    out[full[i]] = i == 0 || uses[full[i]].paths != uses[full[i - 1]].paths ||
                   uses[full[i]].count != uses[full[i - 1]].count;
  return out;
}

Layout::Layout(std::span<const Demand> demands, std::span<const double> capacities) {
  const std::size_t resources = capacities.size();
  const std::vector<char> matters = may_fill(demands, capacities);
  std::size_t paths = 0;
  for (const Demand& demand : demands) paths += demand.paths.size();
  path_begin_.reserve(paths + 1);
  demand_begin_.reserve(demands.size() + 1);
  own_begin_.reserve(demands.size() + 1);
  std::vector<std::uint32_t> seen_by(resources, 0),
      place(resources, 0);  // the last demand that used it, plus one
  for (std::uint32_t d = 0; d < demands.size(); ++d) {
    const std::size_t begin = own_.size();
    for (const auto& path : demands[d].paths) {
      for (const Resource r : path) {
        if (!matters[r]) continue;
        if (seen_by[r] != d + 1) {
          seen_by[r] = d + 1;
          place[r] = static_cast<std::uint32_t>(own_.size() - begin);
          own_.push_back(r);
        }
        resources_.push_back(r);
        places_.push_back(place[r]);
      }
      path_begin_.push_back(static_cast<std::uint32_t>(resources_.size()));
    }
    demand_begin_.push_back(static_cast<std::uint32_t>(path_begin_.size() - 1));
    own_begin_.push_back(static_cast<std::uint32_t>(own_.size()));
  }
  users_begin_.assign(resources + 1, 0);
  for (const Resource r : own_) ++users_begin_[r + 1];
  std::partial_sum(users_begin_.begin(), users_begin_.end(), users_begin_.begin());
  users_.resize(own_.size());
  std::vector<std::uint32_t> next(users_begin_.begin(), users_begin_.end() - 1);
  for (std::uint32_t d = 0; d < demands.size(); ++d)
    for (const Resource r : own(d)) users_[next[r]++] = d;
}

}  // namespace qanat::te
