#include "dataplane/fib/acl.hh"

#include <algorithm>

namespace qanat::fib {

Acl::Acl(const std::vector<AclRule>& rules, const std::map<ids::NodeId, std::vector<std::string>>& labels) {
  std::map<std::string, std::uint64_t> bits;
  for (const auto& [node, names] : labels) {
    std::uint64_t mask = 0;
    for (const std::string& name : names)
      mask |= bits.try_emplace(name, std::uint64_t{1} << std::min(bits.size(), kMaxLabels - 1)).first->second;
    labels_.emplace_back(node, mask);
  }
  for (const AclRule& r : rules) {
    Rule rule;
    const auto bit = [&](const std::string& name) {
      if (name.empty()) return std::uint64_t{0};
      const auto known = bits.find(name);
      if (known != bits.end()) return known->second;
      rule.nobody = true;
      return std::uint64_t{0};
    };
    rule.from = bit(r.from);
    rule.to = bit(r.to);
    rule.allow = r.allow;
    rule.protocol = r.protocol;
    rule.first_port = r.first_port;
    rule.last_port = r.last_port;
    if (!rule.nobody) rules_.push_back(rule);
  }
}

std::uint64_t Acl::labels_of(ids::NodeId node) const noexcept {
  const auto it = std::lower_bound(labels_.begin(), labels_.end(), node,
                                   [](const auto& entry, ids::NodeId n) { return entry.first < n; });
  return it != labels_.end() && it->first == node ? it->second : 0;
}

bool Acl::opens(ids::NodeId from, ids::NodeId to, std::uint8_t protocol, std::uint16_t port,
                bool has_ports) const noexcept {
  const std::uint64_t from_labels = labels_of(from);
  const std::uint64_t to_labels = labels_of(to);
  const bool ported = has_ports && (protocol == packet::kProtocolTcp || protocol == packet::kProtocolUdp);
  for (const Rule& rule : rules_) {
    if (rule.from != 0 && (rule.from & from_labels) == 0) continue;
    if (rule.to != 0 && (rule.to & to_labels) == 0) continue;
    if (rule.protocol != 0 && rule.protocol != protocol) continue;
    const bool all_ports = rule.first_port == 0 && rule.last_port == 65535;
    if (!all_ports && (!ported || port < rule.first_port || port > rule.last_port)) continue;
    return rule.allow;
  }
  return false;
}

}  // namespace qanat::fib
