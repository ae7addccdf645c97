// Revocation outlives a rollback: an older configuration comes back without the nodes that were denied since.
// DESIGN §3: relays hold a monotonic deny set, and revocation never waits.
#pragma once

#include <cstdint>
#include <vector>

namespace qanat::proto::v1 {
class NodeConfig;
}

namespace qanat::agent {

// Takes the given nodes (ascending) out of `config`: no peers, no tenant members, no lists through or to them.
void revoke_nodes(proto::v1::NodeConfig& config, const std::vector<std::uint32_t>& nodes);

}  // namespace qanat::agent
