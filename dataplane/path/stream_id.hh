// StreamId: whose packets share one stream sequence (wire.md §4), and how those 48-bit numbers compare.
// One sender, one tier, one bucket: so a stream lives on one worker, whatever paths and keys its packets took.
#pragma once

#include <compare>
#include <cstdint>

#include "identifiers/ids/node_id.hh"
#include "identifiers/ids/tier.hh"

namespace qanat::path {

struct StreamId {
  ids::NodeId peer;  // the sender
  ids::Tier tier{};
  std::uint8_t bucket = 0;
  constexpr std::uint64_t packed() const noexcept {
    return std::uint64_t{peer.value} << 16 | std::uint64_t{static_cast<std::uint8_t>(tier)} << 8 | bucket;
  }
  auto operator<=>(const StreamId&) const = default;
};

inline constexpr std::uint64_t kSequenceMask = (std::uint64_t{1} << 48) - 1;

// How far `a` lies ahead of `b`, on the circle of 2^48: negative when behind (RFC 1982's arithmetic).
constexpr std::int64_t sequence_distance(std::uint64_t a, std::uint64_t b) noexcept {
  return static_cast<std::int64_t>((a - b) << 16) >> 16;
}

}  // namespace qanat::path
