// What losses say: how much is lost whatever we send, and which loss is ours to answer.
#include <algorithm>
#include <cmath>

#include "dataplane/path/congestion.hh"

namespace qanat::path {
namespace {

constexpr std::uint64_t kLeastSample = 8 * 1500;  // bytes: fewer rounds of few say nothing of loss

// How much more than `share` of so many bytes may be lost without a reason: three standard deviations, in datagrams.
double by_chance(double share, double bytes) { return 3 * std::sqrt(share * (1 - share) * 1500 / bytes); }

}  // namespace

void Congestion::take_loss(bool draining) {
  Sample& sample = quiet_[draining ? 1 : 0];
  sample.lost += round_lost_;
  sample.all += round_lost_ + round_acked_;
  if (sample.all < kLeastSample) return;
  const double all = static_cast<double>(sample.all);
  const double share = std::min(static_cast<double>(sample.lost) / all, 0.5);
  sample = {};
  double& of = draining ? drain_loss_ : cruise_loss_;
  of += (share - of) * std::min(0.25, all / (192 * 1500));
  if (draining) drain_loss_known_ = true;
  random_loss_ = std::min(
      drain_loss_known_ ? std::min(cruise_loss_, 1.5 * drain_loss_ + 0.005) : cruise_loss_, kRandomLoss);
}

void Congestion::on_loss(const LossEvent& event) {
  round_lost_ += event.lost_bytes;
  if (event.newest_lost_sent < answered_until_) return;
  const double all = static_cast<double>(round_lost_ + round_acked_);
  const double share = all > 0 ? static_cast<double>(round_lost_) / all : 0;
  // Ours to answer: with the queue as full as it gets, or far beyond what is lost anyway.
  const bool full = most_queue_ > target() && queue_delay_ >= most_queue_ * 7 / 10;
  const bool enough = round_lost_ > 4 * 1500 && all > 16 * 1500;
  const bool many = enough && share > 2 * random_loss_ + 0.02 + by_chance(random_loss_, all);
  if (options_.scavenger) {
    if (full || many) window_ = std::max(window_ / 2, kLeastScavenging);
  } else if (state_ == State::Compete) {
    if (!full && !(many && random_loss_ < kRandomLoss / 2)) return;
    cubic_.on_congestion(event.now);
    joining_ = false;
  } else if (state_ == State::Startup) {
    if (!(full || (enough && share > kRandomLoss + by_chance(kRandomLoss, all)))) return;
    if (!limited_) proven_at_ = event.now;
    enter(State::Drain, event.now);
  } else {
    const double most = kRandomLoss + random_loss_;
    if (!full && !(all > 32 * 1500 && share > most + by_chance(most, all))) return;
    slow_to(std::max(rates_.most(2) * (1 - std::min(share, 0.3)), bandwidth_ * 0.7));
  }
  congestive_ = true;
  answered_until_ = event.now;
  update_output();
}

}  // namespace qanat::path
