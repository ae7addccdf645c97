#include "controller/domain/tenant_rates.hh"

#include <algorithm>
#include <array>
#include <optional>

namespace qanat::domain {
namespace {

bool has(const RatedTenant& tenant, std::uint32_t node) {
  return std::binary_search(tenant.members.begin(), tenant.members.end(), node);
}

// By index; nothing: of none.
std::optional<std::size_t> owner(const std::vector<RatedTenant>& tenants, const TrafficAsk& ask) {
  std::optional<std::size_t> best;
  for (std::size_t t = 0; t < tenants.size(); ++t)
    if (has(tenants[t], ask.key.first.first) && has(tenants[t], ask.key.first.second) &&
        (!best || tenants[t].committed_bps > tenants[*best].committed_bps))
      best = t;
  return best;
}

}  // namespace

void divide(std::vector<TrafficAsk>& asks, const std::vector<RatedTenant>& tenants) {
  using Tiers = std::array<double, ids::kTierCount>;
  std::vector<Tiers> asked(tenants.size(), Tiers{});
  for (TrafficAsk& ask : asks) {
    ask.tenant = owner(tenants, ask);
    ask.committed_bps = 0;
    ask.most_bps = ask.bps;
    if (ask.tenant) asked[*ask.tenant][static_cast<std::size_t>(ask.key.second)] += ask.bps;
  }
  std::vector<Tiers> committed(tenants.size(), Tiers{}), more(tenants.size(), Tiers{});  // as shares
  for (std::size_t t = 0; t < tenants.size(); ++t) {
    double sure = tenants[t].committed_bps, left = std::max(tenants[t].burst_bps, sure) - sure;
    for (const ids::Tier tier : ids::kTiers) {
      const auto i = static_cast<std::size_t>(tier);
      if (asked[t][i] <= 0) continue;
      const double first = std::min(sure, asked[t][i]), rest = std::min(left, asked[t][i] - first);
      sure -= first;
      left -= rest;
      committed[t][i] = first / asked[t][i];
      more[t][i] = (first + rest) / asked[t][i];
    }
  }
  for (TrafficAsk& ask : asks) {
    if (!ask.tenant) continue;
    const auto i = static_cast<std::size_t>(ask.key.second);
    ask.committed_bps = ask.bps * committed[*ask.tenant][i];
    ask.most_bps = ask.bps * more[*ask.tenant][i];
  }
}

}  // namespace qanat::domain
