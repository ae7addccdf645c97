// Acl: which of a tenant's members may open which flows to which, by labels. Default deny: a flow that no rule allows is
// not opened; packets of flows that were opened are the forwarder's to know (forwarder/flow_table.hh).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "dataplane/packet/ip_view.hh"
#include "identifiers/ids/acl_rule.hh"
#include "identifiers/ids/node_id.hh"

namespace qanat::fib {

using AclRule = ids::AclRule;

class Acl {
 public:
  static constexpr std::size_t kMaxLabels = 64;

  Acl() = default;
  // The first rule that fits decides. `labels` of each member; at most kMaxLabels different ones.
  Acl(const std::vector<AclRule>& rules, const std::map<ids::NodeId, std::vector<std::string>>& labels);

  // Whether `from` may open the flow that `view` is a packet of. Fragments have no ports: only rules over all ports fit.
  bool opens(ids::NodeId from, ids::NodeId to, const packet::IpView& view) const noexcept {
    return opens(from, to, view.protocol, view.destination_port, !view.fragment);
  }
  bool opens(ids::NodeId from, ids::NodeId to, std::uint8_t protocol, std::uint16_t destination_port,
             bool has_ports = true) const noexcept;

 private:
  struct Rule {
    std::uint64_t from = 0;  // 0: any
    std::uint64_t to = 0;
    bool nobody = false;  // names a label that no member has
    bool allow = true;
    std::uint8_t protocol = 0;
    std::uint16_t first_port = 0;
    std::uint16_t last_port = 65535;
  };
  std::uint64_t labels_of(ids::NodeId node) const noexcept;

  std::vector<Rule> rules_;
  std::vector<std::pair<ids::NodeId, std::uint64_t>> labels_;  // ascending node
};

}  // namespace qanat::fib
