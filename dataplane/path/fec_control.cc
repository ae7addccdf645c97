#include "dataplane/path/fec_control.hh"

#include <algorithm>

namespace qanat::path {
namespace {

// A burst takes as many as it is long, and the repairs among them: what follows has to come closer together.
FecPlan planned(const LossPattern& pattern) {
  const double margin = FecControl::kMargin * (1 + std::max(pattern.burst, 1.0)) / 2;
  const double every = 1 / (margin * std::max(pattern.loss, 1e-6));
  return {kMostSources, static_cast<std::uint8_t>(
                            std::clamp<double>(every, FecControl::kLeastEvery, FecControl::kMostEvery))};
}

}  // namespace

bool FecControl::on_measured(const LossPattern& pattern, base::Time now) {
  const bool ask_again = budget_ <= base::Duration{} || pattern.rtt + pattern.rtt / 4 <= budget_;
  if (pattern.loss >= kOff) lossy_at_ = now;
  FecPlan plan = plan_;
  if (ask_again || (plan_.on() && now - lossy_at_ >= kCalm)) {
    plan = {};
  } else if (plan_.on() ? now - planned_at_ >= kReplan : pattern.loss >= kOn) {
    planned_at_ = now;
    plan = planned(pattern);
  }
  if (plan == plan_) return false;
  plan_ = plan;
  return true;
}

}  // namespace qanat::path
