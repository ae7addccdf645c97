#include "controller/te/layout.hh"

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
}

}  // namespace qanat::te
