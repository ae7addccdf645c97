// Rules over any packet: a program that passes valid_program ends, and reads nothing outside; a flow's answer is the rules'.
#include <cstring>

#include "dataplane/qos/flow_classifier.hh"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace qanat;
  if (size < 2) return 0;
  qos::Rule compiled, ports;
  compiled.tier = ids::Tier::Critical;
  compiled.program.resize(std::min<std::size_t>(data[0] % 16, (size - 2) / 8));
  std::span<const std::uint8_t> packet{data + 2, size - 2};
  for (qos::BpfInstruction& i : compiled.program) {
    std::memcpy(&i, packet.data(), 8);
    packet = packet.subspan(8);
  }
  if (!qos::valid_program(compiled.program)) return 0;
  ports.destination_ports = {0, data[1]};
  ports.tier = ids::Tier::Interactive;
  const auto view = packet::IpView::parse(packet);
  if (!view) return 0;
  const qos::RuleSet rules({compiled, ports});
  qos::FlowClassifier classifier;
  classifier.set_rules(&rules);
  const auto tier = classifier.tier(ids::Vni{1}, *view, packet, base::Time{});
  if (tier != rules.match(ids::Vni{1}, *view, packet).value_or(ids::tier_of_dscp(view->dscp())))
    __builtin_trap();
  return 0;
}
