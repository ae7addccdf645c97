#include "dataplane/path/estimate.hh"

#include <algorithm>

namespace qanat::path {
namespace {
constexpr base::Duration kAbsurdRtt = std::chrono::seconds{10};
constexpr base::Duration kLossWindow = std::chrono::milliseconds{500};
constexpr std::uint32_t kLossProbes = 20;
}  // namespace

void Estimate::on_rtt(base::Duration rtt) {
  if (rtt <= base::Duration{} || rtt > kAbsurdRtt) return;
  smoothed_rtt_ = measured() ? smoothed_rtt_ + (rtt - smoothed_rtt_) / 8 : rtt;
  interval_.rtt_min = interval_.samples == 0 ? rtt : std::min(interval_.rtt_min, rtt);
  rtt_sum_ += rtt;
  ++interval_.samples;
}

void Estimate::on_counts(std::uint32_t sequence, std::uint32_t received, base::Time now) {
  const std::uint32_t asked = sequence - window_sequence_;
  const std::uint32_t heard = received - window_received_;
  const bool restarted = !has_counts_ || sequence < window_sequence_ || received < window_received_;
  if (!restarted && (asked < kLossProbes || now - window_began_ < kLossWindow)) return;
  if (!restarted) {
    const std::uint32_t lost = asked > heard ? asked - heard : 0;
    const auto ppm = static_cast<std::uint32_t>(std::uint64_t{lost} * 1'000'000 / asked);
    loss_ppm_ = has_loss_ ? loss_ppm_ / 2 + ppm / 2 : ppm;
    has_loss_ = true;
    interval_.probes += asked;
    interval_.lost += lost;
  }
  has_counts_ = true;
  window_sequence_ = sequence;
  window_received_ = received;
  window_began_ = now;
}

Estimate::Interval Estimate::take_interval() {
  Interval out = interval_;
  if (out.samples != 0) out.rtt_mean = rtt_sum_ / out.samples;
  interval_ = {};
  rtt_sum_ = {};
  return out;
}

}  // namespace qanat::path
