// IndexTable: receiver indices that we gave out, each naming one key pair of one peer (wire.md §2).
#pragma once

#include <cstdint>
#include <vector>

namespace qanat::forwarder {

struct PeerState;

// An index is slot (16) below random bits (16), so that a stale one of an earlier life rarely names a live key.
class IndexTable {
 public:
  static constexpr std::size_t kMaxSlots = 65'536;

  // A free index for `peer`; 0 when all slots are taken. `random` is fresh randomness.
  std::uint32_t allocate(PeerState* peer, std::uint32_t random);
  // Gives an index that was allocated for nobody to a peer.
  void assign(std::uint32_t index, PeerState* peer);
  // An index that another table gave out (a follower's copy of the lead's); such a table never allocates.
  void adopt(std::uint32_t index, PeerState* peer);
  void release(std::uint32_t index);
  // Forgets every index of a peer.
  void release_all(const PeerState* peer);
  PeerState* find(std::uint32_t index) const noexcept {
    const std::size_t slot = index & 0xffff;
    return slot < slots_.size() && slots_[slot].index == index ? slots_[slot].peer : nullptr;
  }
  std::size_t size() const noexcept { return slots_.size() - free_.size(); }

 private:
  struct Slot {
    std::uint32_t index = 0;
    PeerState* peer = nullptr;
  };
  std::vector<Slot> slots_;
  std::vector<std::uint16_t> free_;
  bool adopted_ = false;
};

}  // namespace qanat::forwarder
