#include "dataplane/path/mtu_search.hh"

#include <algorithm>

namespace qanat::path {
namespace {
constexpr std::uint32_t kLaterHeard = 3;  // probes: a large one that these overtook is lost, not late
}

// The whole first: nearly every path carries it. Then halves of what is left.
std::uint16_t MtuSearch::target() const {
  if (!tried_largest_) return largest_;
  if (hint_ > low_ && hint_ < high_) return hint_;
  return static_cast<std::uint16_t>(low_ + std::max<int>(kSearchStep, (high_ - low_) / 2));
}

std::uint16_t MtuSearch::on_send(std::uint32_t sequence, base::Time now) {
  if (!searching_ && confirmed_ < largest_ && now - settled_at_ >= kRaiseEvery) {
    searching_ = true;
    tried_largest_ = false;
    low_ = confirmed_;
    high_ = static_cast<std::uint16_t>(largest_ + 1);
    losses_ = 0;
  }
  const std::uint32_t every = confirmed_losses_ != 0 ? kPaddedEveryInDoubt : kPaddedEvery;
  if (sequence % every != 1) return 0;
  if (confirmed_losses_ == 0 && now - padded_at_ < kPaddedSpacing) return 0;
  padded_at_ = now;
  const bool check = !searching_ || confirmed_losses_ != 0 || (check_next_ && confirmed_ > kLeastDatagram);
  check_next_ = !check_next_;
  const std::uint16_t size = check ? confirmed_ : target();
  ring_[next_++ % ring_.size()] = {sequence, size};
  return size;
}

bool MtuSearch::on_report(std::uint32_t padded, std::uint32_t newest, base::Time now) {
  bool changed = false;
  // In the order they were sent.
  for (std::size_t i = 0; i < ring_.size(); ++i) {
    Sent& sent = ring_[(next_ + i) % ring_.size()];
    if (sent.size == 0) continue;
    const std::uint16_t size = sent.size;
    if (sent.sequence == padded) {
      sent.size = 0;
      changed |= passed(size, now);
    } else if (sent.sequence < padded) {
      sent.size = 0;  // a newer one was heard first: no telling
    } else if (newest >= sent.sequence + kLaterHeard) {
      sent.size = 0;
      changed |= lost(size, now);
    }
  }
  return changed;
}

bool MtuSearch::passed(std::uint16_t size, base::Time now) {
  if (size >= confirmed_) confirmed_losses_ = 0;
  if (!searching_ || size <= low_) return false;
  if (size >= high_) return false;
  low_ = size;
  tried_largest_ = true;
  losses_ = 0;
  return settle_if_done(now);
}

bool MtuSearch::lost(std::uint16_t size, base::Time now) {
  if (size > confirmed_) ++expected_losses_;
  if (searching_ && size == target() && size > confirmed_) {
    if (++losses_ < kLossesToNarrow) return false;
    tried_largest_ = true;
    high_ = size;
    losses_ = 0;
    return settle_if_done(now);
  }
  if (size != confirmed_ || confirmed_ == kLeastDatagram) return false;
  if (++confirmed_losses_ < kLossesToNarrow) return false;
  return narrow(size, now);
}

// A black hole: down to what always passes, at once, and search for what lies between.
bool MtuSearch::narrow(std::uint16_t size, base::Time) {
  searching_ = true;
  tried_largest_ = true;
  low_ = kLeastDatagram;
  high_ = size;
  losses_ = 0;
  confirmed_losses_ = 0;
  const bool changed = confirmed_ != kLeastDatagram;
  confirmed_ = kLeastDatagram;
  return changed;
}

bool MtuSearch::on_too_big(std::uint16_t size, base::Time now) {
  size = std::max(size, kLeastDatagram);
  if (size >= high_ - 1) return false;
  tried_largest_ = true;
  if (searching_ && low_ <= size) {
    high_ = static_cast<std::uint16_t>(size + 1);
    hint_ = size;
    losses_ = 0;
    return settle_if_done(now);
  }
  if (confirmed_ <= size) return false;
  // The relay has measured it: no need to go to the least.
  confirmed_ = low_ = size;
  high_ = static_cast<std::uint16_t>(size + 1);
  confirmed_losses_ = 0;
  searching_ = false;
  settled_once_ = true;
  settled_at_ = now;
  return true;
}

bool MtuSearch::settle_if_done(base::Time now) {
  if (low_ < largest_ && high_ - low_ > kSearchStep) return false;
  searching_ = false;
  settled_once_ = true;
  settled_at_ = now;
  if (low_ == confirmed_) return false;
  confirmed_ = low_;
  return true;
}

}  // namespace qanat::path
