#include "dataplane/packet/link_header.hh"

#include <fmt/format.h>

#include "dataplane/packet/byte_order.hh"

namespace qanat::packet {

OrDrop<LinkHeader> LinkHeader::parse(Bytes datagram) noexcept {
  if (datagram.size() < kBytes || datagram[0] != static_cast<std::uint8_t>(DatagramType::Routed))
    return DropReason::Malformed;
  LinkHeader h;
  h.bucket = datagram[1];
  h.route_bytes = datagram[2];
  h.receiver = load_be32(&datagram[4]);
  h.counter = load_be64(&datagram[8]);
  // r = 8 + 12 n for n = 2 … 8
  if (h.route_bytes < route_header_bytes(kMinSegments) || h.route_bytes > kMaxRouteHeaderBytes ||
      (h.route_bytes - 8) % 12 != 0)
    return DropReason::Malformed;
  if (datagram.size() <= h.inner_offset() || !classify(datagram.subspan(h.inner_offset()), true).has_value())
    return DropReason::Malformed;
  return h;
}

void LinkHeader::serialize(MutableBytes out) const noexcept {
  out[0] = static_cast<std::uint8_t>(DatagramType::Routed);
  out[1] = bucket;
  out[2] = route_bytes;
  out[3] = 0;
  store_be32(&out[4], receiver);
  store_be64(&out[8], counter);
}

std::string to_string(const LinkHeader& h) {
  return fmt::format("routed bucket={} r={} receiver={:08x} counter={}", h.bucket, h.route_bytes, h.receiver,
                     h.counter);
}

}  // namespace qanat::packet
