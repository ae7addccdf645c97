// Fragments of an IPv4 packet as a router makes them (RFC 791 §3.2): for what may be cut and is too large for anything else
// that the overlay does. Its host puts them together, as it would behind any other router.
#pragma once

#include <cstddef>
#include <vector>

#include "dataplane/packet/ip_view.hh"

namespace qanat::packet {

// The fragment of `packet` (whole, its checksums complete) that begins `from` bytes behind its IP header, at most `mtu`
// bytes of it, into `out`; returns where the next one begins, 0 after the last. `from`: 0, then what was returned. A
// fragment is cut again where need be. Nothing (0, `out` empty) if not even eight bytes fit.
std::size_t make_ipv4_fragment(Bytes packet, const IpView& view, std::size_t mtu, std::size_t from,
                               std::vector<std::uint8_t>& out);

// How many there are; 0 where there can be none.
std::size_t count_ipv4_fragments(const IpView& view, std::size_t mtu);

}  // namespace qanat::packet
