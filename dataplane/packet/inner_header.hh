// InnerHeader: the first 14 sealed bytes of a type 4 datagram (wire.md §4): whose packet it is, seen by the
// endpoint only.
#pragma once

#include <compare>
#include <cstdint>
#include <string>

#include "dataplane/packet/wire.hh"
#include "identifiers/ids/tier.hh"
#include "identifiers/ids/vni.hh"

namespace qanat::packet {

enum class InnerKind : std::uint8_t {
  Packet = 0,
  Probe = 1,
  Keepalive = 2,
  Fragment = 3,        // one of two pieces of a packet that its path is too narrow for
  Challenge = 4,       // do you live where this arrives?
  ChallengeReply = 5,  // I do
  TooBig = 6,          // a relay's word on a list's size
  Ack = 7,             // what arrived in one space
  Repair = 8,          // from which lost packets of a stream can be computed
  Mended = 9,          // what of a protected stream need not be sent again
};

//     0                   1                   2                   3
//    | kind          | flags         | tier          | hop count     |
//    | VNI (24)                                      | stream        |
//    | sequence (48)                                                 |
//    |               | hold          |
// flags bit 0: the inner transport checksum is partial (virtio NEEDS_CSUM): nobody has computed it. Bit 1: the far end
// acknowledges what comes in this space. Bit 2: the packet may arrive more than once; the first wins.
struct InnerHeader {
  static constexpr std::size_t kBytes = kInnerHeaderBytes;
  static constexpr std::uint64_t kMaxSequence = (std::uint64_t{1} << 48) - 1;
  static constexpr unsigned kHoldUnitMs = 4;

  InnerKind kind = InnerKind::Packet;
  bool checksum_partial = false;
  bool ack_wanted = false;
  bool copied = false;
  ids::Tier tier = ids::Tier::Bulk;
  std::uint8_t hop_count = 0;
  ids::Vni vni;
  std::uint64_t sequence = 0;  // 48 bits, per (session, tier, bucket)
  std::uint8_t hold =
      0;  // how long later packets of the stream may wait for an earlier one, kHoldUnitMs each; 0: not at all

  // `sealed` is the opened plaintext. InnerMalformed: short, or unknown kind or tier.
  static OrDrop<InnerHeader> parse(Bytes sealed) noexcept;
  void serialize(MutableBytes out) const noexcept;
  auto operator<=>(const InnerHeader&) const = default;
};
std::string to_string(InnerKind kind);
std::string to_string(const InnerHeader& h);

}  // namespace qanat::packet
