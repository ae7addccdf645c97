// Tier: the four qualities of service (DESIGN §1), which are also the colours of SR policies (RFC 9256 §2.1).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace qanat::ids {

enum class Tier : std::uint8_t { Critical = 0, Interactive = 1, Bulk = 2, Scavenger = 3 };
inline constexpr std::size_t kTierCount = 4;
inline constexpr std::array<Tier, kTierCount> kTiers{Tier::Critical, Tier::Interactive, Tier::Bulk,
                                                     Tier::Scavenger};

std::string_view to_string(Tier tier);
std::optional<Tier> parse_tier(std::string_view text);

// The DSCP a tier is sent with: EF 46 (RFC 3246), AF41 34, AF11 10 (RFC 2597), LE 1 (RFC 8622).
constexpr std::uint8_t dscp(Tier tier) {
  constexpr std::array<std::uint8_t, kTierCount> kDscp{46, 34, 10, 1};
  return kDscp[static_cast<std::size_t>(tier)];
}
// The tier that an inner DSCP asks for: EF, CS6 → critical; AF4x → interactive; LE → scavenger; all else → bulk.
constexpr Tier tier_of_dscp(std::uint8_t dscp_value) {
  switch (dscp_value) {
    case 46:
    case 48: return Tier::Critical;
    case 34:
    case 36:
    case 38: return Tier::Interactive;
    case 1: return Tier::Scavenger;
    default: return Tier::Bulk;
  }
}

}  // namespace qanat::ids
