// Packets for linkem's tests: real IPv4 headers with right checksums, and super-packets as a TUN hands them over.
// 10.0.0.1 → 10.0.0.2 unless said otherwise.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "dataplane/packet/byte_order.hh"
#include "dataplane/packet/checksum.hh"
#include "tools/linkem/direction.hh"

namespace qanat::linkem {

using namespace std::chrono_literals;

inline constexpr base::Time kStart{1000s};

struct Ip4 {
  std::uint8_t protocol = packet::kProtocolUdp;
  std::uint32_t source = 0x0a000001, destination = 0x0a000002;
  std::uint16_t source_port = 4000, destination_port = 53;
  std::size_t payload = 100;
  std::uint8_t tos = 0;
};

inline std::size_t header_bytes(const Ip4& p) { return p.protocol == packet::kProtocolTcp ? 40 : 28; }

// A whole packet; `partial`: its transport checksum holds only the pseudo-header's sum.
inline std::vector<std::uint8_t> ip4(const Ip4& p, bool partial = false) {
  const std::size_t headers = header_bytes(p);
  std::vector<std::uint8_t> out(headers + p.payload);
  std::uint8_t* ip = out.data();
  ip[0] = 0x45, ip[1] = p.tos, ip[6] = 0x40, ip[8] = 64, ip[9] = p.protocol;
  packet::store_be16(ip + 2, static_cast<std::uint16_t>(std::min<std::size_t>(out.size(), 65535)));
  packet::store_be16(ip + 4, 100);
  packet::store_be32(ip + 12, p.source);
  packet::store_be32(ip + 16, p.destination);
  packet::store_be16(ip + 10, packet::ipv4_header_checksum({ip, 20}));
  packet::store_be16(ip + 20, p.source_port);
  packet::store_be16(ip + 22, p.destination_port);
  if (p.protocol == packet::kProtocolTcp) {
    packet::store_be32(ip + 24, 7000);
    ip[32] = 5 << 4;
    ip[33] = 0x80 | 0x10 | 0x08 | 0x01;  // CWR, ACK, PSH, FIN
  } else if (p.protocol == packet::kProtocolUdp) {
    packet::store_be16(ip + 24, static_cast<std::uint16_t>(out.size() - 20));
  }
  for (std::size_t i = headers; i < out.size(); ++i) out[i] = static_cast<std::uint8_t>(i * 7);
  if (const auto view = packet::IpView::parse(out); view.has_value()) {
    const std::uint16_t field = packet::checksum_field_offset(p.protocol);
    if (field) packet::store_be16(ip + 20 + field, packet::partial_checksum(*view, view->transport_bytes()));
    if (field && !partial) packet::complete_checksum(*view, out);
  }
  return out;
}

// One frame of `segments` packets of `p.payload` bytes each, checksums partial.
inline FrameRef super_packet(FramePool& pool, Ip4 p, std::uint16_t segments) {
  const std::size_t step = p.payload;
  p.payload *= segments;
  FrameRef frame = pool.copy(ip4(p, true));
  frame->virtio.flags = packet::VirtioHeader::kNeedsChecksum;
  frame->virtio.gso_type = static_cast<std::uint8_t>(
      p.protocol == packet::kProtocolTcp ? packet::GsoType::Tcp4 : packet::GsoType::UdpL4);
  frame->virtio.gso_size = static_cast<std::uint16_t>(step);
  frame->virtio.checksum_start = 20;
  frame->virtio.checksum_offset = packet::checksum_field_offset(p.protocol);
  find_segments(*frame);
  return frame;
}

inline std::uint64_t dropped(const Direction& link, DropReason reason) {
  return link.counters().dropped_packets[static_cast<std::size_t>(reason)];
}

inline void expect_all_accounted_for(const Direction& link) {
  const Counters c = link.counters();
  std::uint64_t all = c.out_packets + link.pending();
  for (const auto n : c.dropped_packets) all += n;
  if (c.in_packets + c.duplicated != all) std::abort();
}

}  // namespace qanat::linkem
