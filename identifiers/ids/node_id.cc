#include "identifiers/ids/node_id.hh"

#include "identifiers/ids/number_text.hh"

namespace qanat::ids {

std::string to_string(NodeId id) { return "n" + std::to_string(id.value); }

std::optional<NodeId> parse_node_id(std::string_view text) {
  if (!text.starts_with('n')) return std::nullopt;
  const auto number = parse_number(text.substr(1), NodeId::kMax);
  if (!number || *number == 0) return std::nullopt;
  return NodeId{*number};
}

std::string to_string(DomainId id) { return "d" + std::to_string(id.value); }

std::optional<DomainId> parse_domain_id(std::string_view text) {
  if (!text.starts_with('d')) return std::nullopt;
  const auto number = parse_number(text.substr(1), 0xffff);
  if (!number) return std::nullopt;
  return DomainId{static_cast<std::uint16_t>(*number)};
}

}  // namespace qanat::ids
