// QueuedPacket: a tenant's super-packet that waits, copied, with a cursor to the segment that goes next; and the slab
// that such packets live in, so that a queue's memory is bounded and nothing is allocated once it has been in use.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/time.hh"
#include "dataplane/packet/segmenter.hh"
#include "identifiers/ids/node_id.hh"
#include "identifiers/ids/tier.hh"
#include "identifiers/ids/vni.hh"

namespace qanat::qos {

// Who shares with whom inside a tier: one tenant's traffic towards one box.
struct ClassKey {
  ids::NodeId peer;
  ids::Vni vni;
  bool operator==(const ClassKey&) const = default;
};

struct QueuedPacket {
  ClassKey key;
  ids::Tier tier{};
  std::uint8_t bucket = 0;
  base::Time queued{};
  packet::Segmenter segmenter;  // over `bytes()`
  std::size_t next = 0;         // the segment that goes next
  std::size_t left_bytes = 0;   // of this one and those behind it
  // A segment's fate is decided once, however often it is offered.
  bool decided = false;
  bool marked = false;

  packet::MutableBytes bytes() { return {storage.get(), used}; }
  std::size_t segment_bytes() const { return segmenter.segment_bytes(next); }

  // The slab's.
  std::unique_ptr<std::uint8_t[]> storage;
  std::size_t used = 0;
  std::uint8_t size_class = 0;
  QueuedPacket* behind = nullptr;
};

// Blocks of a few sizes, kept for the next packet of that size. One thread.
class PacketSlab {
 public:
  static constexpr std::array<std::size_t, 5> kSizes{512, 2048, 8192, 32768, 65536};
  static constexpr std::size_t kAround = sizeof(QueuedPacket);  // each block costs that beside its bytes

  explicit PacketSlab(std::size_t limit_bytes) : limit_(limit_bytes) {}

  // A block of at least `bytes`; null when the limit stands in the way.
  QueuedPacket* take(std::size_t bytes);
  void give(QueuedPacket* packet);
  // What it takes up, whatever its bytes.
  static std::size_t held(const QueuedPacket& packet) { return block_bytes(packet.size_class); }

  std::size_t limit_bytes() const { return limit_; }
  std::size_t used_bytes() const { return used_; }            // in packets that wait
  std::size_t allocated_bytes() const { return allocated_; }  // these and the blocks kept: at most the limit

 private:
  static std::size_t block_bytes(std::size_t size_class) { return kSizes[size_class] + kAround; }
  bool make_room(std::size_t bytes);

  std::size_t limit_;
  std::size_t used_ = 0;
  std::size_t allocated_ = 0;
  std::array<std::vector<std::unique_ptr<QueuedPacket>>, kSizes.size()> kept_;
};

}  // namespace qanat::qos
