#include "dataplane/srv6/headend.hh"

#include <algorithm>

#include "dataplane/packet/byte_order.hh"
#include "dataplane/packet/ip_view.hh"
#include "dataplane/srv6/endpoint.hh"

namespace qanat::srv6 {
namespace {

using packet::DropReason;

constexpr std::uint8_t kHmacFlag = 0x08;

// Entries of the list on the wire: a reduced one leaves its first segment to the destination field.
std::size_t listed(const Policy& policy) noexcept {
  const std::size_t n = policy.segments.size();
  if (policy.encapsulation == Encapsulation::Full) return n;
  // One segment and an HMAC: the TLV needs a list to stand behind.
  return n == 1 && policy.hmac_key != 0 ? 1 : n - 1;
}

std::size_t srh_bytes(const Policy& policy) noexcept {
  const std::size_t n = listed(policy);
  if (n == 0) return 0;
  return kSrhFixedBytes + n * kSidBytes + (policy.hmac_key != 0 ? kHmacTlvBytes : 0);
}

// One hop less, as a router that forwards it (RFC 8986 §5.1 S05). The hop limit was above 1.
void decrement_hop_limit(packet::MutableBytes p) noexcept {
  if (p[0] >> 4 == 6) {
    p[7] = static_cast<std::uint8_t>(p[7] - 1);
    return;
  }
  p[8] = static_cast<std::uint8_t>(p[8] - 1);
  // RFC 1624: TTL is the high byte of its word, so the checksum rises by 0x100 with the carry brought round.
  std::uint32_t sum = packet::load_be16(&p[10]) + 0x100u;
  sum = (sum & 0xffff) + (sum >> 16);
  packet::store_be16(&p[10], static_cast<std::uint16_t>(sum));
}

}  // namespace

std::size_t policy_overhead(const Policy& policy) noexcept { return kIpv6HeaderBytes + srh_bytes(policy); }

std::optional<DropReason> room_for(const Tables& tables, std::uint32_t policy, std::size_t bytes) noexcept {
  if (bytes + policy_overhead(tables.policies()[policy]) > tables.mtu()) return DropReason::Mtu;
  return std::nullopt;
}

void push_policy(const Tables& tables, std::uint32_t index, Frame& frame, const Carried& carried) noexcept {
  const Policy& policy = tables.policies()[index];
  const std::size_t srh = srh_bytes(policy);
  const std::size_t inner = frame.packet().size();
  frame.push(kIpv6HeaderBytes + srh);
  const auto p = frame.packet();
  packet::store_be32(
      &p[0], 0x60000000u | std::uint32_t{carried.traffic_class} << 20 | (carried.flow_label & 0xfffff));
  packet::store_be16(&p[4], static_cast<std::uint16_t>(srh + inner));
  p[6] = srh == 0 ? carried.next_header : kNextRouting;
  p[7] = kOuterHopLimit;
  tables.address().to_bytes(&p[8]);
  policy.segments.front().to_bytes(&p[24]);
  if (srh == 0) return;
  const std::size_t n = listed(policy);
  Srh h;
  h.at = kIpv6HeaderBytes;
  h.bytes = static_cast<std::uint16_t>(srh);
  h.last_entry = static_cast<std::uint8_t>(n - 1);
  std::uint8_t* s = &p[kIpv6HeaderBytes];
  s[0] = carried.next_header;
  s[1] = static_cast<std::uint8_t>(srh / 8 - 1);
  s[2] = Srh::kRoutingType;
  s[3] = static_cast<std::uint8_t>(policy.segments.size() - 1);
  s[4] = h.last_entry;
  h.flags = policy.hmac_key != 0 && policy.hmac_flag ? kHmacFlag : 0;
  s[5] = h.flags;
  packet::store_be16(s + 6, 0);
  // The list runs backwards: entry 0 is where the way ends.
  for (std::size_t i = 0; i < n; ++i)
    policy.segments[policy.segments.size() - 1 - i].to_bytes(&p[h.entry_at(i)]);
  if (policy.hmac_key == 0) return;
  h.hmac_at = static_cast<std::uint16_t>(h.entry_at(n));
  write_hmac(*tables.hmac_key(policy.hmac_key), p, h, n < policy.segments.size());
}

Disposition at_headend(const Tables& tables, std::uint32_t policy, Frame& frame) noexcept {
  Disposition d;
  d.policy = policy;
  const auto view = packet::IpView::parse(frame.packet());
  if (!view) {
    d.reason = view.error();
    return d;
  }
  frame.truncate(view->total_bytes);
  if (view->hop_limit <= 1) {
    d.reason = DropReason::Srv6HopLimit;
    return d;
  }
  if (const auto refused = room_for(tables, policy, frame.packet().size())) {
    d.reason = *refused;
    return d;
  }
  decrement_hop_limit(frame.packet());
  push_policy(tables, policy, frame,
              {view->traffic_class, packet::flow_hash(*view),
               view->family == packet::IpFamily::V4 ? kNextIpv4 : kNextIpv6});
  d.action = Disposition::Action::Forward;
  d.link = tables.policies()[policy].link;
  return d;
}

}  // namespace qanat::srv6
