// RouteHeader: the source route of a datagram that crosses relays (wire.md §5), readable by each hop in turn
// only.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <span>
#include <string>

#include "dataplane/packet/wire.hh"
#include "identifiers/ids/node_id.hh"
#include "identifiers/ids/sid.hh"
#include "identifiers/ids/tier.hh"

namespace qanat::packet {

//    | version 1 (4) | tier (4)      | segments n    | pointer       | hop limit     |
//    | headend node id (32)                                          |
//    | expiry, Unix seconds (32)                                     |
//    | token epoch (8) | reserved (24)                               |
//    | segment[0] (32) … segment[n−1] (32)                           |
//    | token[0] (64) … token[n−2] (64)                               |
// `pointer` names the segment that the datagram is travelling to.
struct RouteHeader {
  static constexpr std::uint8_t kVersion = 1;

  ids::Tier tier = ids::Tier::Bulk;
  std::uint8_t count = 0;  // n, 2 … 8
  std::uint8_t pointer = 0;
  std::uint8_t hop_limit = kInitialHopLimit;
  ids::NodeId headend;
  std::uint32_t expiry_unix_s = 0;
  std::uint8_t token_epoch = 0;
  std::array<ids::Sid, kMaxSegments> segments{};         // the first n count
  std::array<std::uint64_t, kMaxSegments - 1> tokens{};  // the first n−1 count

  std::size_t bytes() const noexcept { return route_header_bytes(count); }
  std::span<const ids::Sid> list() const noexcept { return {segments.data(), count}; }
  ids::Sid current() const noexcept { return segments[pointer]; }
  bool at_endpoint() const noexcept { return pointer + 1 == count; }
  // Who must have sent it here: the node before `pointer`, or the headend.
  ids::NodeId previous_hop() const noexcept { return pointer == 0 ? headend : segments[pointer - 1].node(); }

  // `route` is exactly the opened route header. RouteMalformed: version, tier, count, size, invalid ids;
  // RouteLoop: a node repeats or is the headend; Pointer: not inside the list; HopLimit: arrived as zero.
  static OrDrop<RouteHeader> parse(Bytes route) noexcept;
  // Writes bytes() to `out`. The header is valid (count, pointer in range).
  void serialize(MutableBytes out) const noexcept;
  auto operator<=>(const RouteHeader&) const = default;
};
std::string to_string(const RouteHeader& h);

// No node twice, and the headend nowhere: what keeps a list from ping-pong (RFC 5095's lesson).
bool loop_free(ids::NodeId headend, std::span<const ids::Sid> list) noexcept;

}  // namespace qanat::packet
