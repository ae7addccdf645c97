// Fragments: a packet in two pieces, each sealed on its own, where the path is narrower than the packet and the packet
// may not be refused: what keeps IPv6's 1280 alive over an underlay of 1280.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/time.hh"
#include "dataplane/packet/drop_reason.hh"
#include "dataplane/packet/wire.hh"
#include "identifiers/ids/node_id.hh"

namespace qanat::forwarder {

//    | packet id (32)                                                |
//    | whole packet's bytes (16)     | offset of this piece (16)     |
// then the piece. Offset 0 is the first of two; the second ends where the packet does.
struct FragmentHeader {
  static constexpr std::size_t kBytes = 8;
  std::uint32_t id = 0;  // per (sender, bucket), one after the other
  std::uint16_t total = 0;
  std::uint16_t offset = 0;

  // FragmentMalformed: short, empty, or past the end.
  static packet::OrDrop<FragmentHeader> parse(packet::Bytes body) noexcept;
  void serialize(packet::MutableBytes out) const noexcept;
  bool operator==(const FragmentHeader&) const = default;
};

// The most that two pieces carry where one carries `inner_mtu`.
constexpr std::size_t most_in_pieces(std::size_t inner_mtu) {
  return 2 * (inner_mtu - FragmentHeader::kBytes);
}

// Bounded: 64 packets of 3 KiB under way, each for a second; the oldest makes room. Pieces are authentic when they come
// here; they may still come twice, late, never, or from a peer that lies about itself.
class Reassembler {
 public:
  static constexpr std::size_t kSlots = 64;
  static constexpr std::size_t kMostBytes =
      3072;  // two pieces of the largest datagram there is (path::kLargestDatagram4)
  static constexpr base::Duration kPatience = std::chrono::seconds{1};

  // The whole packet, valid until clear_whole(); nothing while a piece is missing. `given_up` counts the packets that
  // were forgotten for this one.
  packet::OrDrop<std::optional<packet::MutableBytes>> add(ids::NodeId from, std::uint8_t bucket,
                                                          packet::Bytes body, base::Time now,
                                                          unsigned& given_up);
  void clear_whole() {
    if (!whole_.empty()) whole_.clear();
  }

 private:
  struct Slot {
    bool used = false;
    ids::NodeId from;
    std::uint8_t bucket = 0;
    FragmentHeader first;  // of the piece that is here
    std::vector<std::uint8_t> bytes;
    base::Time at{};
  };
  std::array<Slot, kSlots> slots_;
  std::vector<std::vector<std::uint8_t>> whole_;
};

}  // namespace qanat::forwarder
