#include "tools/linkem/nat.hh"

#include "dataplane/packet/byte_order.hh"
#include "dataplane/packet/checksum.hh"

namespace qanat::linkem {
namespace {

using packet::load_be16;
using packet::load_be32;
using packet::store_be16;
using packet::store_be32;

constexpr std::uint16_t kFirstPort = 1024;
constexpr std::uint32_t kPorts = 65'536 - kFirstPort;
constexpr std::size_t kSource = 12, kDestination = 16;  // in an IPv4 header
constexpr std::uint8_t kEchoReply = 0, kEcho = 8;

std::uint32_t v4_of(const packet::IpAddress& address) {
  return static_cast<std::uint32_t>(address.high >> 32);
}

// RFC 1624: the checksum `field` after 16 bits it covers changed. A partial one holds an uncomplemented sum.
void adjust(std::uint8_t* field, std::uint16_t before, std::uint16_t after, bool partial) {
  const std::uint16_t held = load_be16(field);
  const std::uint32_t sum = (partial ? held : static_cast<std::uint16_t>(~held)) +
                            static_cast<std::uint16_t>(~before) + std::uint32_t{after};
  const std::uint16_t folded = packet::checksum_fold(sum);
  store_be16(field, partial ? folded : static_cast<std::uint16_t>(~folded));
}

// Replaces an address and a port (or an echo's id) of an IPv4 packet and mends every checksum over them.
void rewrite(Frame& frame, std::size_t address_at, std::size_t transport, std::size_t port_at,
             std::uint8_t protocol, std::uint32_t address, std::uint16_t port) {
  std::uint8_t* ip = frame.data();
  const std::uint32_t old_address = load_be32(ip + address_at);
  const std::uint16_t old_port = load_be16(ip + port_at);
  store_be32(ip + address_at, address);
  store_be16(ip + port_at, port);
  const auto both_halves = [&](std::uint8_t* field, bool partial) {
    adjust(field, static_cast<std::uint16_t>(old_address >> 16), static_cast<std::uint16_t>(address >> 16),
           partial);
    adjust(field, static_cast<std::uint16_t>(old_address), static_cast<std::uint16_t>(address), partial);
  };
  both_halves(ip + 10, false);
  if (protocol == packet::kProtocolIcmp) {
    adjust(ip + transport + 2, old_port, port, false);  // no pseudo-header
    return;
  }
  std::uint8_t* field = ip + transport + packet::checksum_field_offset(protocol);
  if (protocol == packet::kProtocolUdp && load_be16(field) == 0) return;
  const bool partial = frame.virtio.needs_checksum();
  both_halves(field, partial);
  if (!partial) adjust(field, old_port, port, false);
}

// Where the port (or an echo's id) that belongs to the packet's source or destination stands; 0: it has none.
std::size_t port_offset(const packet::IpView& view, std::span<const std::uint8_t> ip, bool of_source) {
  switch (view.protocol) {
    case packet::kProtocolTcp:
    case packet::kProtocolUdp: return view.transport_offset + (of_source ? 0u : 2u);
    case packet::kProtocolIcmp: {
      if (view.transport_offset + 8u > ip.size()) return 0;
      const std::uint8_t type = ip[view.transport_offset];
      return type == kEcho || type == kEchoReply ? view.transport_offset + 4u : 0;
    }
    default: return 0;
  }
}

}  // namespace

std::size_t Nat::InsideHash::operator()(const Inside& i) const noexcept {
  std::uint64_t h = (std::uint64_t{i.address} << 32 | i.remote) * 0x9e3779b97f4a7c15;
  h ^= (std::uint64_t{i.protocol} << 32 | std::uint32_t{i.port} << 16 | i.remote_port) * 0xbf58476d1ce4e5b9;
  return h ^ h >> 29;
}

base::Duration Nat::timeout(std::uint8_t protocol) const {
  return protocol == packet::kProtocolTcp   ? config_.tcp
         : protocol == packet::kProtocolUdp ? config_.udp
                                            : config_.icmp;
}

Nat::Mapping* Nat::find_external(std::uint8_t protocol, std::uint16_t port, base::Time now) {
  const auto found = by_external_.find(external_key(protocol, port));
  if (found == by_external_.end()) return nullptr;
  if (now - found->second.last_used <= timeout(protocol)) return &found->second;
  by_inside_.erase(found->second.inside);
  by_external_.erase(found);
  return nullptr;
}

std::uint16_t Nat::map(const Inside& inside, base::Time now) {
  if (const auto known = by_inside_.find(inside); known != by_inside_.end())
    if (Mapping* mapping = find_external(inside.protocol, known->second, now)) {
      mapping->last_used = now;
      return known->second;
    }
  std::uint32_t start = static_cast<std::uint32_t>(chance_.bits(++drawn_) % kPorts);
  if (config_.kind == NatConfig::Kind::Cone && inside.port >= kFirstPort) start = inside.port - kFirstPort;
  for (std::uint32_t i = 0; i < kPorts; ++i) {
    const auto port = static_cast<std::uint16_t>(kFirstPort + (start + i) % kPorts);
    if (find_external(inside.protocol, port, now)) continue;
    by_external_[external_key(inside.protocol, port)] = {inside, now};
    by_inside_[inside] = port;
    return port;
  }
  return 0;
}

bool Nat::outward(Packet& packet, base::Time now) {
  Frame& frame = *packet.frame;
  const auto view = packet::IpView::parse(frame.span(), frame.segments > 1);
  if (!view.has_value() || view->family != packet::IpFamily::V4) return true;
  if (view->fragment) return false;
  const std::size_t at = port_offset(*view, frame.span(), true);
  if (at == 0) return true;
  Inside inside{view->protocol, v4_of(view->source), 0, load_be16(frame.data() + at), 0};
  if (config_.kind == NatConfig::Kind::Symmetric)
    inside.remote = v4_of(view->destination), inside.remote_port = view->destination_port;
  const std::uint16_t port = map(inside, now);
  if (port == 0) return false;
  rewrite(frame, kSource, view->transport_offset, at, view->protocol, v4_of(config_.external), port);
  return true;
}

bool Nat::inward(Packet& packet, base::Time now) {
  Frame& frame = *packet.frame;
  const auto view = packet::IpView::parse(frame.span(), frame.segments > 1);
  if (!view.has_value() || view->family != packet::IpFamily::V4) return true;
  if (view->fragment) return false;
  const std::size_t at = port_offset(*view, frame.span(), false);
  if (at == 0) return view->protocol != packet::kProtocolIcmp || inward_error(packet, *view, now);
  const Mapping* mapping = view->destination == config_.external
                               ? find_external(view->protocol, load_be16(frame.data() + at), now)
                               : nullptr;
  if (!mapping) return false;
  const Inside& inside = mapping->inside;
  // Inbound packets do not refresh a mapping (RFC 4787 §4.3 lets them, most boxes do not).
  if (config_.kind == NatConfig::Kind::Symmetric &&
      (inside.remote != v4_of(view->source) || inside.remote_port != view->source_port))
    return false;
  rewrite(frame, kDestination, view->transport_offset, at, view->protocol, inside.address, inside.port);
  return true;
}

// An ICMP error about a packet that went out: both it and what it quotes are translated (RFC 5508 §4).
bool Nat::inward_error(Packet& packet, const packet::IpView& view, base::Time now) {
  const std::span<std::uint8_t> ip = packet.frame->span();
  const std::size_t icmp = view.transport_offset, inner = icmp + 8;
  if (inner + 28 > ip.size() || ip[inner] >> 4 != 4 || (ip[inner] & 15) < 5) return false;
  const std::size_t inner_transport = inner + (ip[inner] & 15) * 4u;
  if (inner_transport + 4 > ip.size()) return false;
  const Mapping* mapping = find_external(ip[inner + 9], load_be16(&ip[inner_transport]), now);
  if (!mapping || load_be32(&ip[inner + kSource]) != v4_of(config_.external)) return false;
  const std::uint32_t address = mapping->inside.address;
  store_be32(&ip[inner + kSource], address);
  store_be16(&ip[inner_transport], mapping->inside.port);
  store_be16(&ip[inner + 10], 0);
  store_be16(&ip[inner + 10], packet::ipv4_header_checksum(ip.subspan(inner, inner_transport - inner)));
  store_be32(&ip[kDestination], address);
  store_be16(&ip[10], packet::ipv4_header_checksum(ip.first(icmp)));
  store_be16(&ip[icmp + 2], 0);
  store_be16(&ip[icmp + 2],
             static_cast<std::uint16_t>(~packet::checksum_fold(packet::checksum_add(0, ip.subspan(icmp)))));
  return true;
}

}  // namespace qanat::linkem
