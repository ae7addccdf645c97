// Affected: which pairs' paths may differ after some links changed: those that the links could be part of. All others have
// the same candidates as before, so leaving them out gives the same bytes as computing everything.
#pragma once

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "controller/topology/topology.hh"

namespace qanat::paths {

class Affected {
 public:
  static Affected everything() { return Affected(true); }
  // Keys of nodes that the topology does not have are passed over: a change of nodes affects everything.
  Affected(const topology::Topology& topology, std::span<const telemetry::LinkKey> changed);

  bool pair(topology::Index from, topology::Index to) const {
    return all_ || from_[from] || to_[to] ||
           std::binary_search(direct_.begin(), direct_.end(), std::pair(from, to));
  }
  bool all() const { return all_; }

 private:
  explicit Affected(bool all) : all_(all) {}
  bool all_ = false;
  std::vector<bool> from_;  // a link to a relay changed: everything this headend reaches
  std::vector<bool> to_;    // a link from a relay changed: everything that reaches this endpoint
  std::vector<std::pair<topology::Index, topology::Index>> direct_;  // the link of the pair itself; ascending
};

}  // namespace qanat::paths
