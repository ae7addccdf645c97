// Frame: the bytes of one packet or super-packet as a TUN handed them over, shared by all that is left of it.
// Frames come from a pool and go back to it, so that a running link allocates nothing for a packet.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "dataplane/packet/virtio_header.hh"

namespace qanat::linkem {

class FramePool;

// A super-packet is `segments` packets behind one header: every one carries the first `header_bytes` again,
// rewritten, and `step` bytes of what follows (the last one what is left). A plain packet has one segment and
// step 0. The data follow the struct in memory.
struct Frame {
  packet::VirtioHeader virtio;
  std::uint32_t bytes = 0;
  std::uint32_t capacity = 0;
  std::uint16_t segments = 1;
  std::uint16_t header_bytes = 0;
  std::uint16_t step = 0;
  std::uint16_t transport_offset = 0;  // of a super-packet
  std::uint32_t references = 0;
  FramePool* pool = nullptr;
  Frame* next_free = nullptr;

  std::uint8_t* data() { return reinterpret_cast<std::uint8_t*>(this + 1); }
  const std::uint8_t* data() const { return reinterpret_cast<const std::uint8_t*>(this + 1); }
  std::span<std::uint8_t> span() { return {data(), bytes}; }
  std::span<const std::uint8_t> span() const { return {data(), bytes}; }
};

// A counted reference; not for use from two threads.
class FrameRef {
 public:
  FrameRef() = default;
  explicit FrameRef(Frame* frame) : frame_(frame) {}  // takes over one reference
  FrameRef(const FrameRef& other) : frame_(other.frame_) {
    if (frame_) ++frame_->references;
  }
  FrameRef(FrameRef&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
  FrameRef& operator=(FrameRef other) noexcept {
    std::swap(frame_, other.frame_);
    return *this;
  }
  ~FrameRef() {
    if (frame_ && --frame_->references == 0) give_back();
  }

  Frame* operator->() const { return frame_; }
  Frame& operator*() const { return *frame_; }
  explicit operator bool() const { return frame_ != nullptr; }
  friend bool operator==(const FrameRef&, const FrameRef&) = default;

 private:
  void give_back();
  Frame* frame_ = nullptr;
};

// Outlives its frames. One thread.
class FramePool {
 public:
  static constexpr std::size_t kLargest = 65'535;

  FramePool() = default;
  FramePool(const FramePool&) = delete;
  FramePool& operator=(const FramePool&) = delete;
  ~FramePool();

  // A plain frame of room for `capacity` (at most kLargest) bytes, its bytes not set.
  FrameRef take(std::size_t capacity);
  // A plain frame that holds `bytes`.
  FrameRef copy(std::span<const std::uint8_t> bytes);
  std::size_t allocated() const { return allocated_; }  // frames ever asked of the heap

 private:
  friend class FrameRef;
  static constexpr std::array<std::uint32_t, 3> kSizes = {512, 2048, 65'536};
  std::array<Frame*, kSizes.size()> free_{};
  std::size_t allocated_ = 0;
};

// Finds the segments of a frame whose virtio header announces a super-packet; one that contradicts its virtio
// header stays one opaque packet. `frame.virtio` and `frame.bytes` are set.
void find_segments(Frame& frame) noexcept;

}  // namespace qanat::linkem
