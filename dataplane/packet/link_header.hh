// LinkHeader: the clear 16 bytes of a type 5 datagram (wire.md §5), rewritten at every hop.
#pragma once

#include <compare>
#include <cstdint>
#include <string>

#include "dataplane/packet/wire.hh"

namespace qanat::packet {

//     0                   1                   2                   3
//    | type = 5      | bucket        | route bytes r | reserved      |
//    | link receiver index                                           |
//    | link counter (64)                                             |
//    |                                                               |
// then the encrypted route header (r), the link tag (16) and the inner datagram.
struct LinkHeader {
  static constexpr std::size_t kBytes = kLinkHeaderBytes;

  std::uint8_t bucket = 0;
  std::uint8_t route_bytes = 0;
  std::uint32_t receiver = 0;
  std::uint64_t counter = 0;

  // `datagram` is the whole type 5 datagram. Malformed when short, when r is no route header's size, or when
  // what follows is not a possible datagram of type 1, 2 or 4.
  static OrDrop<LinkHeader> parse(Bytes datagram) noexcept;
  void serialize(MutableBytes out) const noexcept;

  // Where the inner datagram starts.
  constexpr std::size_t inner_offset() const noexcept { return kBytes + route_bytes + kTagBytes; }
  auto operator<=>(const LinkHeader&) const = default;
};
std::string to_string(const LinkHeader& h);

}  // namespace qanat::packet
