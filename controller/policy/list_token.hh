// List tokens (wire.md §6): what a relay's own domain mints so that the relay carries one list for one headend.
// The relay's side of the same bytes is the dataplane's; tests/golden/token holds vectors that both must meet.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "base/time.hh"
#include "identifiers/ids/node_id.hh"
#include "identifiers/ids/sid.hh"
#include "identifiers/ids/tier.hh"

namespace qanat::policy {

using RelaySecret = std::array<std::uint8_t, 32>;  // K(relay, epoch)

struct TokenRequest {
  ids::NodeId relay;
  ids::NodeId headend;
  ids::Tier tier = ids::Tier::Bulk;
  std::uint32_t expires_unix_s = 0;
  std::uint8_t epoch = 0;
  std::span<const std::uint32_t> segments;  // SIDs, the endpoint's last
};

// The first 8 bytes of keyed BLAKE2s-256, read in network order.
std::uint64_t mint(const RelaySecret& key, const TokenRequest& request);

}  // namespace qanat::policy
