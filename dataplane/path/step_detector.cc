#include "dataplane/path/step_detector.hh"

#include <algorithm>
#include <cmath>

namespace qanat::path {

bool LossStep::on_outcomes(std::uint32_t sent, std::int64_t lost, double usual) {
  const double p = std::clamp(1.5 * usual, kLeastUsual, kMostUsual);
  const double for_lost = std::log(kGray / p);
  const double for_heard = std::log((1 - kGray) / (1 - p));
  const double gained = static_cast<double>(lost) * for_lost +
                        (static_cast<double>(sent) - static_cast<double>(lost)) * for_heard;
  score_ = std::clamp(score_ + gained, 0.0, kMost);
  const bool before = raised_;
  raised_ = score_ > (raised_ ? kCalm : kRaise);
  return raised_ != before;
}

bool StepDetector::on_sample(std::int64_t us) {
  if (samples_ == 0) origin_ = us;
  const auto value = static_cast<double>(us - origin_);
  if (samples_ < kLearn) {
    ++samples_;
    const double before = level_;
    level_ += (value - level_) / samples_;
    if (samples_ > 1) noise_ += (std::abs(value - before) - noise_) / samples_;
    return false;
  }
  const double unit = std::max(noise_, kLeastNoiseUs);
  const double deviation = std::clamp((value - level_) / unit, -kMost, kMost);
  for (const int sign : {1, -1}) {
    Side& side = sign > 0 ? up_ : down_;
    if (!gather(side, sign * deviation, value)) continue;
    const double level = side.sum / side.count;
    step_ = static_cast<std::int64_t>(level - level_);
    level_ = level;
    up_ = down_ = {};
    ++steps_;
    return true;
  }
  // Noise: the level follows slowly (clocks drift), the noise's measure too; what may be a step teaches neither much.
  level_ += deviation * unit / 64;
  noise_ += (std::abs(deviation) * unit - noise_) / 64;
  return false;
}

bool StepDetector::gather(Side& side, double deviation, double value) {
  side.score += deviation - kSlack;
  if (side.score <= 0) {
    side = {};
    return false;
  }
  side.sum += value;
  ++side.count;
  return side.score > kRaise;
}

}  // namespace qanat::path
