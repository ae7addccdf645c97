#include "tools/linkem/aqm.hh"

#include <algorithm>
#include <cmath>

namespace qanat::linkem {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kMtu = 1500;
// RFC 8033 §4.2, §5: gains per second of error, period, burst allowance, and when the queue counts as idle.
constexpr double kAlpha = 0.125, kBeta = 1.25;
constexpr base::Duration kUpdate = 15ms, kMaxBurst = 150ms;
constexpr int kMostUpdates = 200;  // 3 s without a packet bring any probability down to nothing

double seconds(base::Duration d) { return static_cast<double>(d.count()) * 1e-9; }

}  // namespace

base::Time CoDel::control_law(base::Time from) const {
  return from + base::Duration(std::llround(static_cast<double>(interval_.count()) / std::sqrt(count_)));
}

bool CoDel::drops(base::Duration sojourn, std::uint64_t backlog_bytes, base::Time now) {
  bool may_drop = false;
  if (sojourn < target_ || backlog_bytes <= kMtu)
    first_above_ = {};
  else if (first_above_ == base::Time{})
    first_above_ = now + interval_;
  else
    may_drop = now >= first_above_;

  if (dropping_) {
    if (!may_drop) {
      dropping_ = false;
    } else if (now >= drop_next_) {
      ++count_;
      drop_next_ = control_law(drop_next_);
      return true;
    }
    return false;
  }
  if (!may_drop) return false;
  dropping_ = true;
  // A queue that was controlled a moment ago goes on from the rate that controlled it (RFC 8289 §5.5).
  const std::uint32_t delta = count_ - last_count_;
  count_ = delta > 1 && now - drop_next_ < 16 * interval_ ? delta : 1;
  last_count_ = count_;
  drop_next_ = control_law(now);
  return true;
}

void Pie::update(base::Duration queue_delay) {
  double p = kAlpha * seconds(queue_delay - target_) + kBeta * seconds(queue_delay - old_delay_);
  // Smaller steps while the probability is small (§4.2).
  const double below[] = {0.000001, 0.00001, 0.0001, 0.001, 0.01, 0.1};
  const double divide[] = {2048, 512, 128, 32, 8, 2};
  for (int i = 0; i < 6; ++i)
    if (probability_ < below[i]) {
      p /= divide[i];
      break;
    }
  if (probability_ >= 0.1) p = std::min(p, 0.02);
  probability_ += p;
  if (queue_delay.count() == 0 && old_delay_.count() == 0) probability_ *= 0.98;
  probability_ = std::clamp(probability_, 0.0, 1.0);
  old_delay_ = queue_delay;
  burst_left_ = std::max(base::Duration{}, burst_left_ - kUpdate);
  if (probability_ == 0 && queue_delay < target_ / 2) burst_left_ = kMaxBurst;
}

bool Pie::drops(std::uint64_t number, base::Duration queue_delay, std::uint64_t backlog_bytes,
                base::Time now) {
  if (!started_) started_ = true, next_update_ = now + kUpdate, burst_left_ = kMaxBurst;
  // Periods in which nobody asked: their queue was empty but for the last.
  for (int i = 0; next_update_ <= now; ++i) {
    const bool last = next_update_ + kUpdate > now;
    update(last ? queue_delay : base::Duration{});
    next_update_ = i == kMostUpdates ? now + kUpdate : next_update_ + kUpdate;
  }
  if (burst_left_.count() > 0) return false;
  if ((old_delay_ < target_ / 2 && probability_ < 0.2) || backlog_bytes <= 2 * kMtu) return false;
  if (probability_ == 0) accumulated_ = 0;
  accumulated_ += probability_;
  if (accumulated_ < 0.85) return false;
  if (accumulated_ < 8.5 && !chance_.happens(probability_, number)) return false;
  accumulated_ = 0;
  return true;
}

}  // namespace qanat::linkem
