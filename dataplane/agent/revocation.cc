#include "dataplane/agent/revocation.hh"

#include <algorithm>

#include "identifiers/ids/sid.hh"
#include "identifiers/proto/southbound.pb.h"

namespace qanat::agent {
namespace {

template <class Rows, class Predicate>
void erase_if(Rows& rows, Predicate gone) {
  rows.erase(std::remove_if(rows.begin(), rows.end(), gone), rows.end());
}

}  // namespace

void revoke_nodes(proto::v1::NodeConfig& config, const std::vector<std::uint32_t>& nodes) {
  const auto revoked = [&nodes](std::uint32_t node) {
    return std::binary_search(nodes.begin(), nodes.end(), node);
  };
  erase_if(*config.mutable_nodes(), [&](const auto& n) { return revoked(n.node_id()); });
  for (auto& policy : *config.mutable_policies()) {
    erase_if(*policy.mutable_paths(), [&](const auto& path) {
      return std::any_of(path.segments().begin(), path.segments().end(),
                         [&](std::uint32_t sid) { return revoked(ids::Sid{sid}.node().value); });
    });
  }
  erase_if(*config.mutable_policies(),
           [](const auto& policy) { return policy.paths().empty() && policy.planes() == 0; });
  for (auto& tenant : *config.mutable_tenants()) {
    erase_if(*tenant.mutable_members(), [&](const auto& m) { return revoked(m.node_id()); });
  }
}

}  // namespace qanat::agent
