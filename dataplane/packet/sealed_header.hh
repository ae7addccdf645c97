// SealedHeader: the clear 20 bytes of a type 4 datagram (wire.md §3), all of which are the seal's associated
// data.
#pragma once

#include <compare>
#include <cstdint>
#include <string>

#include "dataplane/packet/wire.hh"

namespace qanat::packet {

//     0                   1                   2                   3
//    | type = 4      | bucket        | flags = 0     | reserved      |
//    | receiver index                                                |
//    | space = path slot (16) ‖ bucket group (16)                    |
//    | counter (64)                                                  |
//    |                                                               |
struct SealedHeader {
  static constexpr std::size_t kBytes = kSealedHeaderBytes;

  std::uint8_t bucket = 0;
  std::uint32_t receiver = 0;
  std::uint32_t space = 0;
  std::uint64_t counter = 0;

  // `datagram` is the whole type 4 datagram, tag included. Malformed when short or of another type.
  static OrDrop<SealedHeader> parse(Bytes datagram) noexcept;
  // Writes kBytes to `out`, which holds at least as many.
  void serialize(MutableBytes out) const noexcept;
  auto operator<=>(const SealedHeader&) const = default;
};
std::string to_string(const SealedHeader& h);

constexpr std::uint32_t make_space(std::uint16_t path_slot, std::uint16_t bucket_group) noexcept {
  return std::uint32_t{path_slot} << 16 | bucket_group;
}

}  // namespace qanat::packet
