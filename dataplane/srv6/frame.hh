// Frame: one packet in a buffer with room before it, so that headers are pushed and pulled where the packet lies.
#pragma once

#include <cstddef>
#include <cstring>

#include "dataplane/packet/wire.hh"

namespace qanat::srv6 {

// An outer IPv6 header, a full list and its HMAC, twice: an encapsulation inside an encapsulation.
inline constexpr std::size_t kHeadroomBytes = 768;

// Owns nothing. The packet never leaves [storage.begin, storage.end).
class Frame {
 public:
  // The packet is the `size` bytes at `offset`.
  Frame(packet::MutableBytes storage, std::size_t offset, std::size_t size) noexcept
      : storage_(storage), at_(offset), size_(size) {}

  packet::MutableBytes packet() const noexcept { return storage_.subspan(at_, size_); }
  std::size_t headroom() const noexcept { return at_; }
  // `bytes` more in front, not initialised; bytes ≤ headroom().
  void push(std::size_t bytes) noexcept {
    at_ -= bytes;
    size_ += bytes;
  }
  // The first `bytes` are gone; bytes ≤ size.
  void pull(std::size_t bytes) noexcept {
    at_ += bytes;
    size_ -= bytes;
  }
  void truncate(std::size_t size) noexcept { size_ = size; }
  // Takes `bytes` out at `at` by moving what stands before it.
  void cut(std::size_t at, std::size_t bytes) noexcept {
    std::memmove(storage_.data() + at_ + bytes, storage_.data() + at_, at);
    pull(bytes);
  }

 private:
  packet::MutableBytes storage_;
  std::size_t at_;
  std::size_t size_;
};

}  // namespace qanat::srv6
