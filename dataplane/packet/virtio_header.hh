// VirtioHeader: the 10 bytes that a TUN opened with IFF_VNET_HDR puts before every packet (virtio 1.2 §5.1.6;
// native order).
#pragma once

#include <compare>
#include <cstdint>
#include <string>

#include "dataplane/packet/wire.hh"

namespace qanat::packet {

enum class GsoType : std::uint8_t { None = 0, Tcp4 = 1, Udp = 3, Tcp6 = 4, UdpL4 = 5 };

//    | flags (8) | gso type (8) | header length (16) | gso size (16) | checksum start (16) | checksum offset
//    (16) |
struct VirtioHeader {
  static constexpr std::size_t kBytes = 10;
  static constexpr std::uint8_t kNeedsChecksum = 1;
  static constexpr std::uint8_t kDataValid = 2;
  static constexpr std::uint8_t kGsoEcn =
      0x80;  // in the gso type: the TCP flow uses ECN (CWR on the first segment)

  std::uint8_t flags = 0;
  std::uint8_t gso_type = 0;
  std::uint16_t header_bytes = 0;
  std::uint16_t gso_size = 0;
  std::uint16_t checksum_start = 0;
  std::uint16_t checksum_offset = 0;

  bool needs_checksum() const noexcept { return (flags & kNeedsChecksum) != 0; }
  GsoType gso() const noexcept { return static_cast<GsoType>(gso_type & ~kGsoEcn); }

  // `bytes` holds at least kBytes.
  static VirtioHeader parse(Bytes bytes) noexcept;
  void serialize(MutableBytes out) const noexcept;
  auto operator<=>(const VirtioHeader&) const = default;
};
std::string to_string(const VirtioHeader& h);

}  // namespace qanat::packet
