#include "dataplane/packet/segmenter.hh"

#include <algorithm>
#include <cstring>

#include "dataplane/packet/byte_order.hh"
#include "dataplane/packet/checksum.hh"

namespace qanat::packet {
namespace {

constexpr std::size_t kTcpFlags = 13;
constexpr std::uint8_t kFin = 0x01;
constexpr std::uint8_t kPsh = 0x08;
constexpr std::uint8_t kCwr = 0x80;

// The virtio header's claim against what the packet itself says.
bool consistent(const VirtioHeader& virtio, const IpView& view) noexcept {
  if (view.fragment || !virtio.needs_checksum() || virtio.gso_size == 0) return false;
  if (virtio.checksum_start != view.transport_offset) return false;
  if (virtio.checksum_offset != checksum_field_offset(view.protocol)) return false;
  switch (virtio.gso()) {
    case GsoType::Tcp4: return view.family == IpFamily::V4 && view.protocol == kProtocolTcp;
    case GsoType::Tcp6: return view.family == IpFamily::V6 && view.protocol == kProtocolTcp;
    case GsoType::UdpL4: return view.protocol == kProtocolUdp;
    default: return false;
  }
}

}  // namespace

OrDrop<Segmenter> Segmenter::make(const VirtioHeader& virtio, MutableBytes packet,
                                  std::size_t max_packet_bytes) noexcept {
  const bool super_packet = virtio.gso() != GsoType::None;
  const auto view = IpView::parse(packet, super_packet);
  if (!view.has_value()) return view.error();

  Segmenter s;
  s.view_ = *view;
  s.packet_ = packet.first(view->total_bytes);
  s.count_ = 1;

  if (!super_packet) {
    if (s.packet_.size() > max_packet_bytes) return DropReason::Mtu;
    if (virtio.needs_checksum()) {
      s.partial_ = !view->fragment && virtio.checksum_start == view->transport_offset &&
                   checksum_field_offset(view->protocol) != 0 &&
                   virtio.checksum_offset == checksum_field_offset(view->protocol);
      if (!s.partial_ && !complete_checksum(virtio, s.packet_)) return DropReason::InnerMalformed;
    }
    return s;
  }

  if (!consistent(virtio, *view)) return DropReason::InnerMalformed;
  const bool tcp = view->protocol == kProtocolTcp;
  const std::size_t transport_header = tcp ? (packet[view->transport_offset + 12u] >> 4) * 4u : 8u;
  s.header_bytes_ = view->transport_offset + transport_header;
  s.payload_step_ = virtio.gso_size;
  if (s.header_bytes_ > kMaxHeaderBytes) return DropReason::InnerMalformed;
  if (s.header_bytes_ + s.payload_step_ > max_packet_bytes) {
    // A TCP receiver never sees segment boundaries, a UDP one does.
    if (!tcp || s.header_bytes_ >= max_packet_bytes) return DropReason::Mtu;
    s.payload_step_ = max_packet_bytes - s.header_bytes_;
  }
  const std::size_t payload = s.packet_.size() - s.header_bytes_;
  s.count_ = std::max<std::size_t>(1, (payload + s.payload_step_ - 1) / s.payload_step_);

  s.partial_ = true;
  s.pseudo_sum_ = pseudo_header_sum(*view);
  if (view->family == IpFamily::V4) {
    const Bytes ip = Bytes(packet).first(view->transport_offset);
    std::uint64_t sum = checksum_add(0, ip.first(2));  // version, TOS; then length and id are added
    sum = checksum_add(sum, ip.subspan(6, 4));         // fragment, TTL, protocol
    s.ipv4_sum_ = checksum_fold(checksum_add(sum, ip.subspan(12)));  // addresses, options
  }
  return s;
}

void Segmenter::cut_to(std::size_t max_packet_bytes) noexcept {
  if (header_bytes_ == 0 || view_.protocol != kProtocolTcp || header_bytes_ >= max_packet_bytes) return;
  payload_step_ = std::min(payload_step_, max_packet_bytes - header_bytes_);
  const std::size_t payload = packet_.size() - header_bytes_;
  count_ = std::max<std::size_t>(1, (payload + payload_step_ - 1) / payload_step_);
}

Bytes Segmenter::payload(std::size_t i) const noexcept {
  if (header_bytes_ == 0) return packet_;
  const std::size_t from = header_bytes_ + i * payload_step_;
  return packet_.subspan(from, std::min(payload_step_, packet_.size() - from));
}

MutableBytes Segmenter::room_before(std::size_t i, std::size_t bytes) const noexcept {
  if (i == 0 || header_bytes_ == 0 || payload_step_ < bytes) return {};
  return packet_.subspan(header_bytes_ + i * payload_step_ - bytes, bytes);
}

void Segmenter::write_header(std::size_t i, std::uint8_t* out) const noexcept {
  if (header_bytes_ == 0) return;
  std::memcpy(out, packet_.data(), header_bytes_);
  const std::size_t payload_bytes = payload(i).size();
  const std::size_t total = header_bytes_ + payload_bytes;

  if (view_.family == IpFamily::V4) {
    const auto id = static_cast<std::uint16_t>(load_be16(out + 4) + i);
    store_be16(out + 2, static_cast<std::uint16_t>(total));
    store_be16(out + 4, id);
    store_be16(out + 10, static_cast<std::uint16_t>(~checksum_fold(ipv4_sum_ + total + id)));
  } else {
    store_be16(out + 4, static_cast<std::uint16_t>(total - 40));
  }

  std::uint8_t* transport = out + view_.transport_offset;
  const std::size_t transport_bytes = total - view_.transport_offset;
  if (view_.protocol == kProtocolTcp) {
    store_be32(transport + 4, load_be32(transport + 4) + static_cast<std::uint32_t>(i * payload_step_));
    if (i != 0) transport[kTcpFlags] &= static_cast<std::uint8_t>(~kCwr);
    if (i + 1 != count_) transport[kTcpFlags] &= static_cast<std::uint8_t>(~(kFin | kPsh));
  } else {
    store_be16(transport + 4, static_cast<std::uint16_t>(transport_bytes));
  }
  store_be16(transport + checksum_field_offset(view_.protocol), checksum_fold(pseudo_sum_ + transport_bytes));
}

}  // namespace qanat::packet
