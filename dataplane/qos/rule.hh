// Rule: what the operator says about which flows belong to which tier; RuleSet: all of them, in order, the first that
// fits decides. Capture-filter expressions arrive compiled: here they only run.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/packet/ip_view.hh"
#include "identifiers/ids/tier.hh"
#include "identifiers/ids/vni.hh"

namespace qanat::qos {

// One instruction of classic BPF, as libpcap and the kernel lay it out.
struct BpfInstruction {
  std::uint16_t code = 0;
  std::uint8_t jump_true = 0;
  std::uint8_t jump_false = 0;
  std::uint32_t k = 0;
};

struct PortRange {
  std::uint16_t first = 0;
  std::uint16_t last = 65535;
  bool all() const { return first == 0 && last == 65535; }
  bool holds(std::uint16_t port) const { return first <= port && port <= last; }
};

// Every condition that is set has to hold. Ports hold of TCP and UDP only, and of no fragment.
struct Rule {
  std::optional<ids::Vni> tenant;
  std::optional<std::uint8_t> dscp;
  std::optional<std::uint8_t> protocol;
  std::optional<packet::IpPrefix> source;
  std::optional<packet::IpPrefix> destination;
  PortRange source_ports;
  PortRange destination_ports;
  std::vector<BpfInstruction> program;  // over the IP packet (DLT_RAW); empty: none
  ids::Tier tier{};
};

// Immutable; may be shared by threads.
class RuleSet {
 public:
  RuleSet() = default;
  explicit RuleSet(std::vector<Rule> rules) : rules_(std::move(rules)) {}

  bool empty() const { return rules_.empty(); }
  // `packet` is the whole IP packet that `view` was parsed from.
  std::optional<ids::Tier> match(ids::Vni vni, const packet::IpView& view,
                                 packet::Bytes packet) const noexcept;

 private:
  std::vector<Rule> rules_;
};

// Whether a compiled expression can be run safely: only instructions that are known, only forward jumps, and an end.
bool valid_program(const std::vector<BpfInstruction>& program) noexcept;

}  // namespace qanat::qos
