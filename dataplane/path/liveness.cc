#include "dataplane/path/liveness.hh"

#include <algorithm>
#include <cmath>

namespace qanat::path {

// state      | advance in a report | misses in a row, and silence | gray       | hold-down over        | no report at all
// -----------+---------------------+------------------------------+------------+-----------------------+-----------------
// Untested   | Alive               | Dead                         | –          | –                     | Dead
// Alive      | –                   | Dead                         | Returning  | –                     | Dead
// Dead       | Returning           | –                            | –          | –                     | –
// Returning  | –                   | Dead                         | –          | Alive; not while gray | Dead
//
// Each fall from Alive or Returning within kFlapMemory of the one before doubles the hold-down.
void Liveness::enter(State state, base::Time now) {
  if (state == State::Dead) {
    hold_down(now);
    loss_.reset();
  }
  state_ = state;
  since_ = now;
}

void Liveness::hold_down(base::Time now) {
  const bool flaps = died_before_ && now - last_death_ < kFlapMemory;
  hold_ = flaps ? std::min(hold_ * 2, kLongestHold) : kFirstHold;
  last_death_ = now;
  died_before_ = true;
}

void Liveness::Patience::on_advance(bool all_came) {
  stall = std::max(stall - stall / 256, all_came ? std::min(overdue, kMostSlack) : base::Duration{});
  overdue = base::Duration{};
}

unsigned misses_to_die(std::uint32_t loss_ppm, base::Duration interval) {
  const double seconds = std::chrono::duration<double>(interval).count();
  const double loss = std::clamp(loss_ppm / 1e6, 1e-3, 0.5);
  const double misses = std::log(std::max(kFalseDeathsPerSecond * seconds, 1e-12)) / std::log(loss);
  return std::clamp(static_cast<unsigned>(std::ceil(misses)), kMissesToDie, kMostMissesToDie);
}

base::Duration Liveness::slack(const Patience& patience, base::Duration jitter) {
  return std::clamp(kLeastSlack + 4 * jitter + patience.stall, kLeastSlack, kMostSlack);
}

void Liveness::on_sent(std::uint32_t sequence, base::Time now) {
  if (newest_ == 0) last_report_ = now;  // silence counts from the first question
  newest_ = sequence;
  ring_[sequence % ring_.size()] = {sequence, now};
}

base::Duration Liveness::interval() const {
  const Sent& last = ring_[newest_ % ring_.size()];
  const Sent& before = ring_[(newest_ - 1) % ring_.size()];
  return newest_ > 1 && before.sequence + 1 == last.sequence ? last.at - before.at : kSilence;
}

// Probes after the last one heard that the far end would have heard as well, had they been delivered: those sent until
// `horizon`.
unsigned Liveness::missing(const Heard& heard, base::Time horizon) const {
  unsigned count = 0;
  const std::uint32_t last = std::min<std::uint32_t>(newest_, heard.sequence + kMostMissesToDie);
  for (std::uint32_t s = heard.sequence + 1; s <= last; ++s) {
    const Sent& sent = ring_[s % ring_.size()];
    if (sent.sequence == s && sent.at <= horizon) ++count;
  }
  return count;
}

// What came late is no loss, so what is missing counts when it has been for a few reports; what a death swallowed is
// known already.
void Liveness::count_losses(const Heard& heard, std::uint32_t loss_ppm) {
  if (heard.sequence == confirmed_) return;
  if (state_ == State::Dead || heard.received < received_) missing_count_ = 0;
  missing_[missing_count_++ % missing_.size()] = std::int64_t{heard.sequence} - heard.received;
  if (missing_count_ < missing_.size()) return;
  const std::int64_t settled = *std::min_element(missing_.begin(), missing_.end());
  if (missing_count_ > missing_.size())
    loss_.on_outcomes(heard.sequence - confirmed_, settled - missing_settled_, loss_ppm / 1e6);
  missing_settled_ = settled;
}

bool Liveness::on_report(const Heard& heard, const Quality& quality, base::Time now) {
  if (heard.sequence > newest_ || heard.sequence < confirmed_) return false;
  const base::Time horizon = heard.transmitted + heard.since_heard;
  if (horizon < report_horizon_) return false;
  last_report_ = now;
  sent_at_last_report_ = newest_;
  const bool advanced = heard.sequence > confirmed_;
  if (advanced) {
    const bool all_came = heard.received - received_ >= heard.sequence - confirmed_;
    alone_.on_advance(all_came);
    overtaken_.on_advance(all_came);
  } else if (const Sent& next = ring_[(heard.sequence + 1) % ring_.size()];
             next.sequence == heard.sequence + 1) {
    alone_.on_late(horizon - next.at);
    overtaken_.on_late(heard.behind);
  }
  count_losses(heard, quality.loss_ppm);
  report_horizon_ = horizon;
  confirmed_ = heard.sequence;
  received_ = heard.received;

  const auto silent = [&](base::Time until, base::Duration silence) {
    return until - heard.transmitted >= silence &&
           missing(heard, until) >= misses_to_die(quality.loss_ppm, interval());
  };
  const bool lost = silent(horizon - slack(alone_, quality.jitter), kSilence) ||
                    (heard.overtaken > heard.transmitted && silent(heard.overtaken, kOvertakenSilence));
  switch (state_) {
    case State::Untested:
      if (lost) return enter(State::Dead, now), true;
      if (advanced) return enter(State::Alive, now), true;
      return false;
    case State::Alive:
      if (lost) return enter(State::Dead, now), true;
      if (loss_.raised()) return hold_down(now), enter(State::Returning, now), true;
      return false;
    case State::Dead:
      if (advanced && !lost) return enter(State::Returning, now), true;
      return false;
    case State::Returning:
      if (lost) return enter(State::Dead, now), true;
      return on_timer(now);
  }
  return false;
}

base::Time Liveness::next_timeout() const {
  base::Time next = base::Time::max();
  if (state_ == State::Returning) next = since_ + hold_;
  if (state_ != State::Dead && newest_ - sent_at_last_report_ >= kSilentProbes)
    next = std::min(next, last_report_ + kLeastSilence);
  return next;
}

bool Liveness::on_timer(base::Time now) {
  const bool silent = newest_ - sent_at_last_report_ >= kSilentProbes && now - last_report_ >= kLeastSilence;
  if (silent) return state_ != State::Dead && (enter(State::Dead, now), true);
  if (state_ == State::Returning && now - since_ >= hold_ && !loss_.raised())
    return enter(State::Alive, now), true;
  return false;
}

}  // namespace qanat::path
