// TierQueue: four bounded queues with strict priority, between reading a tenant's packets and sealing them, so that
// `critical` never waits for bulk that was read before it in the same batch.
#pragma once

#include <array>
#include <cstddef>
#include <optional>

#include "identifiers/ids/tier.hh"

namespace qanat::qos {

// Allocates nothing. `Capacity` entries a tier.
template <class T, std::size_t Capacity>
class TierQueue {
 public:
  // False when the tier's queue is full (DropReason::QueueFull).
  bool enqueue(ids::Tier tier, const T& value) {
    Ring& ring = rings_[static_cast<std::size_t>(tier)];
    if (ring.count == Capacity) return false;
    ring.values[(ring.first + ring.count++) % Capacity] = value;
    ++size_;
    return true;
  }
  // The oldest of the most urgent tier that has any.
  std::optional<T> dequeue() {
    for (Ring& ring : rings_) {
      if (ring.count == 0) continue;
      const T value = ring.values[ring.first];
      ring.first = (ring.first + 1) % Capacity;
      --ring.count;
      --size_;
      return value;
    }
    return std::nullopt;
  }
  std::size_t size() const { return size_; }

 private:
  struct Ring {
    std::array<T, Capacity> values{};
    std::size_t first = 0;
    std::size_t count = 0;
  };
  std::array<Ring, ids::kTierCount> rings_;
  std::size_t size_ = 0;
};

}  // namespace qanat::qos
