// Mended: what of a protected stream is with the receiver, come or rebuilt (inner kind 9), so that the sender need not
// send again what a repair made good.
#pragma once

#include <array>
#include <cstdint>

#include "dataplane/packet/wire.hh"

namespace qanat::packet {

//    | bucket (8)    | zero (8)      | first stream sequence (48)    |
//    |                                                               |
//    | bit i of octet i ÷ 8, from the highest: first + i is here     |    32 octets
// The inner header's tier is the stream's. A later one says all that an earlier one said of the same packets.
struct Mended {
  static constexpr std::size_t kSpan = 256;  // packets
  static constexpr std::size_t kBytes = 8 + kSpan / 8;
  std::uint8_t bucket = 0;
  std::uint64_t first = 0;
  std::array<std::uint8_t, kSpan / 8> here{};

  void set(std::size_t i) { here[i / 8] |= static_cast<std::uint8_t>(0x80 >> i % 8); }
  bool has(std::uint64_t sequence) const noexcept {
    const std::uint64_t i = (sequence - first) & ((std::uint64_t{1} << 48) - 1);
    return i < kSpan && (here[i / 8] & (0x80 >> i % 8)) != 0;
  }
  // InnerMalformed: not kBytes long.
  static OrDrop<Mended> parse(Bytes body) noexcept;
  void serialize(MutableBytes out) const noexcept;
  bool operator==(const Mended&) const = default;
};

}  // namespace qanat::packet
