#include "tools/lab/chaos/link_faults.hh"

namespace qanat::chaos {

LinkFaults::LinkFaults(const lab::Topology& topology) {
  for (const auto& link : topology.links) topology_[link.name] = {link.up, link.down};
}

void LinkFaults::set(std::uint64_t owner, const std::string& link, const std::string& direction,
                     const std::string& items) {
  layers_[link].push_back({owner, direction, items});
}

void LinkFaults::clear(std::uint64_t owner, const std::string& link) {
  std::erase_if(layers_[link], [&](const Layer& layer) { return layer.owner == owner; });
  if (layers_[link].empty()) layers_.erase(link);
}

LinkFaults::Specs LinkFaults::specs(const std::string& link) const {
  Specs specs = topology_.at(link);
  const auto it = layers_.find(link);
  if (it == layers_.end()) return specs;
  const auto lay = [](linkem::Spec& spec, const std::string& items) {
    if (const auto changed = linkem::parse_spec(items, spec)) spec = *changed;
  };
  for (const auto& layer : it->second) {
    if (layer.direction != "down") lay(specs.up, layer.items);
    if (layer.direction != "up") lay(specs.down, layer.items);
  }
  return specs;
}

bool LinkFaults::disturbed(const std::string& link) const { return layers_.count(link) != 0; }

std::vector<std::string> LinkFaults::disturbed() const {
  std::vector<std::string> out;
  for (const auto& [link, layers] : layers_) out.push_back(link);
  return out;
}

}  // namespace qanat::chaos
