#include "dataplane/srv6/icmp.hh"

#include <algorithm>
#include <array>

#include "dataplane/packet/byte_order.hh"
#include "dataplane/packet/checksum.hh"

namespace qanat::srv6 {
namespace {

constexpr std::size_t kIcmpHeaderBytes = 8;
constexpr std::uint8_t kHopLimit = 64;
constexpr std::uint8_t kEchoReply = 129;

bool answerable(const packet::IpAddress& a) noexcept { return !a.unspecified() && a.high >> 56 != 0xff; }

// Over addresses, length, protocol and everything from byte 40 on (RFC 8200 §8.1); the packet has no extension headers.
std::uint16_t icmp_checksum(packet::Bytes packet) noexcept {
  std::uint64_t sum = packet::checksum_add(0, packet.subspan(8, 32));
  sum += packet.size() - kIpv6HeaderBytes + kNextIcmpV6;
  sum = packet::checksum_add(sum, packet.subspan(kIpv6HeaderBytes));
  return static_cast<std::uint16_t>(~packet::checksum_fold(sum));
}

void write_ipv6(packet::MutableBytes p, const packet::IpAddress& from, const packet::IpAddress& to) noexcept {
  packet::store_be32(&p[0], 0x60000000u);
  packet::store_be16(&p[4], static_cast<std::uint16_t>(p.size() - kIpv6HeaderBytes));
  p[6] = kNextIcmpV6;
  p[7] = kHopLimit;
  from.to_bytes(&p[8]);
  to.to_bytes(&p[24]);
}

}  // namespace

std::size_t make_icmp_error(const packet::IpAddress& own, packet::Bytes packet, const IcmpError& error,
                            packet::MutableBytes out) noexcept {
  const auto view = OuterView::parse(packet);
  if (!view || !answerable(view->source) || !answerable(view->destination)) return 0;
  // ICMPv6 types below 128 are errors; one cut off before its type could be one.
  if (view->upper == kNextIcmpV6 && (view->upper_at >= view->total_bytes || packet[view->upper_at] < 128))
    return 0;
  const std::size_t quoted =
      std::min<std::size_t>(view->total_bytes, kIcmpErrorBytes - kIpv6HeaderBytes - kIcmpHeaderBytes);
  const auto p = out.first(kIpv6HeaderBytes + kIcmpHeaderBytes + quoted);
  write_ipv6(p, own, view->source);
  p[40] = error.type;
  p[41] = error.code;
  packet::store_be16(&p[42], 0);
  packet::store_be32(&p[44], error.parameter);
  std::copy_n(packet.begin(), quoted, p.begin() + kIpv6HeaderBytes + kIcmpHeaderBytes);
  packet::store_be16(&p[42], icmp_checksum(p));
  return p.size();
}

bool answer_echo(Frame& frame, const OuterView& view) noexcept {
  if (!answerable(view.source)) return false;
  const auto whole = frame.packet();
  const auto message = whole.subspan(view.upper_at, view.total_bytes - std::size_t{view.upper_at});
  // The sum was made for the last segment as destination: that is where the packet is now.
  std::uint64_t sum = packet::checksum_add(0, whole.subspan(8, 32));
  sum = packet::checksum_add(sum + message.size() + kNextIcmpV6, message);
  if (packet::checksum_fold(sum) != 0xffff) return false;
  frame.truncate(view.total_bytes);
  frame.pull(view.upper_at - kIpv6HeaderBytes);
  const auto p = frame.packet();
  write_ipv6(p, view.destination, view.source);
  p[40] = kEchoReply;
  packet::store_be16(&p[42], 0);
  packet::store_be16(&p[42], icmp_checksum(p));
  return true;
}

bool IcmpLimiter::allows(base::Time now) noexcept {
  constexpr base::Duration kStep = std::chrono::nanoseconds{1'000'000'000 / kPerSecond};
  if (filled_ == base::Time{} || now - filled_ > kStep * kBurst) {
    tokens_ = kBurst;
    filled_ = now;
  }
  const auto steps = (now - filled_) / kStep;
  if (steps > 0) {
    tokens_ = std::min<std::uint32_t>(kBurst, tokens_ + static_cast<std::uint32_t>(steps));
    filled_ += kStep * steps;
  }
  if (tokens_ == 0) return false;
  --tokens_;
  return true;
}

}  // namespace qanat::srv6
