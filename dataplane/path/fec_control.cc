#include "dataplane/path/fec_control.hh"

#include <algorithm>
#include <cmath>

namespace qanat::path {

// A block of n = k + r fails when more than r are lost; then what is lost of it stays lost.
double fec_residual(unsigned sources, unsigned repairs, double loss) {
  const unsigned n = sources + repairs;
  double probability = std::pow(1 - loss, n);  // of exactly i losses
  double lost = 0;
  for (unsigned i = 0; i <= n; ++i) {
    if (i > repairs) lost += probability * i;
    probability *= loss / (1 - loss) * (n - i) / (i + 1);
  }
  return lost / n;
}

FecPlan FecControl::wanted(const LossPattern& pattern) const {
  const double loss = std::clamp(pattern.loss, 0.0, 0.4);
  const double in_time = pattern.packets_per_second * std::chrono::duration<double>(span()).count();
  const auto sources = static_cast<unsigned>(std::clamp(in_time, 2.0, double{kMostSources}));
  const unsigned most = std::min((sources + kMostOverhead - 1) / kMostOverhead, kMostRepairs);
  // A burst takes neighbours: count its losses as one event of that many symbols.
  const double burst = std::max(pattern.burst, 1.0);
  unsigned repairs = std::min(most, static_cast<unsigned>(std::ceil(burst)));
  while (repairs < most &&
         fec_residual(sources, static_cast<unsigned>(repairs / burst), loss / burst) > kResidual)
    ++repairs;
  return {static_cast<std::uint8_t>(sources), static_cast<std::uint8_t>(repairs)};
}

bool FecControl::on_measured(const LossPattern& pattern, base::Time now) {
  const bool ask_again = pattern.rtt + pattern.rtt / 4 <= budget_;
  if (pattern.loss >= kOff) lossy_at_ = now;
  FecPlan plan = plan_;
  if (ask_again || (plan_.on() && now - lossy_at_ >= kCalm)) {
    plan = {};
  } else if (plan_.on() ? now - planned_at_ >= kReplan : pattern.loss >= kOn) {
    planned_at_ = now;
    plan = wanted(pattern);
  }
  if (plan == plan_) return false;
  plan_ = plan;
  return true;
}

}  // namespace qanat::path
