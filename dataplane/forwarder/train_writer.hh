// TrainWriter: where sealed datagrams are built, end to end in memory, so that consecutive ones to one address with one
// size leave as one UDP GSO train without ever being copied.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "dataplane/forwarder/datagrams.hh"

namespace qanat::forwarder {

// Who a train goes to. Datagrams of different keys never share one.
struct TrainKey {
  packet::UdpAddress remote;
  std::uint8_t line = 0;
  std::uint8_t traffic_class = 0;
  std::uint8_t group = 0;  // bucket group: one worker's at the far end
  bool operator==(const TrainKey&) const = default;
};

// reserve(), write, commit(), … then trains(), send, clear(). Memory grows to the largest batch and is then reused.
class TrainWriter {
 public:
  static constexpr std::size_t kChunkBytes = 1 << 20;

  // `size` writable bytes, directly behind the open train when it can take one more of that size. Nothing is sent
  // until commit(); reserving again without it forgets the first.
  packet::MutableBytes reserve(const TrainKey& key, std::size_t size);
  void commit();
  // A train that lies elsewhere (transit, resealed in place); its bytes stay valid until clear().
  void add(const Datagrams& train);

  std::span<const Datagrams> trains();
  bool empty() const { return trains_.empty(); }
  std::size_t bytes() const { return bytes_; }
  void clear();

 private:
  bool fits(const TrainKey& key, std::size_t size) const;

  std::vector<std::unique_ptr<std::uint8_t[]>> chunks_;
  std::size_t chunk_ = 0;
  std::size_t used_ = 0;  // of the current chunk
  std::size_t bytes_ = 0;
  std::vector<Datagrams> trains_;
  TrainKey key_;       // of the last train
  bool open_ = false;  // it may take another datagram
  std::size_t open_count_ = 0;
  TrainKey reserved_key_;
  std::size_t reserved_ = 0;
  bool reserved_joins_ = false;
};

}  // namespace qanat::forwarder
