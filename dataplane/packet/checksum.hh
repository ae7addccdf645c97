// The Internet checksum (RFC 1071), pseudo-headers (RFC 793, RFC 8200 §8.1), and the slow path that completes
// a checksum which a kernel left partial. The fast path never sums a payload: the seal protects it.
#pragma once

#include <cstdint>

#include "dataplane/packet/ip_view.hh"
#include "dataplane/packet/virtio_header.hh"
#include "dataplane/packet/wire.hh"

namespace qanat::packet {

// Ones' complement sum of `bytes` added to `sum`, not folded. `bytes` starts at an even offset of what is
// summed.
std::uint64_t checksum_add(std::uint64_t sum, Bytes bytes) noexcept;
// Folded to 16 bits, not complemented, host order.
std::uint16_t checksum_fold(std::uint64_t sum) noexcept;

// Unfolded sum of the pseudo-header without the transport length; add the length and fold.
std::uint64_t pseudo_header_sum(const IpView& view) noexcept;
// What a partial checksum field holds for `transport_bytes` of transport header and payload.
std::uint16_t partial_checksum(const IpView& view, std::uint32_t transport_bytes) noexcept;

// The offset of the checksum inside a TCP (16) or UDP (6) header, 0 for others.
constexpr std::uint16_t checksum_field_offset(std::uint8_t protocol) noexcept {
  return protocol == kProtocolTcp ? 16 : protocol == kProtocolUdp ? 6 : 0;
}

// IPv4 header checksum over `header`, its checksum field taken as zero; host order, ready to store.
std::uint16_t ipv4_header_checksum(Bytes header) noexcept;

// True when a TCP or UDP packet's complete checksum is right (a UDP checksum of zero over IPv4 is "none":
// true).
bool transport_checksum_valid(const IpView& view, Bytes packet) noexcept;

// Completes what NEEDS_CSUM describes, in place: the field holds the pseudo-header sum, everything from
// checksum_start on is summed. False when start or offset lie outside the packet.
bool complete_checksum(const VirtioHeader& header, MutableBytes packet) noexcept;
// The same for an opened inner packet whose sealed bit says partial; false when it is neither TCP nor UDP.
bool complete_checksum(const IpView& view, MutableBytes packet) noexcept;

}  // namespace qanat::packet
