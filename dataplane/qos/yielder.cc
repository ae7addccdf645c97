#include "dataplane/qos/yielder.hh"

namespace qanat::qos {
namespace {

constexpr std::uint64_t kLeastRate = 15'000;  // bytes/s: a packet every tenth of a second
constexpr std::uint64_t kMostRate = 1'250'000'000;
constexpr base::Duration kLeastRound = std::chrono::milliseconds{5};
constexpr base::Duration kLook = std::chrono::milliseconds{20};
constexpr base::Duration kMinute = std::chrono::seconds{60};

}  // namespace

void Yielder::enter(State state, base::Time now) {
  state_ = state;
  since_ = now;
  above_ = 0;
  short_since_ = look_at_ = base::Time{};
  peak_ = recent_[next_recent_];
  looks_ = answers_ = 0;
  round_end_ = now + std::max(recent(), kLeastRound);
  round_bytes_ = 0;
  next_send_ = now;
}

void Yielder::on_rtt(base::Duration rtt, base::Time now) {
  if (rtt <= base::Duration{}) return;
  if (smallest_ == base::Duration{}) {
    minutes_.fill(rtt);
    recent_.fill(rtt);
    minute_began_ = round_end_ = now;
  }
  if (now - minute_began_ >= kMinute) {
    minute_began_ = now;
    minute_ = (minute_ + 1) % minutes_.size();
    minutes_[minute_] = rtt;
  }
  minutes_[minute_] = std::min(minutes_[minute_], rtt);
  smallest_ = *std::min_element(minutes_.begin(), minutes_.end());
  // The least of the newest few: a delay that one packet met is no queue (RFC 6817 §3.4's filter).
  recent_[next_recent_] = rtt;
  next_recent_ = (next_recent_ + 1) % kRecent;

  switch (state_) {
    case State::Sending:
      above_ = queue_delay() > options_.target ? above_ + 1 : 0;
      if (above_ < 2) break;
      if (look_at_ == base::Time{}) {
        rate_ = std::max(rate_ - rate_ / (starting_ ? 2 : 4), kLeastRate);
        starting_ = false;
        look_at_ = now + smallest_ + kLook;
      } else if (now >= look_at_) {
        enter(State::Paused, now);
      }
      break;
    case State::Paused: judge(rtt, now); break;
    case State::Away:
      if (queue_delay() > options_.target / 2) {
        short_since_ = base::Time{};
      } else if (short_since_ == base::Time{}) {
        short_since_ = now;
      } else if (now - short_since_ >= options_.quiet) {
        rate_ = options_.first_rate;
        starting_ = true;
        enter(State::Sending, now);
      }
      break;
  }
}

// What we sent before the pause tells of our own queue; only what entered the path after it tells of others'.
void Yielder::judge(base::Duration rtt, base::Time now) {
  if (looks_ == 0) peak_ = std::max(peak_, rtt);
  if (now - rtt < silent_until()) return;
  least_answer_ = answers_ == 0 ? rtt : std::min(least_answer_, rtt);
  if (++answers_ < 2) return;
  enter(least_answer_ - smallest_ > options_.target / 2 ? State::Away : State::Sending, now);
}

void Yielder::on_loss(base::Time now) {
  if (state_ != State::Sending || now - last_loss_ < std::max(recent(), kLeastRound)) return;
  last_loss_ = now;
  starting_ = false;
  rate_ = std::max(rate_ / 2, kLeastRate);
}

void Yielder::on_round(base::Time now) {
  const base::Duration round = std::max(recent(), kLeastRound);
  if (look_at_ != base::Time{} && now >= look_at_ && above_ == 0) look_at_ = base::Time{};
  // Only a rate that was used says that more of it would do, and only an empty queue that there is more.
  const double used = static_cast<double>(round_bytes_) * 1e9 / static_cast<double>(round.count());
  if (look_at_ == base::Time{} && queue_delay() < options_.target / 2 &&
      used > 0.5 * static_cast<double>(rate_))
    rate_ = std::min(rate_ + (starting_ ? rate_ : rate_ / 16), kMostRate);
  round_bytes_ = 0;
  round_end_ = now + round;
}

base::Time Yielder::ready_at(base::Time now) {
  if (state_ == State::Sending && now >= round_end_) on_round(now);
  if (state_ != State::Paused) return next_send_;
  return std::max(silent_until(), next_send_);
}

void Yielder::on_sent(std::size_t bytes, base::Time now) {
  round_bytes_ += bytes;
  if (state_ == State::Paused) {
    ++looks_;
    next_send_ = now + (looks_ < 2 ? base::Duration{} : options_.trickle);
    return;
  }
  const base::Duration spacing =
      state_ == State::Sending
          ? base::Duration{static_cast<std::int64_t>(std::uint64_t{bytes} * 1'000'000'000 / rate_)}
          : options_.trickle;
  next_send_ = std::max(next_send_, now - std::chrono::milliseconds{1}) + spacing;
}

}  // namespace qanat::qos
