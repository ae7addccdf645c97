#include "tools/linkem/frame.hh"

#include <algorithm>
#include <cstring>
#include <new>

#include "dataplane/packet/segmenter.hh"

namespace qanat::linkem {

void FrameRef::give_back() {
  FramePool& pool = *frame_->pool;
  std::size_t size = 0;
  while (FramePool::kSizes[size] != frame_->capacity) ++size;
  frame_->next_free = pool.free_[size];
  pool.free_[size] = frame_;
}

FramePool::~FramePool() {
  for (Frame* frame : free_)
    while (frame) {
      Frame* next = frame->next_free;
      frame->~Frame();
      ::operator delete(frame);
      frame = next;
    }
}

FrameRef FramePool::take(std::size_t capacity) {
  std::size_t size = 0;
  while (kSizes[size] < capacity) ++size;
  Frame* frame = free_[size];
  if (frame) {
    free_[size] = frame->next_free;
  } else {
    ++allocated_;
    frame = new (::operator new(sizeof(Frame) + kSizes[size])) Frame;
    frame->capacity = kSizes[size];
    frame->pool = this;
  }
  frame->virtio = {};
  frame->segments = 1;
  frame->header_bytes = frame->step = frame->transport_offset = 0;
  frame->references = 1;
  return FrameRef(frame);
}

FrameRef FramePool::copy(std::span<const std::uint8_t> bytes) {
  FrameRef frame = take(bytes.size());
  std::memcpy(frame->data(), bytes.data(), bytes.size());
  frame->bytes = static_cast<std::uint32_t>(bytes.size());
  return frame;
}

void find_segments(Frame& frame) noexcept {
  if (frame.virtio.gso() == packet::GsoType::None) return;
  const auto cut = packet::Segmenter::make(frame.virtio, frame.span(), FramePool::kLargest);
  if (!cut.has_value()) return;
  frame.bytes = cut->view().total_bytes;
  frame.segments = static_cast<std::uint16_t>(cut->count());
  frame.header_bytes = static_cast<std::uint16_t>(cut->header_bytes());
  frame.transport_offset = cut->view().transport_offset;
  frame.step = frame.virtio.gso_size;
}

}  // namespace qanat::linkem
