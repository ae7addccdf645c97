// MSS clamp: a SYN that passes promises segments which the path can carry (RFC 9293 §3.7.1), so that hosts that never
// hear an ICMP error need none.
#pragma once

#include <cstdint>

#include "dataplane/packet/ip_view.hh"

namespace qanat::packet {

// Lowers the MSS option of a TCP SYN in place to what `inner_mtu` carries; true when it did. A complete checksum is
// corrected (RFC 1624); a partial one does not cover the option. Other packets are left alone.
bool clamp_mss(MutableBytes packet, const IpView& view, std::uint16_t inner_mtu,
               bool checksum_partial) noexcept;

}  // namespace qanat::packet
