#include "tools/linkem/packet.hh"

#include <algorithm>
#include <cstring>

#include "dataplane/packet/byte_order.hh"
#include "dataplane/packet/checksum.hh"

namespace qanat::linkem {
namespace {

using packet::load_be16;
using packet::load_be32;
using packet::store_be16;
using packet::store_be32;

constexpr std::uint8_t kFin = 0x01, kPsh = 0x08, kCwr = 0x80;
constexpr std::size_t kTcpFlags = 13;

std::size_t ip_header_bytes(const std::uint8_t* ip) { return ip[0] >> 4 == 4 ? (ip[0] & 15) * 4u : 40u; }

// Congestion Experienced, of a packet that is ecn_capable(); the pseudo-header does not cover the field.
void mark(std::uint8_t* ip) {
  if (ip[0] >> 4 == 4) {
    if ((ip[1] & 3) == 0 || (ip[1] & 3) == 3) return;
    ip[1] |= 3;
    store_be16(ip + 10, packet::ipv4_header_checksum({ip, ip_header_bytes(ip)}));
  } else if ((ip[1] >> 4 & 3) != 0) {
    ip[1] |= 0x30;
  }
}

// The transport checksum field as the kernel leaves it: the pseudo-header's sum for `bytes` of transport.
std::uint16_t partial_sum(const std::uint8_t* ip, std::uint8_t protocol, std::size_t bytes) {
  const bool v4 = ip[0] >> 4 == 4;
  const std::size_t from = v4 ? 12 : 8, width = v4 ? 8 : 32;
  return packet::checksum_fold(packet::checksum_add(protocol + bytes, {ip + from, width}));
}

void render_run(const Packet& packet, Rendered& out) noexcept {
  const Frame& frame = *packet.frame;
  const std::size_t from = std::size_t{frame.header_bytes} + std::size_t{packet.first} * frame.step;
  const std::size_t end = std::min<std::size_t>(from + std::size_t{packet.count} * frame.step, frame.bytes);
  std::uint8_t* ip = out.header.data();
  std::memcpy(ip, frame.data(), frame.header_bytes);
  out.header_bytes = frame.header_bytes;
  out.rest = frame.span().subspan(from, end - from);
  const std::size_t total = frame.header_bytes + out.rest.size();
  if (ip[0] >> 4 == 4) {
    store_be16(ip + 2, static_cast<std::uint16_t>(total));
    store_be16(ip + 4, static_cast<std::uint16_t>(load_be16(ip + 4) + packet.first));
    store_be16(ip + 10, packet::ipv4_header_checksum({ip, ip_header_bytes(ip)}));
  } else {
    store_be16(ip + 4, static_cast<std::uint16_t>(total - 40));
  }
  std::uint8_t* transport = ip + frame.transport_offset;
  const std::size_t transport_bytes = total - frame.transport_offset;
  if (frame.virtio.gso() == packet::GsoType::UdpL4) {
    store_be16(transport + 4, static_cast<std::uint16_t>(transport_bytes));
    store_be16(transport + 6, partial_sum(ip, packet::kProtocolUdp, transport_bytes));
  } else {
    const std::uint32_t behind = std::uint32_t{packet.first} * frame.step;
    store_be32(transport + 4, load_be32(transport + 4) + behind);
    if (packet.first != 0) transport[kTcpFlags] &= static_cast<std::uint8_t>(~kCwr);
    if (packet.first + packet.count != frame.segments)
      transport[kTcpFlags] &= static_cast<std::uint8_t>(~(kFin | kPsh));
    store_be16(transport + 16, partial_sum(ip, packet::kProtocolTcp, transport_bytes));
  }
  out.virtio = frame.virtio;
  out.virtio.header_bytes = frame.header_bytes;
  if (packet.count == 1) out.virtio.gso_type = 0, out.virtio.gso_size = 0;
}

}  // namespace

std::uint32_t Packet::segment_bytes(std::uint16_t i) const {
  if (frame->step == 0) return frame->bytes;
  const std::uint32_t from = frame->header_bytes + (std::uint32_t{first} + i) * frame->step;
  return frame->header_bytes + std::min<std::uint32_t>(frame->step, frame->bytes - from);
}

std::uint32_t Packet::bytes_total() const {
  if (count == 1) return segment_bytes(0);
  return (count - 1u) * (std::uint32_t{frame->header_bytes} + frame->step) +
         segment_bytes(static_cast<std::uint16_t>(count - 1));
}

bool Packet::ecn_capable() const {
  const std::uint8_t* ip = frame->data();
  if (frame->bytes < 20 || frame->bytes < ip_header_bytes(ip)) return false;
  if (ip[0] >> 4 == 4) return ip_header_bytes(ip) >= 20 && (ip[1] & 3) != 0;
  return ip[0] >> 4 == 6 && (ip[1] & 0x30) != 0;
}

Packet Packet::part(std::uint16_t i, std::uint16_t n) const {
  Packet out = *this;
  out.number += i;
  out.first = static_cast<std::uint16_t>(first + i);
  out.count = n;
  return out;
}

void render(const Packet& packet, Rendered& out) noexcept {
  const Frame& frame = *packet.frame;
  if (packet.whole()) {
    out.virtio = frame.virtio;
    out.header_bytes = 0;
    out.rest = frame.span();
    if (packet.congested) {
      out.header_bytes =
          std::min<std::size_t>({ip_header_bytes(frame.data()), out.header.size(), frame.bytes});
      std::memcpy(out.header.data(), frame.data(), out.header_bytes);
      out.rest = frame.span().subspan(out.header_bytes);
    }
  } else {
    render_run(packet, out);
  }
  if (packet.congested) mark(out.header.data());
}

FrameRef completed_copy(const Packet& packet, FramePool& pool) {
  Rendered image;
  render(packet, image);
  FrameRef copy = pool.take(image.header_bytes + image.rest.size());
  std::memcpy(copy->data(), image.header.data(), image.header_bytes);
  std::memcpy(copy->data() + image.header_bytes, image.rest.data(), image.rest.size());
  copy->bytes = static_cast<std::uint32_t>(image.header_bytes + image.rest.size());
  if (image.virtio.needs_checksum()) packet::complete_checksum(image.virtio, copy->span());
  return copy;
}

}  // namespace qanat::linkem
