#include "controller/paths/affected.hh"

namespace qanat::paths {

// A candidate is headend → endpoint, headend → relay → endpoint or headend → relay → relay → endpoint.
Affected::Affected(const topology::Topology& topology, std::span<const telemetry::LinkKey> changed) {
  const auto nodes = topology.nodes();
  from_.resize(nodes.size());
  to_.resize(nodes.size());
  for (const telemetry::LinkKey& key : changed) {
    const auto from = topology.index_of(key.from), to = topology.index_of(key.to);
    if (!from || !to) continue;
    direct_.emplace_back(*from, *to);
    const auto relays = [&](topology::Index i) { return nodes[i].relay || nodes[i].resting; };
    if (relays(*to)) from_[*from] = true;
    if (relays(*from)) to_[*to] = true;
    if (relays(*from) && relays(*to)) all_ = true;
  }
  std::sort(direct_.begin(), direct_.end());
}

}  // namespace qanat::paths
