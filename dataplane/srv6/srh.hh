// Srh: the segment routing header of IPv6 (RFC 8754 §2), and the packet around it as an SRv6 node sees it: one bounded
// walk, offsets only, nothing copied.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "dataplane/packet/ip_address.hh"
#include "dataplane/packet/wire.hh"

namespace qanat::srv6 {

inline constexpr std::uint8_t kNextIpv4 = 4;
inline constexpr std::uint8_t kNextIpv6 = 41;
inline constexpr std::uint8_t kNextRouting = 43;
inline constexpr std::uint8_t kNextIcmpV6 = 58;
inline constexpr std::size_t kIpv6HeaderBytes = 40;
inline constexpr std::size_t kSrhFixedBytes = 8;
inline constexpr std::size_t kSidBytes = 16;
// Ours to refuse (RFC 8754 §5 leaves the limit to the domain): nobody's policy is longer, and a list is an amplifier.
inline constexpr std::size_t kMaxListSegments = 16;

//     0                   1                   2                   3
//    | next header   | hdr ext len   | type = 4      | segments left |
//    | last entry    | flags         | tag                           |
//    | segment list[0] (128): the last segment of the path           |
//    | …                                                             |
//    | segment list[last entry]: the first                           |
//    | TLVs: Pad1 (0), PadN (4), HMAC (5)                             |
// A view: `at` is where it starts in its packet.
struct Srh {
  static constexpr std::uint8_t kRoutingType = 4;

  std::uint16_t at = 0;
  std::uint16_t bytes = 0;  // 8 · (hdr ext len + 1)
  std::uint8_t next_header = 0;
  std::uint8_t segments_left = 0;
  std::uint8_t last_entry = 0;
  std::uint8_t flags = 0;
  std::uint16_t tag = 0;
  std::uint16_t hmac_at = 0;  // of the HMAC TLV's type byte; 0: none

  std::size_t entries() const noexcept { return last_entry + std::size_t{1}; }
  std::size_t entry_at(std::size_t i) const noexcept { return at + kSrhFixedBytes + i * kSidBytes; }
  packet::IpAddress entry(packet::Bytes packet, std::size_t i) const noexcept {
    return packet::IpAddress::from_bytes(packet::IpFamily::V6, packet.data() + entry_at(i));
  }

  // `at` points at the header inside `packet`. Srv6Malformed: not of type 4, longer than the packet, a list that
  // overruns the header or has more than kMaxListSegments entries, TLVs that overrun it, two HMAC TLVs.
  // Segments left is not judged here: RFC 8986 §4.1 answers it with an ICMP error.
  static packet::OrDrop<Srh> parse(packet::Bytes packet, std::size_t at) noexcept;
};

// An IPv6 packet addressed to a SID.
struct OuterView {
  packet::IpAddress source;
  packet::IpAddress destination;
  std::uint8_t traffic_class = 0;
  std::uint8_t hop_limit = 0;
  std::uint16_t total_bytes = 0;  // by the IPv6 header; never longer than the span
  std::optional<Srh> srh;
  std::uint16_t srh_link_at = 0;    // the byte that says "a routing header follows"
  std::uint8_t upper = 0;           // protocol of what follows all extension headers
  std::uint16_t upper_at = 0;       // and where it stands
  std::uint16_t upper_link_at = 0;  // the next-header byte that named it

  // Srv6Malformed: not IPv6, cut short, more than four extension headers, a routing header that is no SRH or a second
  // one. A fragment is no SRv6 packet: its header is reported as the upper layer.
  static packet::OrDrop<OuterView> parse(packet::Bytes packet) noexcept;
};

}  // namespace qanat::srv6
