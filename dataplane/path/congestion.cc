#include "dataplane/path/congestion.hh"

#include <algorithm>

namespace qanat::path {
namespace {

using namespace std::chrono_literals;

constexpr double kStartupGain = 2.89;  // 2 ÷ ln 2: doubles each round
constexpr double kStartupHold =
    2;  // of what fits the path, under way: more than doubling takes only fills its buffer
constexpr double kDrainGain = 0.75;
constexpr double kProbeExtra = 0.25;
constexpr double kCruiseGain = 0.99;     // the greatest of ten rates is a little more than the path carries
constexpr double kGrowth = 1.25;         // Startup: a round that brings less is not growth
constexpr unsigned kFullRounds = 3;      // that many of them: the path is full
constexpr unsigned kCycle = 6;           // Cruise: probe, drain, four quiet rounds
constexpr unsigned kStandingRounds = 4;  // of a queue that stays: it is time to hold back
constexpr unsigned kResistedRounds = 2;  // in which it stays all the same: it is not ours
constexpr double kHeldBack = 0.95;       // of what came through: less than that drains a queue of our own
constexpr double kOurs = 0.7;  // of what we spared the path, by which a queue of our own shrinks at least
constexpr std::uint64_t kInitialWindow = 32 * 1500;
constexpr base::Duration kRttMemory = 10s;
constexpr base::Duration kAckDelay = 6ms;     // AckTracker's most, and the far end's batch
constexpr base::Duration kLookEvery = 8s;     // a look costs a fair share of two rounds
constexpr base::Duration kFirstLook = 500ms;  // a path that lost rate may have been taken for a shared one

double seconds(base::Duration d) { return std::chrono::duration<double>(d).count(); }

}  // namespace

double Congestion::MaxFilter::most(std::size_t last) const {
  double best = 0;
  for (std::size_t i = 0; i < std::min(last, kRounds); ++i)
    best = std::max(best, rounds[(at + kRounds - i) % kRounds]);
  return best;
}

void Congestion::MaxFilter::reset(double v) {
  rounds.fill(0);
  rounds[at] = v;
}

void Congestion::MinFilter::add(base::Duration v, base::Duration interval, base::Time at) {
  if (at - turned >= interval) {
    before = at - turned >= 2 * interval ? v : now;
    now = v;
    turned = at;
  }
  now = std::min(now, v);
}

Congestion::Congestion(const CongestionOptions& options)
    : options_(options),
      gain_(kStartupGain),
      window_(options.scavenger ? kLeastScavenging * 2 : kInitialWindow),
      smoothed_rtt_(options.initial_rtt) {
  bandwidth_ = within_line(options.initial_rate);
  rates_.add(bandwidth_);
  update_output();
}

double Congestion::within_line(double rate) const {
  return options_.max_rate == 0 ? rate : std::min(rate, static_cast<double>(options_.max_rate));
}

void Congestion::set_max_rate(std::uint64_t rate) {
  if (rate == options_.max_rate) return;
  options_.max_rate = rate;
  slow_to(within_line(bandwidth_));
  update_output();
}

double Congestion::bdp() const {
  return bandwidth_ * seconds(least_rtt_ > base::Duration{} ? least_rtt_ : options_.initial_rtt);
}

base::Duration Congestion::target() const { return options_.queue_target + 2 * jitter_; }

void Congestion::take_rtt(const AckEvent& event) {
  const base::Duration rtt = event.rtt;
  if (rtt <= base::Duration{}) return;
  if (last_rtt_ > base::Duration{}) {
    const base::Duration step = rtt > last_rtt_ ? rtt - last_rtt_ : last_rtt_ - rtt;
    jitter_ += (step - jitter_) / 16;
    smoothed_rtt_ += (rtt - smoothed_rtt_) / 8;
  } else {
    smoothed_rtt_ = rtt;
  }
  last_rtt_ = rtt;
  // The least of the last ten to twenty seconds; while somebody else holds the queue, it cannot be measured.
  if (least_rtt_ == base::Duration{} || rtt <= least_rtt_) {
    least_rtt_ = rtt;
    least_rtt_at_ = event.now;
    next_least_rtt_ = rtt;
    next_least_since_ = event.now;
  } else {
    next_least_rtt_ = std::min(next_least_rtt_, rtt);
    const base::Duration memory = state_ == State::Compete ? 4 * kRttMemory : kRttMemory;
    if (event.now - next_least_since_ > memory) {
      if (event.now - least_rtt_at_ > memory) least_rtt_ = next_least_rtt_;
      next_least_rtt_ = rtt;
      next_least_since_ = event.now;
    }
  }
  standing_.add(rtt, std::max(smoothed_rtt_ / 2, base::Duration{5ms}), event.now);
  queue_delay_ = std::max(standing_.least() - least_rtt_, base::Duration{});
  most_queue_ = std::max(most_queue_, queue_delay_);
  round_queue_ = std::min(round_queue_, queue_delay_);
}

void Congestion::enter(State state, base::Time now) {
  state_ = state;
  cycle_ = 0;
  standing_rounds_ = resisted_rounds_ = 0;
  sent_share_ = sending_share_ = 1;
  if (state == State::Drain) gain_ = 1 / kStartupGain;
  if (state == State::Cruise) {
    gain_ = kCruiseGain;
    cycle_ = 2;
    probe_extra_ = kProbeExtra;
    draining_ = false;
    look_until_ = {};
  }
  if (state == State::Compete) {
    const double rtt = seconds(std::max(smoothed_rtt_, least_rtt_));
    cubic_.reset(std::max(uncrowded_rate_ * rtt / 2, bandwidth_ * rtt), now);
    look_at_ = now + kFirstLook;
    most_queue_ = queue_delay_;
    joining_ = true;
  }
}

// The path carries only so much: what was measured before is forgotten.
void Congestion::slow_to(double rate) {
  if (rate <= 0 || rate >= bandwidth_) return;
  rates_.reset(rate);
  bandwidth_ = rate;
}

void Congestion::startup_round(const AckEvent& event) {
  if (limited_) return;
  if (bandwidth_ > full_rate_ * kGrowth) {
    full_rate_ = bandwidth_;
    full_rounds_ = 0;
  } else if (++full_rounds_ >= kFullRounds) {
    proven_at_ = event.now;
    enter(State::Drain, event.now);
  }
}

void Congestion::start_again(base::Time now) {
  enter(State::Startup, now);
  gain_ = kStartupGain;
  full_rounds_ = 0;
  full_rate_ = bandwidth_;
}

void Congestion::cruise_round(base::Time now) {
  const bool probed = cycle_ == 1;  // this round's acks are those of the probe
  // What was offered was little for long: what the path carries is not known.
  if (!limited_ && queue_delay_ <= target() / 2 && now - proven_at_ > kRttMemory) return start_again(now);
  // Who offers less than the path carries has no queue there: acks, say, whose own acks meet one on the way back. What
  // stands below the target is drained once: what holding back does not shorten is no queue, or not ours.
  const bool too_much = !limited_ && (queue_delay_ > target() || standing_rounds_ == kStandingRounds);
  const bool patient = standing_rounds_ < 2 * kStandingRounds;
  if (too_much || (draining_ && patient && queue_delay_ > target() / 4 + jitter_)) {
    // Down to what it carries now, and below that until the queue is gone, about a round from here.
    if (too_much) slow_to(rates_.most(2));
    proven_at_ = now;
    gain_ = std::clamp(1 - seconds(queue_delay_) / seconds(least_rtt_), 0.4, 0.9);
    draining_ = true;
    probe_extra_ = kProbeExtra;
    cycle_ = 2;
    return;
  }
  draining_ = false;
  if (probed && !limited_) {
    // It carried more and no queue grew: ask for twice as much more at once.
    const bool more = rates_.most(2) > full_rate_ * (1 + probe_extra_ / 2);
    if (more && round_queue_ < target() / 2) {
      // Twice: what is known is what was asked for so far, not what the path carries.
      if (probe_extra_ >= 2 * kProbeExtra) return start_again(now);
      probe_extra_ = std::min(2 * probe_extra_, 1.0);
      full_rate_ = bandwidth_;
      gain_ = 1 + probe_extra_;
      cycle_ = 0;
    } else {
      probe_extra_ = kProbeExtra;
      gain_ = kDrainGain;
      proven_at_ = now;
    }
  } else if (cycle_ + 1 >= kCycle) {
    // The queue that a probe leaves when nothing more is to be had stays below the target.
    const double rtt = std::max(seconds(least_rtt_), 1e-3);
    full_rate_ = bandwidth_;
    cycle_ = 0;
    if (queue_delay_ < target() / 2) {
      gain_ = 1 + std::clamp(2 * seconds(target()) / rtt, 0.06, kProbeExtra);
      return;
    }
    gain_ = kDrainGain;
    cycle_ = 1;
  } else {
    gain_ = kCruiseGain;
  }
  ++cycle_;
}

bool Congestion::crowded() const { return resisted_rounds_ >= kResistedRounds; }

void Congestion::on_round(const AckEvent& event) {
  // 1. Loss that is there whatever we send: the lesser of what quiet rounds and what draining rounds see.
  const bool quiet = state_ == State::Cruise ? gain_ <= 1 : state_ == State::Startup && limited_;
  if (quiet && round_queue_ <= target()) take_loss(state_ == State::Cruise && gain_ < kCruiseGain);
  // 2. Is somebody else there?
  if (round_queue_ != base::Duration::max()) {
    if (round_queue_ <= std::max(target() / 2, most_queue_ / 10)) {
      standing_rounds_ = resisted_rounds_ = 0;
      uncrowded_rate_ = bandwidth_;
    } else {
      ++standing_rounds_;
      const double before = seconds(last_round_queue_), now = seconds(round_queue_);
      const double spared = (1 - sent_share_) * (seconds(least_rtt_) + before);
      const bool steady =
          round_queue_ > target() / 2 + 2 * jitter_;  // more than chance makes of an empty one
      if (sent_share_ < kHeldBack && steady && now > before - kOurs * spared) ++resisted_rounds_;
    }
    last_round_queue_ = round_queue_;
  }
  most_queue_ -= most_queue_ / 100;
  // 3. The state's own business.
  switch (state_) {
    case State::Startup: startup_round(event); break;
    case State::Drain:
      if (queue_delay_ <= target() || static_cast<double>(event.in_flight) <= bdp())
        enter(State::Cruise, event.now);
      else if (crowded())
        enter(State::Compete, event.now);
      break;
    case State::Cruise:
      if (crowded())
        enter(State::Compete, event.now);
      else
        cruise_round(event.now);
      break;
    case State::Compete: break;  // only a look ends it: between two losses even a shared queue may run empty
  }
  // What a queue of two rounds let through is what the path carries; before, it may be what it carried.
  sent_share_ = sending_share_;
  const double through =
      static_cast<double>(round_acked_) / std::max(seconds(event.now - round_began_), 1e-6);
  sending_share_ = standing_rounds_ >= 2 ? gain_ * bandwidth_ / std::max(through, 1.0) : 1;
  round_began_ = event.now;
  rates_.advance();
  round_lost_ = round_acked_ = 0;
  round_queue_ = base::Duration::max();
  congestive_ = false;
}

void Congestion::compete(const AckEvent& event) {
  const double acked = static_cast<double>(event.acked_bytes) / share_;
  if (!limited_ && joining_ && others_ == 0)
    cubic_.start(acked, event.now);
  else if (!limited_)
    cubic_.on_ack(acked, smoothed_rtt_, event.now);
  // Now and then hold back for two rounds: a queue that then empties was ours alone.
  if (event.now >= look_at_) {
    look_until_ = event.now + 2 * smoothed_rtt_;
    look_queue_ = base::Duration::max();
    look_at_ =
        base::Time{(event.now.time_since_epoch() / kLookEvery + 1) * kLookEvery} + (look_until_ - event.now);
  }
  if (look_until_ == base::Time{}) return;
  look_queue_ = std::min(look_queue_, queue_delay_);
  if (event.now < look_until_) return;
  look_until_ = {};
  if (look_queue_ <= target() / 2) {
    slow_to(rates_.most(3));
    proven_at_ = event.now;
    enter(State::Cruise, event.now);
  }
}

void Congestion::scavenge(const AckEvent& event, bool round) {
  const base::Duration goal = std::min(options_.queue_target, base::Duration{3ms}) + 2 * jitter_;
  auto window = static_cast<double>(window_);
  if (queue_delay_ > 2 * goal) {
    window = kLeastScavenging;
  } else if (queue_delay_ > goal) {
    if (round) window /= 2;
  } else if (!limited_) {
    const double room = 1 - seconds(queue_delay_) / seconds(goal);
    const double most = std::max(2 * bdp(), 8.0 * 1500);
    window = std::min(window + room * static_cast<double>(event.acked_bytes) * (window < bdp() ? 0.5 : 0.05),
                      most);
  }
  window_ = static_cast<std::uint64_t>(std::max(window, static_cast<double>(kLeastScavenging)));
  gain_ = 1.2;
}

void Congestion::on_ack(const AckEvent& event) {
  take_rtt(event);
  round_acked_ += event.acked_bytes;
  limited_ = event.app_limited;
  if (event.delivered_rate > 0) {
    // What was lost at random had crossed the bottleneck too.
    const double carried = within_line(event.delivered_rate / (1 - std::min(random_loss_, kRandomLoss)));
    if (!event.app_limited || carried > bandwidth_) rates_.add(carried);
  }
  const double most = rates_.most(MaxFilter::kRounds);
  if (most > 0) bandwidth_ = most;
  if (event.ce_bytes > 0 && event.now > answered_until_) {
    answered_until_ = event.now + smoothed_rtt_;
    if (state_ == State::Compete)
      cubic_.on_congestion(event.now);
    else
      slow_to(0.9 * bandwidth_);
  }
  const bool round = event.delivered_at_send >= round_end_;
  if (round) {
    round_end_ = event.delivered;
    if (!(event.app_limited && event.delivered_rate <= 0)) on_round(event);
  }
  if (state_ == State::Startup &&
      queue_delay_ > std::max(target(), std::min(least_rtt_ / 4, base::Duration{16ms}))) {
    proven_at_ = event.now;
    enter(State::Drain, event.now);
  }
  if (state_ == State::Drain && static_cast<double>(event.in_flight) <= bdp())
    enter(State::Cruise, event.now);
  if (options_.scavenger)
    scavenge(event, round);
  else if (state_ == State::Compete)
    compete(event);
  update_output();
}

void Congestion::on_silence(base::Time now) {
  rates_.reset(0);
  bandwidth_ = full_rate_ = 0;
  full_rounds_ = 0;
  least_rtt_ = {};
  jitter_ = {};
  last_rtt_ = {};
  standing_ = {};
  queue_delay_ = most_queue_ = {};
  round_lost_ = round_acked_ = 0;
  enter(State::Startup, now);
  gain_ = kStartupGain;
  window_ = kLeastWindow;
  pacing_rate_ = static_cast<std::uint64_t>(static_cast<double>(kLeastWindow) / seconds(smoothed_rtt_));
}

void Congestion::couple(unsigned others, double share) {
  others_ = others;
  share_ = others == 0 ? 1 : std::clamp(share, 0.05, 1.0);
}

void Congestion::update_output() {
  const base::Duration least = least_rtt_ > base::Duration{} ? least_rtt_ : options_.initial_rtt;
  double rate = 0;
  if (options_.scavenger) {
    rate = 1.2 * static_cast<double>(window_) / seconds(std::max(smoothed_rtt_, base::Duration{1ms}));
  } else if (bandwidth_ <= 0) {
    window_ = std::max(window_, kLeastWindow);
    rate =
        kStartupGain * static_cast<double>(window_) / seconds(std::max(smoothed_rtt_, base::Duration{1ms}));
  } else if (state_ == State::Compete) {
    double window = share_ * cubic_.bytes();
    if (look_until_ != base::Time{}) window = std::min(window, 0.9 * bdp());
    window_ = static_cast<std::uint64_t>(std::max(window, static_cast<double>(kLeastWindow)));
    rate = 1.25 * static_cast<double>(window_) / seconds(std::max(smoothed_rtt_, base::Duration{1ms}));
  } else {
    // What the path holds, what its queue may, what waits for a late ack, and what is lost but not known to be yet.
    const double hold = state_ == State::Startup ? kStartupHold : 1.25 * std::max(gain_, 1.0);
    const double window =
        bandwidth_ * (hold * seconds(least) * (1 + random_loss_) + seconds(target() + kAckDelay + jitter_)) +
        8 * 1500;
    window_ = static_cast<std::uint64_t>(
        std::max(window, static_cast<double>(state_ == State::Startup ? kInitialWindow : kLeastWindow)));
    rate = gain_ * bandwidth_;
    if (state_ == State::Startup)
      rate = std::max(rate, kStartupGain * static_cast<double>(kInitialWindow) /
                                seconds(std::max(least, base::Duration{10ms})));
  }
  pacing_rate_ = static_cast<std::uint64_t>(within_line(rate));
}

}  // namespace qanat::path
