// A valve that asks first: its plans made, confirmed, refused.
#include <algorithm>
#include <array>

#include "gateway/place/valve.hh"

namespace qanat::place {
namespace {

constexpr std::size_t kMaxPlans = 64;

}  // namespace

std::string_view to_string(ValvePlan::State state) {
  static constexpr std::array<std::string_view, 4> kNames{"waiting", "confirmed", "refused", "expired"};
  return kNames[static_cast<std::size_t>(state)];
}

void Valve::plan_for(const Engines& wanted, base::Time now) {
  if (quiet_until_) return;
  for (const ValvePlan& plan : plans_)
    if (plan.state == ValvePlan::State::Waiting) return;
  ValvePlan plan;
  plan.id = next_plan_++;
  for (std::size_t i = 0; i < bound_.size(); ++i)
    if (wanted[i] > 0) plan.engines.emplace_back(bound_[i].is.id, wanted[i]);
  plan.nano_per_hour = nano_per_s(wanted) * 3600;
  plan.demand = demand_;
  plan.expected = expected_;
  plan.made = now;
  plan.expires = now + settings_.plan_ttl;
  if (plans_.size() == kMaxPlans) plans_.erase(plans_.begin());
  plans_.push_back(plan);
  say(ValveEvent::Kind::PlanMade, now, plan.id);
}

bool Valve::confirm(std::uint64_t id, base::Time now) {
  for (ValvePlan& plan : plans_) {
    if (plan.id != id || plan.state != ValvePlan::State::Waiting || plan.expires <= now) continue;
    plan.state = ValvePlan::State::Confirmed;
    for (const auto& [placeholder, engines] : plan.engines)
      if (Bound* const b = find(placeholder)) {
        b->granted = std::max(b->granted, std::min(engines, b->is.engines));
        b->awake = std::max(b->awake, b->granted);
      }
    on_timer(now);
    return true;
  }
  return false;
}

bool Valve::refuse(std::uint64_t id, base::Time now) {
  for (ValvePlan& plan : plans_) {
    if (plan.id != id || plan.state != ValvePlan::State::Waiting) continue;
    plan.state = ValvePlan::State::Refused;
    quiet_until_ = now + settings_.plan_ttl;
    on_timer(now);
    return true;
  }
  return false;
}

}  // namespace qanat::place
