#include "identifiers/ids/tier.hh"

namespace qanat::ids {
namespace {
constexpr std::array<std::string_view, kTierCount> kNames{"critical", "interactive", "bulk", "scavenger"};
}

std::string_view to_string(Tier tier) { return kNames[static_cast<std::size_t>(tier) & 3]; }

std::optional<Tier> parse_tier(std::string_view text) {
  for (const Tier tier : kTiers)
    if (text == to_string(tier)) return tier;
  return std::nullopt;
}

}  // namespace qanat::ids
