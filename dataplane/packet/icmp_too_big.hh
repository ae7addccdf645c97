// "Too big": what a tenant's host is told about a packet that its path cannot carry: ICMP type 3 code 4 (RFC 1191 §4), or
// ICMPv6 type 2 (RFC 4443 §3.2).
#pragma once

#include <cstdint>
#include <vector>

#include "dataplane/packet/ip_view.hh"

namespace qanat::packet {

// The whole answer to `packet`, to be written to the TUN that it came from. It claims to come from the packet's
// destination: the one address that the host surely takes a route through this TUN for. Empty where no answer may be
// given (RFC 1122 §3.2.2, RFC 4443 §2.4): to ICMP errors, to a later fragment, to a multicast address.
std::vector<std::uint8_t> make_too_big(Bytes packet, const IpView& view, std::uint16_t mtu);

}  // namespace qanat::packet
