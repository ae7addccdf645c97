#include "bench/grid/tcp_model.hh"

#include <algorithm>
#include <cmath>

namespace qanat::grid {
namespace {
using namespace std::chrono_literals;
constexpr base::Duration kDelayedAck = 40ms;
constexpr double kBeta = 0.7, kC = 0.4;
double seconds(base::Duration d) { return std::chrono::duration<double>(d).count(); }
base::Duration duration(double s) { return base::Duration{static_cast<std::int64_t>(s * 1e9)}; }
}  // namespace

bool TcpReceiver::on_segment(std::uint64_t number, base::Time now) {
  bool ordered = false;
  if (number == next_) {
    ordered = beyond_.empty();
    ++next_;
    if (const auto it = beyond_.begin(); it != beyond_.end() && it->first == next_) {
      next_ = it->second + 1;
      beyond_.erase(it);
    }
  } else if (number > next_) {
    auto after = beyond_.upper_bound(number);
    auto before = after == beyond_.begin() ? beyond_.end() : std::prev(after);
    if (before != beyond_.end() && before->second + 1 >= number) {
      before->second = std::max(before->second, number);
    } else {
      before = beyond_.emplace(number, number).first;
    }
    if (after != beyond_.end() && after->first == before->second + 1) {
      before->second = after->second;
      beyond_.erase(after);
    }
    newest_first_ = before->first;
  }
  if (!ordered || ++owed_ >= 2) {
    owed_ = 0;
    ack_due_ = base::Time::max();
    return true;
  }
  ack_due_ = std::min(ack_due_, now + kDelayedAck);
  return false;
}

bool TcpReceiver::on_timer(base::Time now) {
  if (ack_due_ > now) return false;
  ack_due_ = base::Time::max();
  owed_ = 0;
  return true;
}

TcpAck TcpReceiver::ack() {
  TcpAck ack;
  ack.next = next_;
  for (auto& s : ack.sacks) s = {1, 0};
  std::size_t n = 0;
  if (const auto it = beyond_.find(newest_first_); it != beyond_.end())
    ack.sacks[n++] = {it->first, it->second};
  for (auto it = beyond_.rbegin(); it != beyond_.rend() && n < ack.sacks.size(); ++it)
    if (it->first != newest_first_) ack.sacks[n++] = {it->first, it->second};
  return ack;
}

TcpSender::TcpSender(const TcpOptions& options, base::Time now) : options_(options) {
  delivered_at_ = round_start_ = least_at_ = mode_since_ = now;
}

base::Duration TcpSender::rto() const {
  const base::Duration base =
      srtt_ == base::Duration{}
          ? 1s
          : std::max<base::Duration>(srtt_ + std::max<base::Duration>(4 * variation_, 200ms), 200ms);
  return base * (1u << std::min(backoff_, 6u));
}

std::optional<std::uint64_t> TcpSender::poll(base::Time now) {
  if (static_cast<double>(out_) >= window_) return std::nullopt;
  if (options_.bbr && pace_ > now) return std::nullopt;
  std::uint64_t number = next_;
  if (lost_waiting_ > 0) {
    for (number = std::max(lost_hint_, first_); number < next_; ++number)
      if (Segment& s = at(number); s.lost && !s.sacked) break;
    lost_hint_ = number;
  }
  if (number == next_) {
    if (full()) return std::nullopt;
    segments_.emplace_back();
    ++next_;
  } else {
    at(number).lost = false;
    at(number).resent = true;
    --lost_waiting_;
    ++resent_;
  }
  Segment& s = at(number);
  if (out_ == 0) delivered_at_ = first_sent_ = now;
  s.sent = now;
  s.first_sent = first_sent_;
  s.delivered = delivered_;
  s.delivered_at = delivered_at_;
  ++out_;
  if (timer_ == base::Time::max()) timer_ = now + rto();
  if (options_.bbr && rate_ > 0) pace_ = std::max(pace_, now - 1ms) + duration(1 / (gain_ * rate_));
  return number;
}

void TcpSender::take(std::uint64_t number, base::Time now) {
  Segment& s = at(number);
  if (s.sacked) return;
  s.sacked = true;
  if (s.lost) {
    s.lost = false;
    --lost_waiting_;
  } else {
    --out_;
  }
  ++delivered_;
  delivered_at_ = now;
  if (number < highest_sacked_ && !s.resent) reordering_ = true;
  highest_sacked_ = std::max(highest_sacked_, number);
  if (s.sent >= newest_sent_) {
    if (!s.resent || now - s.sent >= least_rtt_) {
      newest_sent_ = s.sent;
      rack_rtt_ = now - s.sent;
    }
  }
}

void TcpSender::detect_lost(base::Time now) {
  rack_due_ = base::Time::max();
  if (newest_sent_ == base::Time{}) return;
  const bool patient = reordering_ && sacked_ < 3 + (reordering_ ? 1000u : 0u);
  const base::Duration window = reordering_ ? std::min(least_rtt_ / 4, srtt_) : base::Duration{};
  if (!patient && sacked_ < 3 && !recovering_) return;
  bool lost = false;
  for (std::uint64_t n = first_; n < next_; ++n) {
    Segment& s = at(n);
    if (n > highest_sacked_ && !recovering_) break;
    if (s.sacked || s.lost || s.sent > newest_sent_) continue;
    if (s.sent == newest_sent_ && n > highest_sacked_) continue;
    if (s.sent + rack_rtt_ + window <= now) {
      s.lost = true;
      lost = true;
      --out_;
      ++lost_waiting_;
      lost_hint_ = std::min(lost_hint_, n);
    } else {
      rack_due_ = std::min(rack_due_, s.sent + rack_rtt_ + window);
    }
  }
  if (lost) enter_recovery(now);
}

void TcpSender::enter_recovery(base::Time) {
  if (recovering_) return;
  recovering_ = true;
  recovery_end_ = next_;
  if (options_.bbr) return;
  max_ = window_ < max_ ? window_ * (1 + kBeta) / 2 : window_;
  window_ = std::max(2.0, window_ * kBeta);
  threshold_ = window_;
  reno_ = window_;
  epoch_set_ = false;
}

void TcpSender::cubic_ack(unsigned acked, base::Time now) {
  if (recovering_) return;
  const double n = acked;
  if (window_ < threshold_) {
    window_ += n;
    return;
  }
  if (!epoch_set_) {
    epoch_set_ = true;
    epoch_ = now;
    reno_ = window_;
    origin_ = std::max(max_, window_);
    k_ = std::cbrt((origin_ - window_) / kC);
  }
  const double t = seconds(now - epoch_ + least_rtt_);
  const double target = std::clamp(origin_ + kC * std::pow(t - k_, 3), window_, 1.5 * window_);
  window_ += (target - window_) / window_ * n;
  reno_ += 3 * (1 - kBeta) / (1 + kBeta) * n / reno_;
  window_ = std::max(window_, reno_);
}

void TcpSender::hystart(base::Duration rtt, base::Time now) {
  if (window_ >= threshold_ || options_.bbr) return;
  if (first_ >= round_end_) {
    round_end_ = next_;
    round_start_ = last_ack_ = now;
    round_least_ = base::Duration::max();
    round_samples_ = 0;
  }
  if (window_ < 16) return;
  if (now - last_ack_ <= 2ms) {
    last_ack_ = now;
    if (now - round_start_ > least_rtt_ / 2) threshold_ = window_;
  }
  if (rtt > base::Duration{} && round_samples_ < 8) {
    round_least_ = std::min(round_least_, rtt);
    if (++round_samples_ == 8 &&
        round_least_ >= least_rtt_ + std::clamp<base::Duration>(least_rtt_ / 8, 4ms, 16ms))
      threshold_ = window_;
  }
}

void TcpSender::bbr_ack(double rate, double acked, bool round, base::Time now) {
  if (mode_ != 3) {  // what four segments a round trip carry says nothing
    if (round) rates_[++bbr_rounds_ % rates_.size()] = 0;
    rates_[bbr_rounds_ % rates_.size()] = std::max(rates_[bbr_rounds_ % rates_.size()], rate);
  }
  rate_ = *std::max_element(rates_.begin(), rates_.end());
  const double bdp = rate_ * seconds(least_rtt_);
  if (mode_ == 0 && round) {
    if (rate_ >= full_rate_ * 1.25) {
      full_rate_ = rate_;
      full_rounds_ = 0;
    } else if (++full_rounds_ >= 3) {
      mode_ = 1;
      gain_ = 1 / 2.89;
    }
  }
  if (mode_ == 1 && static_cast<double>(out_) <= bdp) {
    mode_ = 2;
    gain_ = 1;
    phase_since_ = now;
  }
  if (mode_ == 2 && now - phase_since_ > least_rtt_) {
    phase_ = (phase_ + 1) % 8;
    phase_since_ = now;
    gain_ = phase_ == 0 ? 1.25 : phase_ == 1 ? 0.75 : 1;
  }
  if (mode_ != 3 && now - least_at_ > 10s) {
    mode_ = 3;
    mode_since_ = now;
    gain_ = 1;
    least_rtt_ = base::Duration::max();
  }
  if (mode_ == 3 && now - mode_since_ > 200ms + srtt_) {
    mode_ = 2;
    least_at_ = now;
    phase_since_ = now;
  }
  // Acks that come in lumps (Linux's extra_acked): what came beyond the rate, the most of five to ten rounds.
  const double expected = rate_ * seconds(now - lump_since_);
  lump_ += acked;
  if (lump_ <= expected) {
    lump_ = acked;
    lump_since_ = now;
  }
  if (round && bbr_rounds_ % 5 == 0) {
    extra_before_ = extra_;
    extra_ = 0;
  }
  extra_ = std::max(extra_, std::min(lump_ - std::min(expected, lump_), rate_ * 0.1));
  window_ =
      mode_ == 3 ? 4 : std::max(4.0, (mode_ == 0 ? 2.89 : 2.0) * bdp + 3 + std::max(extra_, extra_before_));
  if (mode_ == 0) window_ = std::max(window_, 10.0);
}

void TcpSender::on_ack(const TcpAck& ack, base::Time now) {
  const std::uint64_t before = delivered_;
  const Segment* newest = nullptr;
  Segment copy;
  const auto look = [&](std::uint64_t n) {
    if (n < first_ || n >= next_) return;
    if (Segment& s = at(n); !s.sacked) {
      take(n, now);
      if (newest == nullptr || s.sent > copy.sent) {
        copy = s;
        newest = &copy;
      }
    }
  };
  for (std::uint64_t n = first_; n < std::min(ack.next, next_); ++n) look(n);
  for (const auto& [low, high] : ack.sacks)
    for (std::uint64_t n = low; n <= high && low <= high; ++n) look(n);
  const std::uint64_t first_before = first_;
  while (first_ < ack.next && !segments_.empty()) {
    segments_.pop_front();
    ++first_;
  }
  sacked_ = 0;
  if (first_ < next_ && highest_sacked_ >= first_)
    for (std::uint64_t n = first_; n <= highest_sacked_ && n < next_ && sacked_ < 8; ++n)
      sacked_ += at(n).sacked;

  base::Duration rtt{};
  if (newest != nullptr && !newest->resent) {
    rtt = now - newest->sent;
    if (least_rtt_ == base::Duration{} || rtt <= least_rtt_) {
      least_rtt_ = rtt;
      least_at_ = now;
    }
    if (srtt_ == base::Duration{}) {
      srtt_ = rtt;
      variation_ = rtt / 2;
    } else {
      variation_ += ((rtt > srtt_ ? rtt - srtt_ : srtt_ - rtt) - variation_) / 4;
      srtt_ += (rtt - srtt_) / 8;
    }
  }
  const bool limited = static_cast<double>(out_) + static_cast<double>(delivered_ - before) < window_ * 0.9 &&
                       window_ >= threshold_;
  if (recovering_ && first_ >= recovery_end_) recovering_ = false;
  detect_lost(now);
  hystart(rtt, now);
  if (options_.bbr) {
    if (newest != nullptr && now > newest->delivered_at) {
      const bool round = newest->delivered >= bbr_round_end_;
      if (round) bbr_round_end_ = delivered_;
      const base::Duration took = std::max(now - newest->delivered_at, newest->sent - newest->first_sent);
      first_sent_ = std::max(first_sent_, newest->sent);
      if (took >= least_rtt_)
        bbr_ack(static_cast<double>(delivered_ - newest->delivered) / seconds(took),
                static_cast<double>(delivered_ - before), round, now);
    }
  } else if (first_ > first_before && !limited) {
    cubic_ack(static_cast<unsigned>(first_ - first_before), now);
  }
  if (delivered_ > before) {
    backoff_ = 0;
    probed_ = false;
    timer_ = out_ + lost_waiting_ == 0 ? base::Time::max() : now + rto();
  }
}

base::Time TcpSender::next_timeout() const {
  base::Time next = std::min(timer_, rack_due_);
  if (out_ > 0 && !probed_ && !recovering_ && timer_ != base::Time::max() && srtt_ != base::Duration{})
    next = std::min(next, timer_ - rto() + 2 * srtt_);  // the tail loss probe
  if (options_.bbr && static_cast<double>(out_) < window_ && !full()) next = std::min(next, pace_);
  return next;
}

void TcpSender::on_timer(base::Time now) {
  if (rack_due_ <= now) detect_lost(now);
  if (out_ > 0 && !probed_ && !recovering_ && timer_ != base::Time::max() && srtt_ != base::Duration{} &&
      timer_ - rto() + 2 * srtt_ <= now && timer_ > now) {
    probed_ = true;
    if (Segment& last = segments_.back(); !last.sacked && !last.lost) {
      last.lost = true;  // sent again at once, without an answer by the window
      --out_;
      ++lost_waiting_;
      lost_hint_ = std::min(lost_hint_, next_ - 1);
    }
  }
  if (timer_ > now) return;
  ++timeouts_;
  ++backoff_;
  for (std::uint64_t n = first_; n < next_; ++n)
    if (Segment& s = at(n); !s.sacked && !s.lost) {
      s.lost = true;
      --out_;
      ++lost_waiting_;
    }
  lost_hint_ = first_;
  if (!options_.bbr) {
    max_ = window_;
    threshold_ = std::max(2.0, window_ * kBeta);
    window_ = 1;
    epoch_set_ = false;
  }
  recovering_ = true;
  recovery_end_ = next_;
  if (!options_.bbr) recovering_ = false;
  timer_ = now + rto();
}

}  // namespace qanat::grid
