#include "dataplane/path/liveness.hh"

#include <algorithm>

namespace qanat::path {

// state      | advance in a report        | 3 probes missing in a report | hold-down over | no report at all
// -----------+----------------------------+------------------------------+----------------+-----------------
// Untested   | Alive                      | Dead                         | –              | Dead
// Alive      | –                          | Dead                         | –              | Dead
// Dead       | Returning                  | –                            | –              | –
// Returning  | –                          | Dead, hold-down doubled      | Alive          | Dead
void Liveness::enter(State state, base::Time now) {
  if (state == State::Dead) {
    const bool flaps = died_before_ && now - last_death_ < kFlapMemory;
    hold_ = flaps ? std::min(hold_ * 2, kLongestHold) : kFirstHold;
    last_death_ = now;
    died_before_ = true;
  }
  state_ = state;
  since_ = now;
}

void Liveness::on_sent(std::uint32_t sequence, base::Time now) {
  if (newest_ == 0) last_report_ = now;  // silence counts from the first question
  newest_ = sequence;
  ring_[sequence % ring_.size()] = {sequence, now};
}

// Probes after the last one heard that the far end would have heard when it wrote the report, were they delivered as
// fast as that one was: sent before (its transmit time + how long the far end has waited since) − slack.
unsigned Liveness::missing(const Heard& heard, base::Duration slack) const {
  const base::Time horizon = heard.transmitted + heard.since_heard - slack;
  unsigned count = 0;
  const std::uint32_t last = std::min<std::uint32_t>(newest_, heard.sequence + kMissesToDie);
  for (std::uint32_t s = heard.sequence + 1; s <= last; ++s) {
    const Sent& sent = ring_[s % ring_.size()];
    if (sent.sequence == s && sent.at <= horizon) ++count;
  }
  return count;
}

bool Liveness::on_report(const Heard& heard, base::Duration jitter, base::Time now) {
  if (heard.sequence > newest_ || heard.sequence < confirmed_) return false;
  const base::Time horizon = heard.transmitted + heard.since_heard;
  if (horizon < report_horizon_) return false;
  last_report_ = now;
  sent_at_last_report_ = newest_;
  const bool advanced = heard.sequence > confirmed_;
  if (advanced) {
    // Late, but it came: a busy far end or a full queue. Be that patient for a while.
    stall_ = std::max(stall_ - stall_ / 256, std::min(overdue_, kMostSlack));
    overdue_ = base::Duration{};
  } else if (const Sent& next = ring_[(heard.sequence + 1) % ring_.size()];
             next.sequence == heard.sequence + 1) {
    overdue_ = std::max(overdue_, horizon - next.at);
  }
  report_horizon_ = horizon;
  confirmed_ = heard.sequence;

  const base::Duration slack = std::clamp(kLeastSlack + 4 * jitter + stall_, kLeastSlack, kMostSlack);
  const bool lost = missing(heard, slack) >= kMissesToDie;
  switch (state_) {
    case State::Untested:
      if (lost) return enter(State::Dead, now), true;
      if (advanced) return enter(State::Alive, now), true;
      return false;
    case State::Alive:
      if (lost) return enter(State::Dead, now), true;
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

bool Liveness::on_timer(base::Time now) {
  if (state_ == State::Returning && now - since_ >= hold_) return enter(State::Alive, now), true;
  const bool silent = newest_ - sent_at_last_report_ >= kSilentProbes && now - last_report_ >= kLeastSilence;
  if (silent && state_ != State::Dead) return enter(State::Dead, now), true;
  return false;
}

}  // namespace qanat::path
