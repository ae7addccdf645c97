// Putting a packet into an SR policy: the outer IPv6 header and its SRH (RFC 8986 §5.1, §5.2), pushed in front of it.
#pragma once

#include <optional>

#include "dataplane/srv6/frame.hh"
#include "dataplane/srv6/tables.hh"

namespace qanat::srv6 {

inline constexpr std::uint8_t kOuterHopLimit = 64;

// What the outer header takes over from the packet inside.
struct Carried {
  std::uint8_t traffic_class = 0;
  std::uint32_t flow_label = 0;  // 20 bits: ECMP on the way (RFC 6437)
  std::uint8_t next_header = 0;  // kNextIpv4 or kNextIpv6
};

// Bytes that a policy puts in front of a packet.
std::size_t policy_overhead(const Policy& policy) noexcept;
// Mtu when a packet of `bytes` does not fit the links in this policy.
std::optional<packet::DropReason> room_for(const Tables& tables, std::uint32_t policy,
                                           std::size_t bytes) noexcept;
// room_for() said yes.
void push_policy(const Tables& tables, std::uint32_t policy, Frame& frame, const Carried& carried) noexcept;

}  // namespace qanat::srv6
