// IpView: what the dataplane needs to know of a tenant's IPv4 or IPv6 packet, from one bounded walk over its
// headers.
#pragma once

#include <cstdint>

#include "dataplane/packet/ip_address.hh"
#include "dataplane/packet/wire.hh"

namespace qanat::packet {

inline constexpr std::uint8_t kProtocolTcp = 6;
inline constexpr std::uint8_t kProtocolUdp = 17;
inline constexpr std::uint8_t kProtocolIcmp = 1;
inline constexpr std::uint8_t kProtocolIcmpV6 = 58;
inline constexpr unsigned kMaxExtensionHeaders = 8;  // RFC 8200 §4 lists six in order; more is an attack

// Offsets count from the packet's first byte. Nothing is owned.
struct IpView {
  IpFamily family = IpFamily::V4;
  std::uint8_t traffic_class = 0;  // DSCP (6) ‖ ECN (2)
  std::uint8_t hop_limit = 0;
  std::uint8_t protocol = 0;           // of the transport header, after IPv6 extension headers
  bool fragment = false;               // any piece of a fragmented packet, the first included
  bool has_extensions = false;         // IPv4 options or IPv6 extension headers
  std::uint16_t transport_offset = 0;  // where the transport header (or a later fragment's bytes) starts
  std::uint16_t total_bytes = 0;       // by the IP header; the span may be longer (padding), never shorter
  std::uint16_t source_port = 0;       // TCP and UDP, not in fragments; 0 otherwise
  std::uint16_t destination_port = 0;
  IpAddress source;
  IpAddress destination;

  std::uint8_t dscp() const noexcept { return traffic_class >> 2; }
  std::uint8_t ecn() const noexcept { return traffic_class & 3; }
  std::uint16_t transport_bytes() const noexcept {
    return static_cast<std::uint16_t>(total_bytes - transport_offset);
  }

  // InnerMalformed: version, header or total length, extension headers that loop, overrun or are too many, a
  // transport header cut short outside a fragment, an IPv4-mapped IPv6 address. `super_packet`: a TSO packet,
  // whose IPv6 payload length may be 0 and IPv4 total length is then taken from the span.
  static OrDrop<IpView> parse(Bytes packet, bool super_packet = false) noexcept;

  // This view, of `before`, becomes that of `packet` where the two are of one TCP or UDP flow and look alike but for their
  // lengths, as neighbours in a train do: then it is what parse() would say, at a third of its cost. False: ask parse().
  bool follow(Bytes before, Bytes packet) noexcept;

  bool operator==(const IpView&) const = default;
};

// Symmetric: both directions of a flow, and both ends, compute the same. Fragments hash without ports.
std::uint32_t flow_hash(const IpView& view) noexcept;
// 0 … 254; 255 is kept for control (wire.md §1).
std::uint8_t bucket_of(const IpView& view) noexcept;

}  // namespace qanat::packet
