// Frames for queues: tenants' packets and super-packets as a TUN hands them out, already cut on paper.
#pragma once

#include <memory>

#include "dataplane/packet/segmenter.hh"
#include "tests/unit/dataplane/packet/packet_maker.hh"

namespace qanat::test {

// A packet and the segmenter over it, at a place of its own.
struct CutFrame {
  std::shared_ptr<Octets> bytes;
  packet::Segmenter segmenter;
};

// One UDP packet of `bytes` in all, from 28. Its source port numbers it.
inline CutFrame udp_frame(std::size_t bytes, std::uint16_t number = 1, std::uint8_t traffic_class = 0) {
  PacketMaker p;
  p.protocol = 17;
  p.source_port = number;
  p.traffic_class = traffic_class;
  p.payload.resize(bytes - 28);
  CutFrame out{std::make_shared<Octets>(p.make()), {}};
  out.segmenter = *packet::Segmenter::make({}, *out.bytes, packet::kMaxPacketBytes);
  return out;
}

// A TCP super-packet of `payload` bytes in segments of 1,200 bytes of payload.
inline CutFrame tcp_frame(std::size_t payload, std::uint32_t sequence = 0, std::uint8_t traffic_class = 0) {
  PacketMaker p;
  p.sequence = sequence;
  p.traffic_class = traffic_class;
  p.payload.resize(payload);
  p.checksum = PacketMaker::Checksum::Partial;
  packet::VirtioHeader v;
  v.flags = packet::VirtioHeader::kNeedsChecksum;
  v.gso_type = static_cast<std::uint8_t>(packet::GsoType::Tcp4);
  v.gso_size = 1200;
  v.header_bytes = 40;
  v.checksum_start = 20;
  v.checksum_offset = 16;
  CutFrame out{std::make_shared<Octets>(p.make()), {}};
  out.segmenter = *packet::Segmenter::make(v, *out.bytes, packet::kMaxPacketBytes);
  return out;
}

}  // namespace qanat::test
