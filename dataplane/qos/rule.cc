#include "dataplane/qos/rule.hh"

#include <pcap/bpf.h>

#include <cstddef>

namespace qanat::qos {

static_assert(sizeof(BpfInstruction) == sizeof(bpf_insn) &&
              offsetof(BpfInstruction, k) == offsetof(bpf_insn, k) &&
              offsetof(BpfInstruction, jump_true) == offsetof(bpf_insn, jt));

namespace {

const bpf_insn* instructions(const std::vector<BpfInstruction>& program) {
  return reinterpret_cast<const bpf_insn*>(program.data());
}

bool holds(const Rule& rule, ids::Vni vni, const packet::IpView& view, packet::Bytes packet) {
  if (rule.tenant && *rule.tenant != vni) return false;
  if (rule.dscp && *rule.dscp != view.dscp()) return false;
  if (rule.protocol && *rule.protocol != view.protocol) return false;
  if (rule.source && !rule.source->contains(view.source)) return false;
  if (rule.destination && !rule.destination->contains(view.destination)) return false;
  if (!rule.source_ports.all() || !rule.destination_ports.all()) {
    const bool ports = view.protocol == packet::kProtocolTcp || view.protocol == packet::kProtocolUdp;
    if (!ports || view.fragment || !rule.source_ports.holds(view.source_port) ||
        !rule.destination_ports.holds(view.destination_port))
      return false;
  }
  if (rule.program.empty()) return true;
  const auto size = static_cast<u_int>(packet.size());
  return ::bpf_filter(instructions(rule.program), packet.data(), size, size) != 0;
}

}  // namespace

std::optional<ids::Tier> RuleSet::match(ids::Vni vni, const packet::IpView& view,
                                        packet::Bytes packet) const noexcept {
  for (const Rule& rule : rules_)
    if (holds(rule, vni, view, packet)) return rule.tier;
  return std::nullopt;
}

bool valid_program(const std::vector<BpfInstruction>& program) noexcept {
  return !program.empty() && ::bpf_validate(instructions(program), static_cast<int>(program.size())) != 0;
}

}  // namespace qanat::qos
