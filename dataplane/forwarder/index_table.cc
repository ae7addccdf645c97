#include "dataplane/forwarder/index_table.hh"

namespace qanat::forwarder {

std::uint32_t IndexTable::allocate(PeerState* peer, std::uint32_t random) {
  std::size_t slot = 0;
  if (!free_.empty()) {
    slot = free_.back();
    free_.pop_back();
  } else if (slots_.size() < kMaxSlots) {
    slot = slots_.size();
    slots_.emplace_back();
  } else {
    return 0;
  }
  std::uint32_t high = random & 0xffff0000u;
  if (high == 0) high = 0x10000u;  // 0 names nothing
  slots_[slot] = {high | static_cast<std::uint32_t>(slot), peer};
  return slots_[slot].index;
}

void IndexTable::assign(std::uint32_t index, PeerState* peer) {
  const std::size_t slot = index & 0xffff;
  if (slot < slots_.size() && slots_[slot].index == index) slots_[slot].peer = peer;
}

void IndexTable::adopt(std::uint32_t index, PeerState* peer) {
  const std::size_t slot = index & 0xffff;
  if (slot >= slots_.size()) slots_.resize(slot + 1);
  slots_[slot] = {index, peer};
  adopted_ = true;
}

void IndexTable::release(std::uint32_t index) {
  const std::size_t slot = index & 0xffff;
  if (slot >= slots_.size() || slots_[slot].index != index) return;
  slots_[slot] = {};
  if (!adopted_) free_.push_back(static_cast<std::uint16_t>(slot));
}

void IndexTable::release_all(const PeerState* peer) {
  for (const Slot& slot : slots_)
    if (slot.peer == peer) release(slot.index);
}

}  // namespace qanat::forwarder
