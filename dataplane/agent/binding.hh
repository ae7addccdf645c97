// Bindings: that an X25519 static key belongs to a node, vouched for by the node's domain CA
// (southbound.proto). A configuration controller that was taken over cannot put its own key under a
// neighbour's name: this domain's bindings are checked against the CA itself. Nodes of other domains have
// only the signed configuration behind them.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace qanat::proto::v1 {
class NodeConfig;
}

namespace qanat::agent {

// Every record of `domain` whose binding verifies under none of `cas` (Ed25519; two while the CA is replaced); empty: all
// are good.
// Records that stand unchanged in `checked` (may be null) are not verified again.
std::vector<std::string> check_bindings(const proto::v1::NodeConfig& config,
                                        const proto::v1::NodeConfig* checked, std::uint32_t domain,
                                        const std::vector<std::array<std::uint8_t, 32>>& cas);

}  // namespace qanat::agent
