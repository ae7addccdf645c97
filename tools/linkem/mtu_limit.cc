#include "tools/linkem/mtu_limit.hh"

#include <algorithm>
#include <cstring>

#include "dataplane/packet/byte_order.hh"
#include "dataplane/packet/checksum.hh"

namespace qanat::linkem {
namespace {

using packet::store_be16;
using packet::store_be32;

constexpr std::size_t kQuoted4 = 576 - 20 - 8;   // RFC 1812 §4.3.2.3
constexpr std::size_t kQuoted6 = 1280 - 40 - 8;  // RFC 4443 §3.2
constexpr std::uint8_t kTtl = 64;

bool is_icmp_error(const packet::IpView& view, std::span<const std::uint8_t> ip) {
  if (view.transport_offset >= ip.size()) return false;
  const std::uint8_t type = ip[view.transport_offset];
  if (view.protocol == packet::kProtocolIcmp)
    return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
  return view.protocol == packet::kProtocolIcmpV6 && type < 128;
}

void write_too_big_v4(std::uint8_t* out, std::span<const std::uint8_t> quoted, std::uint32_t mtu) {
  std::memset(out, 0, 28);
  out[0] = 0x45;
  store_be16(out + 2, static_cast<std::uint16_t>(28 + quoted.size()));
  out[8] = kTtl;
  out[9] = packet::kProtocolIcmp;
  std::memcpy(out + 12, quoted.data() + 16, 4);
  std::memcpy(out + 16, quoted.data() + 12, 4);
  store_be16(out + 10, packet::ipv4_header_checksum({out, 20}));
  out[20] = 3, out[21] = 4;  // destination unreachable: fragmentation needed
  store_be16(out + 26, static_cast<std::uint16_t>(mtu));
  std::memcpy(out + 28, quoted.data(), quoted.size());
  store_be16(out + 22, static_cast<std::uint16_t>(
                           ~packet::checksum_fold(packet::checksum_add(0, {out + 20, 8 + quoted.size()}))));
}

void write_too_big_v6(std::uint8_t* out, std::span<const std::uint8_t> quoted, std::uint32_t mtu) {
  std::memset(out, 0, 48);
  out[0] = 0x60;
  store_be16(out + 4, static_cast<std::uint16_t>(8 + quoted.size()));
  out[6] = packet::kProtocolIcmpV6;
  out[7] = kTtl;
  std::memcpy(out + 8, quoted.data() + 24, 16);
  std::memcpy(out + 24, quoted.data() + 8, 16);
  out[40] = 2;  // packet too big
  store_be32(out + 44, mtu);
  std::memcpy(out + 48, quoted.data(), quoted.size());
  const std::uint64_t pseudo =
      packet::checksum_add(packet::kProtocolIcmpV6 + 8 + quoted.size(), {out + 8, 32});
  store_be16(out + 42, static_cast<std::uint16_t>(~packet::checksum_fold(
                           packet::checksum_add(pseudo, {out + 40, 8 + quoted.size()}))));
}

}  // namespace

void MtuLimit::answer(const Packet& packet, base::Time now, Outlet& out) {
  const FrameRef original = completed_copy(packet.part(0, 1), pool_);
  const auto ip = original->span();
  const auto view = packet::IpView::parse(ip);
  if (!view.has_value() || is_icmp_error(*view, ip)) return;
  const bool v4 = view->family == packet::IpFamily::V4;
  const auto quoted = ip.first(std::min(ip.size(), v4 ? kQuoted4 : kQuoted6));
  const std::size_t headers = v4 ? 28 : 48;
  FrameRef reply = pool_.take(headers + quoted.size());
  reply->bytes = static_cast<std::uint32_t>(headers + quoted.size());
  (v4 ? write_too_big_v4 : write_too_big_v6)(reply->data(), quoted, mtu_);
  ++answered_;
  out.reply(std::move(reply), now);
}

void MtuLimit::push(Packet packet, base::Time now, Outlet& out) {
  bool told = silent_;
  cut_where(
      packet, [&](std::uint64_t, std::uint16_t i) { return packet.segment_bytes(i) > mtu_; },
      [&](Packet part, bool too_big) {
        if (!too_big) {
          out.forward(std::move(part), now);
          return;
        }
        if (!told) answer(part, now, out);
        told = true;
        out.drop(part, DropReason::Mtu, now);
      });
}

}  // namespace qanat::linkem
