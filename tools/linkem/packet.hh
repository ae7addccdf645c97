// Packet: what travels through a link: one IP packet, or a run of neighbouring segments of a super-packet.
// Impairments cut runs where fates differ; the exit joins neighbours again; no byte is copied for either.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "base/time.hh"
#include "tools/linkem/frame.hh"

namespace qanat::linkem {

struct Packet {
  FrameRef frame;
  base::Time at{};           // when it entered or left the last stage: exact, not when somebody looked
  base::Time entered{};      // when it entered the link
  std::uint64_t number = 0;  // of its first segment in this direction, from 1
  std::uint16_t first = 0;   // segments of the frame, `count` of them
  std::uint16_t count = 1;
  bool congested = false;  // leaves marked Congestion Experienced (RFC 3168), where it is ECN-capable

  // Of all its segments as IP packets, each with its own header.
  std::uint32_t bytes_total() const;
  // Of segment i of this run.
  std::uint32_t segment_bytes(std::uint16_t i) const;
  bool whole() const { return count == frame->segments; }
  // The IP packet itself; only of a plain packet (one that was never part of a super-packet), unmarked.
  std::span<const std::uint8_t> bytes() const { return frame->span(); }
  // ECT(0), ECT(1) or CE (RFC 3168), in an IPv4 or IPv6 header.
  bool ecn_capable() const;
  // `n` segments from segment `i` on.
  Packet part(std::uint16_t i, std::uint16_t n) const;
  // True when `next` continues this run: the same frame's next segments with the same mark.
  bool joins(const Packet& next) const {
    return next.frame == frame && next.first == first + count && next.congested == congested;
  }
};

// Cuts a run wherever the answer of `decide(number, i)` changes, asking once per segment, in order; calls
// `each(part, answer)` for every piece.
template <class Decide, class Each>
void cut_where(Packet packet, Decide decide, Each each) {
  std::uint16_t from = 0;
  auto answer = decide(packet.number, std::uint16_t{0});
  for (std::uint16_t i = 1; i < packet.count; ++i) {
    const auto next = decide(packet.number + i, i);
    if (next == answer) continue;
    each(packet.part(from, static_cast<std::uint16_t>(i - from)), answer);
    from = i;
    answer = next;
  }
  if (from == 0)
    each(std::move(packet), answer);
  else
    each(packet.part(from, static_cast<std::uint16_t>(packet.count - from)), answer);
}

// What to hand to the far TUN: a virtio header, then a header that is rewritten, if any, and the payload in
// the frame. Lengths, IPv4 id and checksums, TCP sequence numbers and flags are those of the run.
struct Rendered {
  packet::VirtioHeader virtio;
  std::size_t header_bytes = 0;
  std::array<std::uint8_t, 256> header;
  std::span<const std::uint8_t> rest;
};
void render(const Packet& packet, Rendered& out) noexcept;

// A plain copy of a single segment, its checksum completed: for what has to change a packet's bytes.
FrameRef completed_copy(const Packet& packet, FramePool& pool);

}  // namespace qanat::linkem
