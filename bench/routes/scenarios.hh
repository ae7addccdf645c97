// The benches of path computation that follow measurements over time or over domains.
#pragma once

#include <string>
#include <vector>

namespace qanat::bench {

// regret_pct and moved_pct: matrices of one network, one tick each.
void select_over_slices(const std::vector<std::string>& files);
// hier_stretch_pct: domains and at most 64 borders beside the flat optimum.
void hierarchy(const std::vector<std::string>& files);

}  // namespace qanat::bench
