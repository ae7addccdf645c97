#include "dataplane/crypto/replay_window.hh"

#include <algorithm>
#include <bit>

namespace qanat::crypto {

ReplayWindow::ReplayWindow(std::size_t bits) {
  words_.assign(std::bit_ceil(std::clamp(bits, kMinBits, kMaxBits)) / 64, 0);
  mask_ = words_.size() - 1;
}

bool ReplayWindow::fresh(std::uint64_t counter) const noexcept {
#ifdef QANAT_MUTATE_REPLAY_CHECK  // never in a release: tests/chaos/mutations proves with it that the soak sees copies
  return counter >> 63 == 0;
#endif
  if (counter >= next_) return counter >> 63 == 0;  // next_ must not wrap to zero
  if (next_ - counter > width()) return false;
  return (words_[counter / 64 & mask_] >> (counter % 64) & 1) == 0;
}

bool ReplayWindow::accept(std::uint64_t counter) noexcept {
  if (!fresh(counter)) return false;
  if (counter >= next_) {
    // Clear the words that the window moves into, at most all of them.
    const std::uint64_t from = next_ == 0 ? 0 : (next_ - 1) / 64 + 1;
    const std::uint64_t to = counter / 64;
    if (to >= from)
      for (std::uint64_t w = to - std::min<std::uint64_t>(to - from, mask_); w <= to; ++w)
        words_[w & mask_] = 0;
    next_ = counter + 1;
  }
  words_[counter / 64 & mask_] |= std::uint64_t{1} << (counter % 64);
  return true;
}

const ReplayWindows::Entry* ReplayWindows::find(std::uint32_t space) const noexcept {
  const auto it = std::lower_bound(windows_.begin(), windows_.end(), space,
                                   [](const Entry& e, std::uint32_t s) { return e.space < s; });
  return it != windows_.end() && it->space == space ? &*it : nullptr;
}

bool ReplayWindows::fresh(std::uint32_t space, std::uint64_t counter) const noexcept {
  const Entry* entry = find(space);
  return entry == nullptr || entry->window.fresh(counter);
}

packet::OrDrop<void> ReplayWindows::accept(std::uint32_t space, std::uint64_t counter) {
  auto it = std::lower_bound(windows_.begin(), windows_.end(), space,
                             [](const Entry& e, std::uint32_t s) { return e.space < s; });
  if (it == windows_.end() || it->space != space) {
    if (windows_.size() == kMaxWindows) return packet::DropReason::SpacesExhausted;
    it = windows_.insert(it, Entry{space, ReplayWindow(bits_)});
  }
  if (!it->window.accept(counter)) return packet::DropReason::Replayed;
  return {};
}

}  // namespace qanat::crypto
