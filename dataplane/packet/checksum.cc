#include "dataplane/packet/checksum.hh"

#include <cstring>

#include "dataplane/packet/byte_order.hh"

namespace qanat::packet {

std::uint64_t checksum_add(std::uint64_t sum, Bytes bytes) noexcept {
  // Ones' complement addition does not care for byte order (RFC 1071 §2): sum native 32-bit words, swap once
  // at the end.
  std::uint64_t native = 0;
  const std::uint8_t* p = bytes.data();
  std::size_t n = bytes.size();
  while (n >= 16) {
    std::uint32_t w[4];
    std::memcpy(w, p, 16);
    native += std::uint64_t{w[0]} + w[1] + w[2] + w[3];
    p += 16;
    n -= 16;
  }
  while (n >= 2) {
    std::uint16_t w;
    std::memcpy(&w, p, 2);
    native += w;
    p += 2;
    n -= 2;
  }
  if (n == 1) native += *p;  // low byte in native (little-endian) order: padded with zero on the right
  while (native >> 16 != 0) native = (native & 0xffff) + (native >> 16);
  return sum + __builtin_bswap16(static_cast<std::uint16_t>(native));
}

std::uint16_t checksum_fold(std::uint64_t sum) noexcept {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(sum);
}

std::uint64_t pseudo_header_sum(const IpView& view) noexcept {
  std::uint8_t addresses[32];
  const std::size_t width = view.family == IpFamily::V4 ? 4 : 16;
  view.source.to_bytes(addresses);
  view.destination.to_bytes(addresses + width);
  return checksum_add(view.protocol, {addresses, 2 * width});
}

std::uint16_t partial_checksum(const IpView& view, std::uint32_t transport_bytes) noexcept {
  return checksum_fold(pseudo_header_sum(view) + transport_bytes);
}

std::uint16_t ipv4_header_checksum(Bytes header) noexcept {
  const std::uint64_t sum = checksum_add(checksum_add(0, header.first(10)), header.subspan(12));
  return static_cast<std::uint16_t>(~checksum_fold(sum));
}

bool transport_checksum_valid(const IpView& view, Bytes packet) noexcept {
  const std::uint16_t offset = checksum_field_offset(view.protocol);
  if (offset == 0 || view.fragment) return false;
  const Bytes transport = packet.subspan(view.transport_offset, view.transport_bytes());
  if (view.protocol == kProtocolUdp && load_be16(&transport[offset]) == 0) return view.family == IpFamily::V4;
  return checksum_fold(checksum_add(pseudo_header_sum(view) + transport.size(), transport)) == 0xffff;
}

namespace {

bool complete_at(MutableBytes summed, std::size_t offset, bool udp) noexcept {
  if (offset + 2 > summed.size()) return false;
  auto checksum = static_cast<std::uint16_t>(~checksum_fold(checksum_add(0, summed)));
  if (udp && checksum == 0) checksum = 0xffff;  // RFC 768: zero would mean "none"
  store_be16(&summed[offset], checksum);
  return true;
}

}  // namespace

bool complete_checksum(const VirtioHeader& header, MutableBytes packet) noexcept {
  if (header.checksum_start > packet.size()) return false;
  return complete_at(packet.subspan(header.checksum_start), header.checksum_offset,
                     header.checksum_offset == 6);
}

bool complete_checksum(const IpView& view, MutableBytes packet) noexcept {
  const std::uint16_t offset = checksum_field_offset(view.protocol);
  if (offset == 0 || view.fragment) return false;
  return complete_at(packet.subspan(view.transport_offset, view.transport_bytes()), offset,
                     view.protocol == kProtocolUdp);
}

}  // namespace qanat::packet
