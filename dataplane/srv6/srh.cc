#include "dataplane/srv6/srh.hh"

#include "dataplane/packet/byte_order.hh"

namespace qanat::srv6 {
namespace {

using packet::DropReason;

constexpr std::uint8_t kHopByHop = 0;
constexpr std::uint8_t kDestinationOptions = 60;
constexpr unsigned kMaxExtensions = 4;

constexpr std::uint8_t kTlvPad1 = 0;
constexpr std::uint8_t kTlvHmac = 5;
constexpr std::uint8_t kTlvHmacLength = 38;  // D and reserved 2, key id 4, digest 32

}  // namespace

packet::OrDrop<Srh> Srh::parse(packet::Bytes packet, std::size_t at) noexcept {
  if (at + kSrhFixedBytes > packet.size()) return DropReason::Srv6Malformed;
  const std::uint8_t* p = packet.data() + at;
  Srh h;
  h.at = static_cast<std::uint16_t>(at);
  h.bytes = static_cast<std::uint16_t>((p[1] + 1) * 8);
  h.next_header = p[0];
  h.segments_left = p[3];
  h.last_entry = p[4];
  h.flags = p[5];
  h.tag = packet::load_be16(p + 6);
  if (p[2] != kRoutingType || at + h.bytes > packet.size()) return DropReason::Srv6Malformed;
  const std::size_t list_end = kSrhFixedBytes + h.entries() * kSidBytes;
  if (h.entries() > kMaxListSegments || list_end > h.bytes) return DropReason::Srv6Malformed;
  for (std::size_t i = list_end; i < h.bytes;) {
    if (p[i] == kTlvPad1) {
      ++i;
      continue;
    }
    if (i + 2 > h.bytes || i + 2 + p[i + 1] > h.bytes) return DropReason::Srv6Malformed;
    if (p[i] == kTlvHmac) {
      if (p[i + 1] != kTlvHmacLength || h.hmac_at != 0) return DropReason::Srv6Malformed;
      h.hmac_at = static_cast<std::uint16_t>(at + i);
    }
    i += 2u + p[i + 1];
  }
  return h;
}

packet::OrDrop<OuterView> OuterView::parse(packet::Bytes packet) noexcept {
  if (packet.size() < kIpv6HeaderBytes || packet[0] >> 4 != 6) return DropReason::Srv6Malformed;
  OuterView v;
  const std::size_t total = kIpv6HeaderBytes + packet::load_be16(&packet[4]);
  if (total > packet.size() || total > 0xffff) return DropReason::Srv6Malformed;
  const packet::Bytes whole = packet.first(total);
  v.total_bytes = static_cast<std::uint16_t>(total);
  v.traffic_class = static_cast<std::uint8_t>(packet::load_be16(&packet[0]) >> 4);
  v.hop_limit = packet[7];
  v.source = packet::IpAddress::from_bytes(packet::IpFamily::V6, &packet[8]);
  v.destination = packet::IpAddress::from_bytes(packet::IpFamily::V6, &packet[24]);
  std::size_t link = 6;
  std::size_t at = kIpv6HeaderBytes;
  for (unsigned n = 0;; ++n) {
    const std::uint8_t next = whole[link];
    if (next != kHopByHop && next != kDestinationOptions && next != kNextRouting) break;
    if (n == kMaxExtensions || at + 8 > total) return DropReason::Srv6Malformed;
    std::size_t bytes = (whole[at + 1] + 1u) * 8u;
    if (next == kNextRouting) {
      if (v.srh) return DropReason::Srv6Malformed;
      const auto srh = Srh::parse(whole, at);
      if (!srh) return srh.error();
      v.srh = *srh;
      v.srh_link_at = static_cast<std::uint16_t>(link);
      bytes = srh->bytes;
    }
    if (at + bytes > total) return DropReason::Srv6Malformed;
    link = at;
    at += bytes;
  }
  v.upper = whole[link];
  v.upper_at = static_cast<std::uint16_t>(at);
  v.upper_link_at = static_cast<std::uint16_t>(link);
  return v;
}

}  // namespace qanat::srv6
