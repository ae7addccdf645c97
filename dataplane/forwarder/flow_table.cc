#include "dataplane/forwarder/flow_table.hh"

#include <algorithm>

#include "dataplane/packet/byte_order.hh"

namespace qanat::forwarder {
namespace {

using packet::IpFamily;

constexpr std::uint8_t kFin = 1;
constexpr std::uint8_t kSyn = 2;
constexpr std::uint8_t kRst = 4;
constexpr std::uint8_t kAck = 16;

std::uint8_t tcp_flags(const packet::IpView& view, packet::Bytes packet) noexcept {
  return view.protocol == packet::kProtocolTcp && !view.fragment
             ? packet[view.transport_offset + std::size_t{13}]
             : 0;
}

std::uint64_t mix(std::uint64_t h) noexcept {
  h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9ULL;
  h = (h ^ h >> 27) * 0x94d049bb133111ebULL;
  return h ^ h >> 31;
}

// ICMP and ICMPv6 messages that quote the packet they are about.
bool icmp_error(const packet::IpView& view, std::uint8_t type) noexcept {
  if (view.family == IpFamily::V4)
    return view.protocol == packet::kProtocolIcmp && (type == 3 || type == 11 || type == 12);
  return view.protocol == packet::kProtocolIcmpV6 && type >= 1 && type <= 4;
}

}  // namespace

FlowTable::Entry* FlowTable::set_of(const Flow& f) noexcept {
  // Both directions of a flow lie in one set.
  const auto end = [&](const packet::IpAddress& a, std::uint16_t port) {
    return mix(mix(mix(a.high ^ seed_) ^ a.low) ^ port);
  };
  const std::uint64_t h = mix((end(f.source, f.source_port) + end(f.destination, f.destination_port)) ^
                              (std::uint64_t{f.vni.value} << 8 | f.protocol));
  return entries_.data() + (h % kSets) * kWays;
}

FlowTable::Entry* FlowTable::find(const Flow& flow) noexcept {
  Entry* set = set_of(flow);
  for (std::size_t i = 0; i < kWays; ++i)
    if (set[i].until > now_ && set[i].flow == flow) return &set[i];
  return nullptr;
}

bool FlowTable::admits(ids::Vni vni, const fib::Acl& acl, ids::NodeId from, ids::NodeId to,
                       const packet::IpView& view, packet::Bytes packet) noexcept {
  const Flow flow{vni, view.protocol, view.source_port, view.destination_port, view.source, view.destination};
  const std::uint8_t flags = tcp_flags(view, packet);
  const base::Duration idle = (flags & (kFin | kRst)) != 0            ? kClosing
                              : view.protocol == packet::kProtocolTcp ? kTcpIdle
                                                                      : kOtherIdle;
  // 1. A flow that its opener goes on with, or that is answered. A bare SYN the other way opens a new one.
  Entry* entry = find(flow);
  const bool forward = entry != nullptr;
  if (entry == nullptr && (flags & (kSyn | kAck)) != kSyn) entry = find(flow.reversed());
  if (entry != nullptr && entry->generation != generation_) {
    const Flow& f = entry->flow;
    if (acl.opens(forward ? from : to, forward ? to : from, f.protocol, f.destination_port, !view.fragment)) {
      entry->generation = generation_;
    } else {
      entry->until = {};
      entry = nullptr;
    }
  }
  if (entry != nullptr) {
    // What is closing stays so, unless it is opened again.
    if (entry->until - now_ > kClosing || forward) entry->until = now_ + idle;
    return true;
  }
  // 2. News of a flow that we know.
  if (quotes_known_flow(vni, view, packet)) return true;
  // 3. A new one.
  if (!acl.opens(from, to, view)) return false;
  Entry* set = set_of(flow);
  Entry* victim =
      std::min_element(set, set + kWays, [](const Entry& a, const Entry& b) { return a.until < b.until; });
  if (victim->until > now_) ++evictions_;
  *victim = {flow, now_ + idle, generation_};
  return true;
}

bool FlowTable::quotes_known_flow(ids::Vni vni, const packet::IpView& view, packet::Bytes packet) noexcept {
  const bool v4 = view.family == IpFamily::V4;
  if (view.fragment || view.transport_bytes() < 8u + (v4 ? 20u : 40u) ||
      !icmp_error(view, packet[view.transport_offset]))
    return false;
  const packet::Bytes quoted = packet.subspan(view.transport_offset + std::size_t{8},
                                              view.total_bytes - view.transport_offset - std::size_t{8});
  const std::size_t header = v4 ? (quoted[0] & 0x0f) * 4u : 40u;
  if (quoted[0] >> 4 != (v4 ? 4 : 6) || header < 20 || quoted.size() < header + 4) return false;
  Flow flow;
  flow.vni = vni;
  flow.protocol = quoted[v4 ? 9 : 6];
  flow.source = packet::IpAddress::from_bytes(view.family, &quoted[v4 ? 12 : 8]);
  flow.destination = packet::IpAddress::from_bytes(view.family, &quoted[v4 ? 16 : 24]);
  if (flow.protocol == packet::kProtocolTcp || flow.protocol == packet::kProtocolUdp) {
    flow.source_port = packet::load_be16(&quoted[header]);
    flow.destination_port = packet::load_be16(&quoted[header + 2]);
  }
  return find(flow) != nullptr || find(flow.reversed()) != nullptr;
}

}  // namespace qanat::forwarder
