// Datagram types, sizes and limits of docs/specifications/wire.md, in one block.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/packet/drop_reason.hh"

namespace qanat::packet {

using Bytes = std::span<const std::uint8_t>;
using MutableBytes = std::span<std::uint8_t>;

enum class DatagramType : std::uint8_t {
  HandshakeInit = 1,
  HandshakeResponse = 2,
  CookieReply = 3,
  Sealed = 4,
  Routed = 5,
};

inline constexpr std::size_t kHandshakeInitBytes = 148;
inline constexpr std::size_t kHandshakeResponseBytes = 92;
inline constexpr std::size_t kCookieReplyBytes = 64;
inline constexpr std::size_t kTagBytes = 16;
inline constexpr std::size_t kSealedHeaderBytes = 20;
inline constexpr std::size_t kInnerHeaderBytes = 14;
inline constexpr std::size_t kLinkHeaderBytes = 16;
inline constexpr std::size_t kMinSealedBytes = kSealedHeaderBytes + kInnerHeaderBytes + kTagBytes;
inline constexpr std::size_t kSealedOverheadBytes = kMinSealedBytes;  // around an inner packet, direct

inline constexpr std::size_t kMaxSegments = 8;
inline constexpr std::size_t kMinSegments = 2;
inline constexpr std::uint8_t kInitialHopLimit = 16;
inline constexpr std::size_t kInnerMtu = 1340;         // over an IPv4 underlay of 1500
inline constexpr std::size_t kMaxPacketBytes = 65535;  // of a tenant's packet, before any path is known
inline constexpr std::uint8_t kControlBucket = 255;    // probes and relayed handshakes
inline constexpr std::size_t kFlowBuckets = 255;       // 0 … 254 carry tenants' flows
inline constexpr std::uint32_t kExpirySlackSeconds = 300;

// Bytes of a route header with n segments (wire.md §5).
constexpr std::size_t route_header_bytes(std::size_t n) noexcept { return 16 + 4 * n + 8 * (n - 1); }
inline constexpr std::size_t kMaxRouteHeaderBytes = route_header_bytes(kMaxSegments);
// What a list of n segments puts before the inner datagram.
constexpr std::size_t routed_overhead_bytes(std::size_t n) noexcept {
  return kLinkHeaderBytes + route_header_bytes(n) + kTagBytes;
}
inline constexpr std::size_t kMaxRoutedOverheadBytes = routed_overhead_bytes(kMaxSegments);

// The type of an outer datagram, if its length is possible for that type (`Malformed` otherwise). `nested`:
// it stands inside a routed datagram, where only types 1, 2 and 4 may.
OrDrop<DatagramType> classify(Bytes datagram, bool nested = false) noexcept;

}  // namespace qanat::packet
