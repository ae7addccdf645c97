#include "controller/paths/affected.hh"

namespace qanat::paths {

// A candidate is headend → endpoint, headend → relay → endpoint or headend → relay → relay → endpoint.
Affected::Affected(const topology::Topology& topology, std::span<const telemetry::LinkKey> changed) {
  const auto nodes = topology.nodes();
  from_.resize(nodes.size());
  to_.resize(nodes.size());
  direct_.resize(nodes.size() * nodes.size());
  for (const telemetry::LinkKey& key : changed) {
    const auto from = topology.index_of(key.from), to = topology.index_of(key.to);
    if (!from || !to) continue;
    direct_[*from * nodes.size() + *to] = true;
    if (nodes[*to].relay) from_[*from] = true;
    if (nodes[*from].relay) to_[*to] = true;
    if (nodes[*from].relay && nodes[*to].relay) all_ = true;
  }
}

}  // namespace qanat::paths
