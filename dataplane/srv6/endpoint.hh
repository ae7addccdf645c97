// The behaviours of an SRv6 node as pure functions: a packet and the tables in, a disposition out, the packet edited
// where it lies. RFC 8986 §4 (endpoints) and §5 (headends); nothing here reads a clock, counts or sends.
#pragma once

#include <cstdint>
#include <optional>

#include "dataplane/packet/drop_reason.hh"
#include "dataplane/srv6/frame.hh"
#include "dataplane/srv6/icmp.hh"
#include "dataplane/srv6/tables.hh"

namespace qanat::srv6 {

struct Disposition {
  enum class Action : std::uint8_t {
    Drop,     // `reason`; `error`, when present, is owed to the packet's source. The packet is as it came
    Forward,  // out of `link`, to be looked up by its destination there
    Table,    // a tenant's packet: look it up in the table of `vni`
    CrossConnect,  // a tenant's packet: out of the device of `vni`
    Reply,         // the packet has become its own answer: out of the link that it came by
  };
  Action action = Action::Drop;
  packet::DropReason reason = packet::DropReason::Srv6Malformed;
  std::optional<IcmpError> error;
  std::uint32_t sid = Tables::kNone;     // the local SID it was for
  std::uint32_t policy = Tables::kNone;  // the policy it was put into
  std::uint16_t link = 0;
  ids::Vni vni{};
  std::optional<ids::Tier> tier;
};

// A packet whose destination may be one of our SIDs. Needs kHeadroomBytes in front of it.
Disposition at_endpoint(const Tables& tables, Frame& frame) noexcept;

// A tenant's packet (IPv4 or IPv6, its checksums complete, no super-packet) into a policy: H.Encaps, H.Encaps.Red.
Disposition at_headend(const Tables& tables, std::uint32_t policy, Frame& frame) noexcept;

}  // namespace qanat::srv6
