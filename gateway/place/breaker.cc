#include "gateway/place/breaker.hh"

#include <algorithm>

namespace qanat::place {

Breaker::State Breaker::state(base::Time now) const {
  if (!open_) return State::Closed;
  return now >= retry_at_ ? State::HalfOpen : State::Open;
}

bool Breaker::allows(base::Time now) const { return !open_ || (now >= retry_at_ && !trying_); }

void Breaker::on_dispatch(base::Time now) {
  if (state(now) == State::HalfOpen) trying_ = true;
}

void Breaker::on_success() {
  failures_ = 0;
  open_ = trying_ = false;
  hold_off_ = kFirstHoldOff;
}

void Breaker::on_failure(base::Time now) {
  if (open_) {
    // Late failures of calls that were under way when it opened say nothing new.
    if (!trying_) return;
    trying_ = false;
    hold_off_ = std::min(hold_off_ * 2, kMaxHoldOff);
    retry_at_ = now + hold_off_;
    return;
  }
  if (++failures_ < kTrip) return;
  open_ = true;
  trying_ = false;
  retry_at_ = now + hold_off_;
}

void Breaker::on_unknown() { trying_ = false; }

std::string_view to_string(Breaker::State state) {
  switch (state) {
    case Breaker::State::Closed: return "closed";
    case Breaker::State::Open: return "open";
    case Breaker::State::HalfOpen: return "half_open";
  }
  return "unknown";
}

}  // namespace qanat::place
