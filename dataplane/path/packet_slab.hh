// PacketSlab: memory for packets that have to be kept a moment, in slots of one size, without an allocation per packet.
// Chunks are taken when needed and given back by trim(); a slot is named by its index.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace qanat::path {

class PacketSlab {
 public:
  static constexpr std::size_t kSlotBytes = 1536;  // any datagram over an underlay of 1500
  static constexpr std::size_t kSlotsPerChunk = 64;
  using Slot = std::uint32_t;

  Slot acquire() {
    if (free_.empty()) grow();
    const Slot slot = free_.back();
    free_.pop_back();
    ++used_;
    return slot;
  }
  void release(Slot slot) {
    free_.push_back(slot);
    --used_;
  }
  std::span<std::uint8_t, kSlotBytes> bytes(Slot slot) {
    return std::span<std::uint8_t, kSlotBytes>{
        chunks_[slot / kSlotsPerChunk]->data() + slot % kSlotsPerChunk * kSlotBytes, kSlotBytes};
  }
  std::size_t used() const { return used_; }
  std::size_t slots() const { return chunks_.size() * kSlotsPerChunk; }  // every valid index is less
  // Gives the memory back when nothing is in use.
  void trim() {
    if (used_ != 0) return;
    chunks_.clear();
    free_.clear();
  }

 private:
  using Chunk = std::array<std::uint8_t, kSlotBytes * kSlotsPerChunk>;
  void grow() {
    const auto first = static_cast<Slot>(slots());
    chunks_.push_back(std::make_unique_for_overwrite<Chunk>());
    for (std::size_t i = kSlotsPerChunk; i-- > 0;) free_.push_back(first + static_cast<Slot>(i));
  }

  std::vector<std::unique_ptr<Chunk>> chunks_;
  std::vector<Slot> free_;
  std::size_t used_ = 0;
};

}  // namespace qanat::path
