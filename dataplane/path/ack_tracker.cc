#include "dataplane/path/ack_tracker.hh"

#include <algorithm>
#include <limits>

namespace qanat::path {
namespace {
constexpr base::Duration kAckDelayLeast = std::chrono::microseconds{250};
constexpr std::uint64_t kMost16 = std::numeric_limits<std::uint16_t>::max();
}  // namespace

void AckTracker::set_rtt(base::Duration rtt) {
  if (rtt > base::Duration{}) delay_ = std::clamp(rtt / 4, kAckDelayLeast, kAckDelayMost);
}

// Whether the counter is news; `gap`: whether it left some out.
bool AckTracker::note(std::uint64_t counter, bool& gap) {
  const auto insert = [&](std::size_t at) {
    if (count_ == ranges_.size()) {
      if (at == count_) return;  // older than all that we remember
      --count_;
    }
    std::copy_backward(ranges_.begin() + static_cast<std::ptrdiff_t>(at),
                       ranges_.begin() + static_cast<std::ptrdiff_t>(count_),
                       ranges_.begin() + static_cast<std::ptrdiff_t>(count_ + 1));
    ranges_[at] = {counter, counter, 0};
    ++count_;
  };
  const auto join_above = [&](std::size_t i) {  // range i may now touch the newer one before it
    if (i == 0 || ranges_[i].high + 1 != ranges_[i - 1].low) return;
    ranges_[i - 1].low = ranges_[i].low;
    ranges_[i - 1].told = 0;
    std::copy(ranges_.begin() + static_cast<std::ptrdiff_t>(i + 1),
              ranges_.begin() + static_cast<std::ptrdiff_t>(count_),
              ranges_.begin() + static_cast<std::ptrdiff_t>(i));
    --count_;
  };

  if (count_ == 0 || counter > ranges_[0].high) {
    gap = count_ != 0 && counter != ranges_[0].high + 1;
    if (count_ == 0 || gap)
      insert(0);
    else
      ranges_[0] = {ranges_[0].low, counter, 0};
    return true;
  }
  for (std::size_t i = 0; i < count_; ++i) {
    if (counter < ranges_[i].low) continue;
    if (counter <= ranges_[i].high) return false;
    // Between range i and the newer range i − 1.
    if (counter == ranges_[i].high + 1) {
      ranges_[i].high = counter;
      ranges_[i].told = 0;
      join_above(i);
    } else if (counter + 1 == ranges_[i - 1].low) {
      ranges_[i - 1].low = counter;
      ranges_[i - 1].told = 0;
    } else {
      insert(i);
    }
    return true;
  }
  if (counter + 1 == ranges_[count_ - 1].low) {
    ranges_[count_ - 1].low = counter;
    ranges_[count_ - 1].told = 0;
  } else {
    insert(count_);
  }
  return true;
}

void AckTracker::on_received(std::uint64_t counter, bool ack_wanted, bool ce, base::Time now) {
  const bool newest = count_ == 0 || counter > ranges_[0].high;
  bool gap = false;
  if (!note(counter, gap)) return;
  heard_ = now;
  if (newest) largest_at_ = now;
  ++received_;
  if (ce) ++ce_;
  if (!ack_wanted) return;
  due_ = gap || ++owed_ >= kAckEvery ? std::min(due_, now) : std::min(due_, now + delay_);
}

std::optional<packet::Ack> AckTracker::poll(base::Time now) {
  if (due_ > now || count_ == 0) return std::nullopt;
  due_ = base::Time::max();
  owed_ = 0;
  packet::Ack ack{
      .receiver = receiver_, .space = space_, .largest = ranges_[0].high, .received = received_, .ce = ce_};
  const auto age = std::chrono::duration_cast<std::chrono::microseconds>(now - largest_at_).count();
  ack.age_us = static_cast<std::uint32_t>(std::clamp<std::int64_t>(age, 0, 0xffffffff));
  for (std::size_t i = 0; i < count_; ++i) {
    const std::uint64_t gap = i == 0 ? 0 : ranges_[i - 1].low - ranges_[i].high - 1;
    const std::uint64_t run = ranges_[i].high - ranges_[i].low + 1;
    if (gap > kMost16) break;
    ack.add({static_cast<std::uint16_t>(gap), static_cast<std::uint16_t>(std::min(run, kMost16))});
    ++ranges_[i].told;
    if (run > kMost16) break;
  }
  while (count_ > 1 && ranges_[count_ - 1].told >= kAckTold) --count_;
  return ack;
}

}  // namespace qanat::path
