#include "dataplane/qos/policy.hh"

#include <algorithm>

namespace qanat::qos {
namespace {

// A line's datagrams leave at most this far ahead of its rate: the queue behind it never holds more.
constexpr base::Duration kLineBurst = std::chrono::milliseconds{1};
// A critical burst: twenty datagrams in a row at 10 Mbit/s.
constexpr base::Duration kCriticalBurst = std::chrono::milliseconds{20};

}  // namespace

TenantLimits::TenantLimits(const TenantRates& rates)
    : committed_(rates.committed_bps),
      burst_(rates.burst_bps),
      bulk_(rates.bulk_bps),
      critical_(rates.critical_bps, kCriticalBurst),
      closed_(rates.bulk_closed) {}

void TenantLimits::set(const TenantRates& rates) {
  committed_.set_rate(rates.committed_bps);
  burst_.set_rate(rates.burst_bps);
  bulk_.set_rate(rates.bulk_bps);
  critical_.set_rate(rates.critical_bps);
  closed_.store(rates.bulk_closed, std::memory_order_relaxed);
}

base::Time TenantLimits::ready_at(ids::Tier tier) const {
  const base::Time burst = burst_.ready_at();
  if (tier != ids::Tier::Bulk && tier != ids::Tier::Scavenger) return burst;
  return closed() ? base::Time::max() : std::max(burst, bulk_.ready_at());
}

void TenantLimits::charge(ids::Tier tier, std::size_t wire_bytes, base::Time now) {
  if (committed_.limited()) committed_.charge(wire_bytes, now);
  if (burst_.limited()) burst_.charge(wire_bytes, now);
  if (bulk_.limited() && (tier == ids::Tier::Bulk || tier == ids::Tier::Scavenger))
    bulk_.charge(wire_bytes, now);
}

Policy::Policy(PolicyConfig config)
    : shares_(config.shares),
      interactive_queue_(config.interactive_queue),
      bulk_queue_(config.bulk_queue),
      rules_(std::move(config.rules)) {
  for (const std::uint64_t rate : config.line_bps) {
    lines_.push_back(std::make_unique<TokenBucket>(rate, kLineBurst));
    shapes_lines_ = shapes_lines_ || rate != 0;
  }
  for (const auto& [vni, rates] : config.tenants)
    tenants_.emplace(vni, std::make_unique<TenantLimits>(rates));
}

ids::Tier Policy::admit(ids::Tier asked, ids::Vni vni, std::size_t wire_bytes, base::Time now) const {
  if (asked != ids::Tier::Critical) return asked;
  TenantLimits* limits = tenant(vni);
  return limits == nullptr || limits->admit_critical(wire_bytes, now) ? asked : ids::Tier::Interactive;
}

}  // namespace qanat::qos
