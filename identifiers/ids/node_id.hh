// NodeId and DomainId: who a box is and whose. Assigned by the domain controller at enrolment, never reused.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace qanat::ids {

// 24-bit node number, 1 … 2^24−1, unique over all domains; 0 is "no node". Text form: "n17".
struct NodeId {
  std::uint32_t value = 0;
  static constexpr std::uint32_t kMax = 0xffffff;
  constexpr bool valid() const { return value != 0 && value <= kMax; }
  constexpr auto operator<=>(const NodeId&) const = default;
};
std::string to_string(NodeId id);
std::optional<NodeId> parse_node_id(std::string_view text);

// 16-bit domain number, 1 … 65535; 0 is the global level. Text form: "d3".
struct DomainId {
  std::uint16_t value = 0;
  constexpr auto operator<=>(const DomainId&) const = default;
};
std::string to_string(DomainId id);
std::optional<DomainId> parse_domain_id(std::string_view text);

}  // namespace qanat::ids

template <>
struct std::hash<qanat::ids::NodeId> {
  std::size_t operator()(qanat::ids::NodeId id) const noexcept {
    return std::hash<std::uint32_t>{}(id.value);
  }
};
template <>
struct std::hash<qanat::ids::DomainId> {
  std::size_t operator()(qanat::ids::DomainId id) const noexcept {
    return std::hash<std::uint16_t>{}(id.value);
  }
};
