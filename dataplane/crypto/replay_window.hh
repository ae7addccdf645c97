// ReplayWindow: which counters of one sequence space have been seen (RFC 6479's sliding bitmap, of any
// power-of-two width).
#pragma once

#include <cstdint>
#include <vector>

#include "dataplane/packet/drop_reason.hh"

namespace qanat::crypto {

class ReplayWindow {
 public:
  static constexpr std::size_t kMinBits = 2048;
  static constexpr std::size_t kMaxBits = 65536;

  // `bits` is rounded up to a power of two within the limits. A counter less than `width()` behind the
  // greatest seen is judged exactly; older ones count as seen.
  explicit ReplayWindow(std::size_t bits = kMinBits);

  // True when `counter` is fresh; does not record it. Call before the costly open.
  bool fresh(std::uint64_t counter) const noexcept;
  // Records it: true the first time. Call only after the tag was verified.
  bool accept(std::uint64_t counter) noexcept;

  std::size_t width() const noexcept { return (words_.size() - 1) * 64; }
  std::uint64_t next() const noexcept { return next_; }  // greatest seen + 1; 0 before the first

 private:
  std::vector<std::uint64_t> words_;  // a ring; the word that the window moves into is cleared whole
  std::uint64_t next_ = 0;
  std::uint64_t mask_ = 0;
};

// The windows of one session's spaces, allocated on first use, at most 256 (wire.md §3).
class ReplayWindows {
 public:
  static constexpr std::size_t kMaxWindows = 256;
  explicit ReplayWindows(std::size_t bits = ReplayWindow::kMinBits) : bits_(bits) {}

  // Before the tag is checked: nothing is allocated.
  bool fresh(std::uint32_t space, std::uint64_t counter) const noexcept;
  // After: allocates. Refused as Replayed or SpacesExhausted.
  packet::OrDrop<void> accept(std::uint32_t space, std::uint64_t counter);
  std::size_t size() const noexcept { return windows_.size(); }

 private:
  struct Entry {
    std::uint32_t space;
    ReplayWindow window;
  };
  const Entry* find(std::uint32_t space) const noexcept;
  std::size_t bits_;
  std::vector<Entry> windows_;  // ascending space
};

}  // namespace qanat::crypto
