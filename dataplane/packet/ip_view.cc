#include "dataplane/packet/ip_view.hh"

#include <cstring>

#include "dataplane/packet/byte_order.hh"

namespace qanat::packet {
namespace {

// IPv6 extension headers (RFC 8200 §4; RFC 4302 for 51; RFC 7401, 5533 for 139, 140).
constexpr std::uint8_t kHopByHop = 0;
constexpr std::uint8_t kRouting = 43;
constexpr std::uint8_t kFragment = 44;
constexpr std::uint8_t kAuthentication = 51;
constexpr std::uint8_t kDestinationOptions = 60;
constexpr std::uint8_t kMobility = 135;

bool parse_v4(IpView& v, Bytes p, bool super_packet) noexcept {
  if (p.size() < 20) return false;
  const std::size_t header = (p[0] & 0x0f) * 4u;
  std::size_t total = load_be16(&p[2]);
  if (super_packet) total = p.size();
  if (header < 20 || total < header || total > p.size() || total > 0xffff) return false;
  const std::uint16_t fragment = load_be16(&p[6]);
  v.family = IpFamily::V4;
  v.traffic_class = p[1];
  v.hop_limit = p[8];
  v.protocol = p[9];
  v.fragment = (fragment & 0x3fff) != 0;  // more fragments, or an offset
  v.has_extensions = header > 20;
  v.transport_offset = static_cast<std::uint16_t>(header);
  v.total_bytes = static_cast<std::uint16_t>(total);
  v.source = IpAddress::from_bytes(IpFamily::V4, &p[12]);
  v.destination = IpAddress::from_bytes(IpFamily::V4, &p[16]);
  return true;
}

constexpr bool mapped(const IpAddress& a) noexcept { return a.high == 0 && a.low >> 32 == 0xffff; }

bool parse_v6(IpView& v, Bytes p, bool super_packet) noexcept {
  if (p.size() < 40) return false;
  std::size_t total = 40u + load_be16(&p[4]);
  if (super_packet) total = p.size();
  if (total > p.size() || total > 0xffff) return false;
  v.family = IpFamily::V6;
  v.traffic_class = static_cast<std::uint8_t>(load_be16(&p[0]) >> 4);
  v.hop_limit = p[7];
  v.source = IpAddress::from_bytes(IpFamily::V6, &p[8]);
  v.destination = IpAddress::from_bytes(IpFamily::V6, &p[24]);
  if (mapped(v.source) || mapped(v.destination)) return false;

  std::uint8_t next = p[6];
  std::size_t at = 40;
  for (unsigned headers = 0;; ++headers) {
    const bool extension = next == kHopByHop || next == kRouting || next == kFragment ||
                           next == kAuthentication || next == kDestinationOptions || next == kMobility;
    if (!extension) break;
    if (headers == kMaxExtensionHeaders || at + 8 > total) return false;
    v.has_extensions = true;
    std::size_t size = 8;
    if (next == kFragment) {
      v.fragment = true;
      const bool first = (load_be16(&p[at + 2]) & 0xfff8) == 0;
      next = p[at];
      at += size;
      if (!first) break;  // what follows is the middle of a datagram, not a header
      continue;
    }
    size = next == kAuthentication ? (p[at + 1] + 2u) * 4u : (p[at + 1] + 1u) * 8u;
    if (at + size > total) return false;
    next = p[at];
    at += size;
  }
  v.protocol = next;
  v.transport_offset = static_cast<std::uint16_t>(at);
  v.total_bytes = static_cast<std::uint16_t>(total);
  return true;
}

std::uint64_t mix(std::uint64_t h) noexcept {
  h ^= h >> 32;
  h *= 0xd6e8feb86659fd93ULL;
  h ^= h >> 32;
  h *= 0xd6e8feb86659fd93ULL;
  return h ^ h >> 32;
}

}  // namespace

OrDrop<IpView> IpView::parse(Bytes packet, bool super_packet) noexcept {
  if (packet.empty()) return DropReason::InnerMalformed;
  IpView v;
  const std::uint8_t version = packet[0] >> 4;
  const bool sane = version == 4   ? parse_v4(v, packet, super_packet)
                    : version == 6 ? parse_v6(v, packet, super_packet)
                                   : false;
  if (!sane) return DropReason::InnerMalformed;
  if (!v.fragment && (v.protocol == kProtocolTcp || v.protocol == kProtocolUdp)) {
    const std::size_t least = v.protocol == kProtocolTcp ? 20 : 8;
    if (v.transport_bytes() < least) return DropReason::InnerMalformed;
    const std::uint8_t* t = packet.data() + v.transport_offset;
    if (v.protocol == kProtocolTcp) {
      const std::size_t header = (t[12] >> 4) * 4u;
      if (header < 20 || header > v.transport_bytes()) return DropReason::InnerMalformed;
    }
    v.source_port = load_be16(t);
    v.destination_port = load_be16(t + 2);
  }
  return v;
}

bool IpView::follow(Bytes before, Bytes packet) noexcept {
  const bool tcp = protocol == kProtocolTcp;
  if (fragment || has_extensions || !(tcp || protocol == kProtocolUdp)) return false;
  const std::size_t least = transport_offset + (tcp ? std::size_t{20} : std::size_t{8});
  if (packet.size() < least) return false;
  const std::uint8_t* a = before.data();
  const std::uint8_t* b = packet.data();
  // All that is looked at but the length: version to traffic class, then what follows length and id up to the ports.
  std::size_t total = load_be16(b + 2);
  if (family == IpFamily::V4) {
    if (std::memcmp(a, b, 2) != 0 || std::memcmp(a + 6, b + 6, 4) != 0 ||
        std::memcmp(a + 12, b + 12, 12) != 0)
      return false;
  } else {
    if (std::memcmp(a, b, 4) != 0 || std::memcmp(a + 6, b + 6, 38) != 0) return false;
    total = 40u + load_be16(b + 4);
  }
  if (total < least || total > packet.size() || total > 0xffff) return false;
  if (tcp) {
    const std::size_t header = (b[transport_offset + std::size_t{12}] >> 4) * 4u;
    if (header < 20 || header > total - transport_offset) return false;
  }
  total_bytes = static_cast<std::uint16_t>(total);
  return true;
}

std::uint32_t flow_hash(const IpView& view) noexcept {
  // Sums and products of both ends commute, so either direction hashes alike.
  const std::uint64_t a = mix(view.source.high ^ mix(view.source.low) ^ view.source_port);
  const std::uint64_t b = mix(view.destination.high ^ mix(view.destination.low) ^ view.destination_port);
  const std::uint8_t protocol = view.fragment ? 0 : view.protocol;
  const std::uint64_t h = mix((a + b) ^ mix((a ^ b) + protocol));
  return static_cast<std::uint32_t>(h ^ h >> 32);
}

std::uint8_t bucket_of(const IpView& view) noexcept {
  return static_cast<std::uint8_t>(std::uint64_t{flow_hash(view)} * kFlowBuckets >> 32);
}

}  // namespace qanat::packet
