// Classifier: the tier that an inner packet asks for by its DSCP, read before anything else is parsed.
#pragma once

#include "dataplane/packet/wire.hh"
#include "identifiers/ids/tier.hh"

namespace qanat::qos {

// `packet` begins with the IP header; anything that is not IPv4 or IPv6, or is too short, is bulk.
constexpr ids::Tier classify(packet::Bytes packet) noexcept {
  if (packet.size() < 2) return ids::Tier::Bulk;
  switch (packet[0] >> 4) {
    case 4: return ids::tier_of_dscp(packet[1] >> 2);
    case 6: return ids::tier_of_dscp(static_cast<std::uint8_t>((packet[0] & 0x0f) << 2 | packet[1] >> 6));
    default: return ids::Tier::Bulk;
  }
}

}  // namespace qanat::qos
