#include "dataplane/packet/icmp_too_big.hh"

#include <algorithm>

#include "dataplane/packet/byte_order.hh"
#include "dataplane/packet/checksum.hh"

namespace qanat::packet {
namespace {

constexpr std::size_t kIcmpHeader = 8;
constexpr std::size_t kMost4 = 576;   // RFC 1812 §4.3.2.3
constexpr std::size_t kMost6 = 1280;  // RFC 4443 §2.4 (c)
constexpr std::uint8_t kHopLimit = 64;

bool answerable(Bytes packet, const IpView& view) {
  if (view.transport_offset >= packet.size()) return false;
  if (view.family == IpFamily::V4) {
    const bool later_fragment = (load_be16(&packet[6]) & 0x1fff) != 0;
    const std::uint8_t type = packet[view.transport_offset];
    const bool error =
        view.protocol == kProtocolIcmp && (type == 3 || type == 4 || type == 5 || type == 11 || type == 12);
    return !later_fragment && !error && (packet[16] & 0xf0) != 0xe0;
  }
  const bool error =
      view.protocol == kProtocolIcmpV6 && !view.fragment && packet[view.transport_offset] < 128;
  return !error;
}

}  // namespace

std::vector<std::uint8_t> make_too_big(Bytes packet, const IpView& view, std::uint16_t mtu) {
  if (!answerable(packet, view)) return {};
  const bool v4 = view.family == IpFamily::V4;
  const std::size_t ip = v4 ? 20 : 40;
  const std::size_t quoted = std::min(packet.size(), (v4 ? kMost4 : kMost6) - ip - kIcmpHeader);
  std::vector<std::uint8_t> out(ip + kIcmpHeader + quoted);
  std::uint8_t* const icmp = out.data() + ip;
  std::copy_n(packet.begin(), quoted, out.begin() + static_cast<std::ptrdiff_t>(ip + kIcmpHeader));
  if (v4) {
    out[0] = 0x45;
    store_be16(&out[2], static_cast<std::uint16_t>(out.size()));
    out[8] = kHopLimit;
    out[9] = kProtocolIcmp;
    std::copy_n(packet.begin() + 16, 4, out.begin() + 12);
    std::copy_n(packet.begin() + 12, 4, out.begin() + 16);
    store_be16(&out[10], ipv4_header_checksum(Bytes(out).first(ip)));
    icmp[0] = 3;
    icmp[1] = 4;
    store_be16(icmp + 6, mtu);
    store_be16(icmp + 2, static_cast<std::uint16_t>(~checksum_fold(checksum_add(0, Bytes(out).subspan(ip)))));
  } else {
    out[0] = 0x60;
    store_be16(&out[4], static_cast<std::uint16_t>(kIcmpHeader + quoted));
    out[6] = kProtocolIcmpV6;
    out[7] = kHopLimit;
    std::copy_n(packet.begin() + 24, 16, out.begin() + 8);
    std::copy_n(packet.begin() + 8, 16, out.begin() + 24);
    icmp[0] = 2;
    store_be16(icmp + 6, mtu);
    std::uint64_t sum = checksum_add(0, Bytes(out).subspan(8, 32));
    sum += kIcmpHeader + quoted + kProtocolIcmpV6;
    store_be16(icmp + 2,
               static_cast<std::uint16_t>(~checksum_fold(checksum_add(sum, Bytes(out).subspan(ip)))));
  }
  return out;
}

}  // namespace qanat::packet
