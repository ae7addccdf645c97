#include "dataplane/packet/sealed_header.hh"

#include <fmt/format.h>

#include "dataplane/packet/byte_order.hh"

namespace qanat::packet {

OrDrop<SealedHeader> SealedHeader::parse(Bytes datagram) noexcept {
  if (datagram.size() < kMinSealedBytes || datagram[0] != static_cast<std::uint8_t>(DatagramType::Sealed))
    return DropReason::Malformed;
  SealedHeader h;
  h.bucket = datagram[1];
  h.receiver = load_be32(&datagram[4]);
  h.space = load_be32(&datagram[8]);
  h.counter = load_be64(&datagram[12]);
  return h;
}

void SealedHeader::serialize(MutableBytes out) const noexcept {
  out[0] = static_cast<std::uint8_t>(DatagramType::Sealed);
  out[1] = bucket;
  store_be16(&out[2], 0);
  store_be32(&out[4], receiver);
  store_be32(&out[8], space);
  store_be64(&out[12], counter);
}

std::string to_string(const SealedHeader& h) {
  return fmt::format("sealed bucket={} receiver={:08x} space={}:{} counter={}", h.bucket, h.receiver,
                     h.space >> 16, h.space & 0xffff, h.counter);
}

}  // namespace qanat::packet
