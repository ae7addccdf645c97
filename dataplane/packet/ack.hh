// Ack: which datagrams of one sequence space arrived (wire.md §10). Loss, delivered rate, congestion control, pacing and
// retransmission of a managed path all rest on it.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <span>
#include <string>

#include "dataplane/packet/wire.hh"

namespace qanat::packet {

// Downward from what came before: `gap` counters that did not arrive, then `run` that did.
struct AckRun {
  static constexpr std::size_t kBytes = 4;
  std::uint16_t gap = 0;  // 0 in the first run only: it ends at the largest counter
  std::uint16_t run = 0;  // never 0
  auto operator<=>(const AckRun&) const = default;
};

//    | receiver index (32) | space (32) | largest counter (64) | its age, µs (32) |
//    | datagrams received (32) | CE count (32) | runs k (8) | zero (24) |
//    then k runs: | gap (16) | run (16) |
struct Ack {
  static constexpr std::size_t kFixedBytes = 32;
  static constexpr std::size_t kMaxRuns = 32;
  static constexpr std::size_t kMaxBytes = kFixedBytes + kMaxRuns * AckRun::kBytes;

  std::uint32_t receiver = 0;  // as the acknowledged datagrams carried it: names their keys
  std::uint32_t space = 0;
  std::uint64_t largest = 0;   // the greatest counter that arrived
  std::uint32_t age_us = 0;    // since it arrived
  std::uint32_t received = 0;  // datagrams of this space since its first, modulo 2^32
  std::uint32_t ce = 0;        // of those, with Congestion Experienced
  std::uint8_t run_count = 0;
  std::array<AckRun, kMaxRuns> runs{};

  std::size_t bytes() const noexcept { return kFixedBytes + run_count * AckRun::kBytes; }
  std::span<const AckRun> entries() const noexcept { return {runs.data(), run_count}; }
  // False when full.
  bool add(AckRun run) noexcept;

  // `body` follows the inner header; bytes after the last run are ignored. InnerMalformed: short, no run, too many, an
  // empty one, a gap where none can be, or counters below zero.
  static OrDrop<Ack> parse(Bytes body) noexcept;
  void serialize(MutableBytes out) const noexcept;  // bytes()
  bool operator==(const Ack& other) const noexcept;
};
std::string to_string(const Ack& ack);

}  // namespace qanat::packet
