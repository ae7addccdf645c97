#include "bench/grid/tcp_model.hh"

#include <algorithm>
#include <cmath>

namespace qanat::grid {
namespace {
using namespace std::chrono_literals;
constexpr base::Duration kDelayedAck = 40ms;
constexpr double kBeta = 0.7, kC = 0.4;
constexpr base::Duration kJiffy = 4ms;        // HZ = 250
constexpr base::Duration kCubicEvery = 28ms;  // HZ / 32: how soon the same window is looked at again
constexpr double kFriendly =
    (1 + kBeta) / (3 * (1 - kBeta));  // acks for each segment that Reno would grow by
constexpr unsigned kDupThreshold = 3;
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

// tcp_tso_should_defer(): less than a third of the window waits for the next ack, if that is near and the last segment
// just left.
bool TcpSender::defers(base::Time now) {
  if (chunk_ > 0 || options_.bbr || recovering_ || in_loss_) return false;
  const double room = std::floor(window_) - static_cast<double>(out_);
  if (room < window_ / 3 && out_ > 0 && now - last_sent_ <= 1ms && now - segments_.front().sent >= srtt_ / 2)
    return true;
  chunk_ = static_cast<std::uint64_t>(std::max(room, 0.0));
  return false;
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
    if (full() || defers(now)) return std::nullopt;
    if (chunk_ > 0) --chunk_;
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
  last_sent_ = now;
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
  if (number == probe_) {
    probe_ = kNobody;
    if (s.resent && now - s.sent >= least_rtt_ && !recovering_) decrease();
  }
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
  // tcp_rack_reo_wnd(): eager in recovery and with three reports, unless reordering was seen.
  const bool eager = !reordering_ && (recovering_ || in_loss_ || sacked_ >= kDupThreshold);
  const base::Duration window = eager ? base::Duration{} : std::min(least_rtt_ / 4, srtt_);
  bool lost = false;
  for (std::uint64_t n = first_; n < next_; ++n) {
    Segment& s = at(n);
    if (n > highest_sacked_ && !recovering_ && !in_loss_) break;
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
  if (recovering_ || in_loss_) return;
  recovering_ = true;
  recovery_end_ = next_;
  decrease();
}

// bictcp_recalc_ssthresh(), with the window that recovery ends with taken at once.
void TcpSender::decrease() {
  if (options_.bbr) return;
  max_ = window_ < max_ ? std::floor(window_ * (1 + kBeta) / 2) : window_;
  window_ = std::max(2.0, std::floor(window_ * kBeta));
  threshold_ = window_;
  grown_ = 0;
  epoch_set_ = false;
}

// In whole segments, as bictcp_update() and tcp_cong_avoid_ai() have it: small windows grow later than the formulas say.
void TcpSender::cubic_ack(unsigned acked, base::Time now) {
  if (recovering_) return;
  if (window_ < threshold_) {
    const double before = window_;
    window_ = std::min(window_ + acked, std::max(threshold_, before));
    acked -= static_cast<unsigned>(window_ - before);
    if (acked == 0) return;
  }
  acks_ += acked;
  const bool soon = looked_window_ == window_ && now - looked_ <= kCubicEvery;
  if (!epoch_set_ || !soon) {
    if (!epoch_set_ || now - looked_ >= kJiffy) aim(acked, now);
    // Never slower than Reno.
    while (acks_ > window_ * kFriendly) {
      acks_ -= window_ * kFriendly;
      ++reno_;
    }
    if (reno_ > window_) acks_to_grow_ = std::min(acks_to_grow_, std::floor(window_ / (reno_ - window_)));
    acks_to_grow_ = std::max(acks_to_grow_, 2.0);
  }
  if (grown_ >= acks_to_grow_) {
    grown_ = 0;
    ++window_;
  }
  grown_ += acked;
  const double more = std::floor(grown_ / acks_to_grow_);
  grown_ -= more * acks_to_grow_;
  window_ += more;
}

// RFC 9438 §4.2 to 4.4: how many acks the next segment of the window takes.
void TcpSender::aim(unsigned acked, base::Time now) {
  looked_window_ = window_;
  looked_ = now;
  if (!epoch_set_) {
    epoch_set_ = true;
    epoch_ = now;
    acks_ = acked;
    reno_ = window_;
    origin_ = std::max(max_, window_);
    k_ = std::cbrt((origin_ - window_) / kC);
  }
  const double t = seconds(now - epoch_ + least_rtt_);
  const double target = std::floor(origin_ + kC * std::pow(t - k_, 3));
  acks_to_grow_ = target > window_ ? std::floor(window_ / (target - window_)) : 100 * window_;
  if (max_ == 0) acks_to_grow_ = std::min(acks_to_grow_, 20.0);
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
  if (first_ >= recovery_end_) recovering_ = in_loss_ = false;
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

// The tail loss probe (tcp_schedule_loss_probe()): only while nothing is known to be missing.
base::Time TcpSender::probe_due() const {
  if (out_ == 0 || probed_ || recovering_ || in_loss_ || sacked_ > 0 || timer_ == base::Time::max() ||
      srtt_ == base::Duration{})
    return base::Time::max();
  return timer_ - rto() +
         std::min<base::Duration>(2 * srtt_ + (next_ - first_ == 1 ? 200ms : 2 * kJiffy), rto());
}

base::Time TcpSender::next_timeout() const {
  base::Time next = std::min({timer_, rack_due_, probe_due()});
  if (options_.bbr && static_cast<double>(out_) < window_ && !full()) next = std::min(next, pace_);
  return next;
}

void TcpSender::on_timer(base::Time now) {
  if (rack_due_ <= now) detect_lost(now);
  if (probe_due() <= now && timer_ > now) {
    probed_ = true;
    if (Segment& last = segments_.back(); !last.sacked && !last.lost) {
      last.lost = true;  // sent again at once; the window answers if that was what mended it
      probe_ = next_ - 1;
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
    if (!in_loss_) decrease();
    max_ = 0;
    window_ = 1;
  }
  recovering_ = false;
  in_loss_ = true;
  recovery_end_ = next_;
  timer_ = now + rto();
}

}  // namespace qanat::grid
