#include "dataplane/qos/queued_packet.hh"

#include <algorithm>

namespace qanat::qos {

QueuedPacket* PacketSlab::take(std::size_t bytes) {
  const auto fits = std::find_if(kSizes.begin(), kSizes.end(), [&](std::size_t s) { return s >= bytes; });
  if (fits == kSizes.end()) return nullptr;
  const auto size_class = static_cast<std::uint8_t>(fits - kSizes.begin());
  const std::size_t block = block_bytes(size_class);
  auto& kept = kept_[size_class];
  std::unique_ptr<QueuedPacket> packet;
  if (!kept.empty()) {
    packet = std::move(kept.back());
    kept.pop_back();
  } else {
    if (!make_room(block)) return nullptr;
    packet = std::make_unique<QueuedPacket>();
    packet->storage = std::make_unique_for_overwrite<std::uint8_t[]>(*fits);
    packet->size_class = size_class;
    allocated_ += block;
  }
  used_ += block;
  packet->used = bytes;
  packet->next = 0;
  packet->decided = packet->marked = false;
  packet->behind = nullptr;
  return packet.release();
}

void PacketSlab::give(QueuedPacket* packet) {
  used_ -= block_bytes(packet->size_class);
  kept_[packet->size_class].emplace_back(packet);
}

// Blocks of other sizes that nobody uses go, the largest first.
bool PacketSlab::make_room(std::size_t bytes) {
  for (std::size_t c = kSizes.size(); allocated_ + bytes > limit_;) {
    while (c > 0 && kept_[c - 1].empty()) --c;
    if (c == 0) return false;
    kept_[c - 1].pop_back();
    allocated_ -= block_bytes(c - 1);
  }
  return true;
}

}  // namespace qanat::qos
