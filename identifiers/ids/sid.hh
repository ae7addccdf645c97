// Sid: one segment of a list, as carried in the route header: which node, and what it does there (RFC 8986 §3).
// 32 bits, network order on the wire: node (24) ‖ function (8).
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "identifiers/ids/node_id.hh"

namespace qanat::ids {

// A line of a box belongs to a plane (operator network): 1 … 15; 0 means "whichever is best".
struct PlaneId {
  std::uint8_t value = 0;
  static constexpr std::uint8_t kMax = 15;
  constexpr auto operator<=>(const PlaneId&) const = default;
};

struct Sid {
  std::uint32_t value = 0;

  static constexpr Sid end(NodeId node) { return Sid{node.value << 8}; }
  // End.X: forward to the next segment over this node's line on `plane` (RFC 8986 §4.2).
  static constexpr Sid end_x(NodeId node, PlaneId plane) { return Sid{node.value << 8 | plane.value}; }

  constexpr NodeId node() const { return NodeId{value >> 8}; }
  constexpr PlaneId plane() const { return PlaneId{static_cast<std::uint8_t>(value & 0x0f)}; }
  constexpr bool valid() const { return node().valid() && (value & 0xf0) == 0; }
  constexpr auto operator<=>(const Sid&) const = default;
};
// "n17" (End) or "n17:x2" (End.X over plane 2).
std::string to_string(Sid sid);
std::optional<Sid> parse_sid(std::string_view text);

}  // namespace qanat::ids

template <>
struct std::hash<qanat::ids::Sid> {
  std::size_t operator()(qanat::ids::Sid s) const noexcept { return std::hash<std::uint32_t>{}(s.value); }
};
template <>
struct std::hash<qanat::ids::PlaneId> {
  std::size_t operator()(qanat::ids::PlaneId p) const noexcept { return p.value; }
};
