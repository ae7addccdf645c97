#include "controller/te/layout.hh"

#include <numeric>

namespace qanat::te {

Layout::Layout(std::span<const Demand> demands, std::size_t resources) {
  std::vector<std::uint32_t> seen_by(resources, 0),
      place(resources, 0);  // the last demand that used it, plus one
  for (std::uint32_t d = 0; d < demands.size(); ++d) {
    const std::size_t begin = own_.size();
    for (const auto& path : demands[d].paths) {
      for (const Resource r : path) {
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
