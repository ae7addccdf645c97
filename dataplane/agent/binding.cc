#include "dataplane/agent/binding.hh"

#include <algorithm>

#include "identifiers/proto/config_state.hh"
#include "identifiers/proto/southbound.pb.h"

namespace qanat::agent {
namespace {

bool same_binding(const proto::v1::NodeRecord& a, const proto::v1::NodeRecord& b) {
  return a.node_id() == b.node_id() && a.domain_id() == b.domain_id() &&
         a.x25519_public() == b.x25519_public() && a.binding_signature() == b.binding_signature();
}

}  // namespace

std::vector<std::string> check_bindings(const proto::v1::NodeConfig& config,
                                        const proto::v1::NodeConfig* checked, std::uint32_t domain,
                                        const std::vector<std::array<std::uint8_t, 32>>& cas) {
  std::vector<std::string> problems;
  for (const auto& record : config.nodes()) {
    if (record.domain_id() != domain) continue;
    if (checked) {
      const auto& known = checked->nodes();
      const auto at = std::lower_bound(known.begin(), known.end(), record.node_id(),
                                       [](const auto& n, std::uint32_t id) { return n.node_id() < id; });
      if (at != known.end() && same_binding(*at, record)) continue;
    }
    const auto bound_by = [&record](const auto& ca) {
      return proto::verify(proto::binding_signing_input(record), record.binding_signature(), ca);
    };
    if (record.x25519_public().size() == 32 && std::any_of(cas.begin(), cas.end(), bound_by)) continue;
    problems.push_back("node " + std::to_string(record.node_id()) + " (" + record.name() +
                       "): its key is not bound by this domain's CA");
  }
  return problems;
}

}  // namespace qanat::agent
