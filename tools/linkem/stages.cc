#include "tools/linkem/stages.hh"

#include <algorithm>
#include <cmath>

namespace qanat::linkem {
namespace {

__extension__ using Wide = unsigned __int128;
constexpr std::uint64_t kNsPerSecond = 1'000'000'000;

std::optional<Packet> take_front(std::deque<Packet>& queue) {
  if (queue.empty()) return {};
  Packet packet = std::move(queue.front());
  queue.pop_front();
  return packet;
}

}  // namespace

void Loss::push(Packet packet, base::Time now) {
  if (chance_.happens(share_)) {
    ++dropped_packets_;
    dropped_bytes_ += packet.bytes.size();
    return;
  }
  packet.at = now;
  through_.push_back(std::move(packet));
}

std::optional<Packet> Loss::pop(base::Time) { return take_front(through_); }

void Duplicate::push(Packet packet, base::Time now) {
  packet.at = now;
  const bool twice = chance_.happens(share_);
  if (twice) {
    ++duplicated_;
    through_.push_back(packet);
  }
  through_.push_back(std::move(packet));
}

std::optional<Packet> Duplicate::pop(base::Time) { return take_front(through_); }

void RateQueue::configure(std::uint64_t rate_bps, std::uint64_t limit_packets, std::uint64_t limit_bytes,
                          base::Time now) {
  limit_packets_ = limit_packets;
  limit_bytes_ = limit_bytes;
  if (rate_bps == rate_bps_) return;
  if (!queue_.empty() && head_done_ > now) {
    const auto left_ns = static_cast<std::uint64_t>((head_done_ - now).count());
    const Wide bit_ns = rate_bps_ ? Wide{left_ns} * rate_bps_ : 0;
    head_done_ = now + base::Duration(rate_bps ? static_cast<std::int64_t>(bit_ns / rate_bps) : 0);
  }
  carry_ = 0;
  rate_bps_ = rate_bps;
}

void RateQueue::start_head(base::Time at) {
  if (rate_bps_ == 0) {
    head_done_ = at;
    return;
  }
  const Wide bit_ns = Wide{queue_.front().bytes.size()} * 8 * kNsPerSecond + carry_;
  head_done_ = at + base::Duration(static_cast<std::int64_t>(bit_ns / rate_bps_));
  carry_ = static_cast<std::uint64_t>(bit_ns % rate_bps_);
}

void RateQueue::push(Packet packet, base::Time now) {
  const std::uint64_t size = packet.bytes.size();
  if ((limit_packets_ && queue_.size() >= limit_packets_) ||
      (limit_bytes_ && queued_bytes_ + size > limit_bytes_)) {
    ++dropped_packets_;
    dropped_bytes_ += size;
    return;
  }
  queued_bytes_ += size;
  queue_.push_back(std::move(packet));
  if (queue_.size() == 1) {
    if (now > head_done_) carry_ = 0;  // the transmitter stood idle
    start_head(now);
  }
}

std::optional<Packet> RateQueue::pop(base::Time) {
  auto packet = take_front(queue_);
  if (!packet) return {};
  queued_bytes_ -= packet->bytes.size();
  packet->at = head_done_;
  if (!queue_.empty()) start_head(head_done_);
  return packet;
}

void Delay::push(Packet packet, base::Time now) {
  // Every packet draws alike, so that a changed setting doesn't shift the later draws of the same seed.
  const bool overtakes = chance_.happens(reorder_);
  const double u = chance_.uniform();
  const double n = jitter_.shape == Jitter::Shape::Normal ? chance_.normal() : 0;
  if (overtakes) {
    reordered_ += !inside_.empty();
    inside_.emplace(now, std::move(packet));
    return;
  }
  base::Duration delay = delay_;
  const auto spread = static_cast<double>(jitter_.spread.count());
  if (jitter_.shape == Jitter::Shape::Uniform) delay += base::Duration(std::llround((2 * u - 1) * spread));
  if (jitter_.shape == Jitter::Shape::Normal) delay += base::Duration(std::llround(n * spread));
  last_due_ = std::max({now, now + delay, last_due_});
  inside_.emplace_hint(inside_.end(), last_due_, std::move(packet));
}

std::optional<Packet> Delay::pop(base::Time) {
  if (inside_.empty()) return {};
  auto first = inside_.extract(inside_.begin());
  Packet packet = std::move(first.mapped());
  packet.at = first.key();
  return packet;
}

}  // namespace qanat::linkem
