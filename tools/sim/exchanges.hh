// Exchanges: who sent what to whom lately, and the sequence diagram that a failed run ends with.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/time.hh"

namespace qanat::sim {

struct Exchange {
  enum class Kind : std::uint8_t { Arrived, Lost, Control, Delivered, Fault } kind{};
  std::uint8_t type =
      0;  // of a datagram: its first byte; of a message: its Envelope's case; of a fault: 1 begins
  std::uint8_t plane = 0;
  std::uint16_t size = 0;
  std::uint32_t from = 0;
  std::uint32_t to = 0;
  std::uint32_t digest = 0;  // of a delivered packet: its number in its flow
  base::Time at{};
};

// The last kKept of a shard.
class Exchanges {
 public:
  static constexpr std::size_t kKept = 65'536;
  void add(const Exchange& exchange) {
    if (ring_.size() < kKept) {
      ring_.push_back(exchange);
    } else {
      ring_[next_] = exchange;
      next_ = (next_ + 1) % kKept;
    }
  }
  // Those between nodes of `involved`, oldest first.
  void between(std::span<const std::uint32_t> involved, std::vector<Exchange>& out) const;

 private:
  std::vector<Exchange> ring_;
  std::size_t next_ = 0;
};

// A column per node, time downwards, an arrow per exchange:
//
//     612.340 ms   a ───────── probe/sealed 98 B p1 #3fa2 ─────────> b
std::string sequence_diagram(std::vector<Exchange> exchanges, std::span<const std::uint32_t> nodes,
                             std::span<const std::string> names, base::Time start, std::size_t most);

}  // namespace qanat::sim
