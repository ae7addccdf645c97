// Explicit congestion notification across a tunnel (RFC 6040): what the outer header says is carried to the inner.
#pragma once

#include <cstdint>

#include "dataplane/packet/wire.hh"

namespace qanat::packet {

inline constexpr std::uint8_t kCongestionExperienced = 3;

// §4.2 for an outer CE: an ECN-capable packet is marked (its IPv4 header checksum follows); false for one that is not:
// drop it. `packet` begins with a whole IPv4 or IPv6 header.
bool carry_congestion(MutableBytes packet) noexcept;

}  // namespace qanat::packet
