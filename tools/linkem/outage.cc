#include "tools/linkem/outage.hh"

#include <algorithm>
#include <cmath>

namespace qanat::linkem {

void Outage::configure(bool down, const Flap& flap, base::Time now) {
  down_ = down;
  if (flap == flap_) return;
  flap_ = flap;
  flap_down_ = false;
  turns_ = 0;
  if (flap_.active()) turn_ = now + draw(flap_.up);
}

base::Duration Outage::draw(base::Duration mean) {
  ++turns_;
  if (!flap_.random) return mean;
  const double ns = chance_.exponential(turns_) * static_cast<double>(mean.count());
  return base::Duration(std::max<std::int64_t>(std::llround(ns), 1));
}

bool Outage::flapped(base::Time now) {
  while (turn_ <= now) {
    flap_down_ = !flap_down_;
    turn_ += draw(flap_down_ ? flap_.down : flap_.up);
  }
  return flap_down_;
}

}  // namespace qanat::linkem
