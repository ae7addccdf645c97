// Domain, limits: what tiers get that may not travel everywhere.
#include "base/log.hh"
#include "controller/domain/domain.hh"

namespace qanat::domain {

// Tenants, members or the rules may be others.
void Domain::settle_limits() {
  limited_.keep(pairs_);
  std::map<std::string, std::vector<std::uint32_t>> members;
  const auto names = own_names();
  if (!rules_.limits.empty())
    for (const auto* tenant : tenants_in_force()) members[tenant->name()] = member_ids(*tenant, names);
  if (limited_.set(TierLimits(rules_, members, locations()))) all_dirty();
}

std::map<std::uint32_t, std::string> Domain::locations() const {
  std::map<std::uint32_t, std::string> out;
  for (const auto& [id, member] : membership_.current()) out[id] = member.record.location();
  for (const auto& [id, record] : remote_) out[id] = record->location();
  return out;
}

void Domain::compute_limited(const Pair& pair, paths::Unknowns unknowns, const paths::RelayLoad& load,
                             Now now) {
  static const paths::Choices kNone;
  const auto shared = selections_.find(pair);
  const auto pace = [&](const paths::Choices& held, const paths::Choices& wanted) {
    return move_budget_.take(rules_, engine_, pair, held, wanted, pairs_.size(), now);
  };
  const auto outcome = limited_.compute(
      engine_, steering_, pair, shared == selections_.end() ? kNone : shared->second, unknowns, load, pace);
  if (outcome.changed) rollouts_[pair.first].dirty = true;
  if (outcome.changed || outcome.waits) unsettled_.insert(pair);
  for (const auto& [tier, cut_off] : outcome.news) {
    const std::string from = name_of(pair.first), to = name_of(pair.second);
    const std::string name(ids::to_string(tier));
    if (cut_off) base::log_warn("{} from {} to {}: no way that works is within its limits", name, from, to);
    emit({cut_off ? "tier_cut_off" : "tier_restored", {{"from", from}, {"to", to}, {"tier", name}}});
  }
}

}  // namespace qanat::domain
