#include "dataplane/qos/rule.hh"

#include <pcap/bpf.h>

#include <algorithm>
#include <array>
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

// libpcap's bpf_validate lets backward jumps pass, for its own protochain loops, and its bpf_filter aborts on opcodes
// that it does not know.
bool valid_program(const std::vector<BpfInstruction>& program) noexcept {
  static constexpr std::array<std::uint8_t, 49> kOpcodes{
      0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x0c, 0x14, 0x15, 0x16, 0x1c, 0x1d, 0x20, 0x24, 0x25,
      0x28, 0x2c, 0x2d, 0x30, 0x34, 0x35, 0x3c, 0x3d, 0x40, 0x44, 0x45, 0x48, 0x4c, 0x4d, 0x50, 0x54, 0x5c,
      0x60, 0x61, 0x64, 0x6c, 0x74, 0x7c, 0x80, 0x81, 0x84, 0x87, 0x94, 0x9c, 0xa4, 0xac, 0xb1};
  for (std::size_t at = 0; at < program.size(); ++at) {
    const BpfInstruction& i = program[at];
    if (i.code > 0xff || !std::binary_search(kOpcodes.begin(), kOpcodes.end(), i.code)) return false;
    if (i.code == BPF_JMP + BPF_JA && i.k >= program.size() - at) return false;
  }
  return !program.empty() && ::bpf_validate(instructions(program), static_cast<int>(program.size())) != 0;
}

}  // namespace qanat::qos
