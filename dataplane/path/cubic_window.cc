#include "dataplane/path/cubic_window.hh"

#include <algorithm>
#include <cmath>

namespace qanat::path {
namespace {
// Three times the growth and two thirds of the decrease of RFC 9438's: what travels in the tunnel answers the same
// losses once more, later; with this, tunnel and one kernel flow share evenly (bench/grid).
constexpr double kSegment = 1448;  // bytes: the unit of RFC 9438's formulas
constexpr double kC = 1.2;         // segments/s³
constexpr double kBeta = 0.8;
constexpr double kRenoAlpha = 3 * (1 - kBeta) / (1 + kBeta);
}  // namespace

void CubicWindow::reset(double bytes, base::Time now) {
  window_ = max_ = origin_ = reno_ = bytes;
  k_ = 0;
  epoch_ = now;
}

// RFC 9438 §4.2 to 4.5: towards the old maximum, across it, and never slower than Reno.
void CubicWindow::on_ack(double acked_bytes, base::Duration rtt, base::Time now) {
  const double t = std::chrono::duration<double>(now - epoch_ + rtt).count();
  const double target = std::clamp(origin_ + kC * std::pow(t - k_, 3) * kSegment, window_, 1.5 * window_);
  window_ += (target - window_) / window_ * acked_bytes;
  reno_ += kRenoAlpha * acked_bytes / reno_ * kSegment;
  window_ = std::max(window_, reno_);
}

void CubicWindow::start(double acked_bytes, base::Time now) { reset(window_ + acked_bytes, now); }

void CubicWindow::on_congestion(base::Time now) {
  max_ = window_ < max_ ? window_ * (1 + kBeta) / 2 : window_;  // §4.7, fast convergence
  window_ *= kBeta;
  reno_ = window_;
  origin_ = max_;
  k_ = std::cbrt(std::max(max_ - window_, 0.0) / kSegment / kC);
  epoch_ = now;
}

}  // namespace qanat::path
