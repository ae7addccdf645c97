// Counter: what a forwarder did, beside what it dropped (packet/drop_reason.hh). One worker writes, anyone reads.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

namespace qanat::forwarder {

enum class Counter : std::uint8_t {
  InnerPacketsSent,  // tenants' packets sealed, after segmentation
  InnerBytesSent,
  InnerPacketsReceived,  // opened and accepted for a tenant
  InnerBytesReceived,
  SuperPacketsRead,     // from TUNs, before segmentation
  SuperPacketsWritten,  // to TUNs, after coalescing
  TransitPackets,       // relayed for others
  TransitBytes,
  ProbesSent,
  ProbeBytesSent,  // their datagrams, padding included
  ProbesReceived,
  HandshakesSent,  // initiations
  HandshakesAnswered,
  SessionsEstablished,
  CookiesSent,
  PathSwitches,
  PacketsQueued,    // held while a handshake ran
  HandedOver,       // datagrams and frames that had reached a worker that does not own their bucket
  MtuChanges,       // a path was found to carry more, or less
  PacketsInPieces,  // sealed as two fragments
  TooBigAnswered,   // tenants' packets answered with ICMP "too big"
  EndpointsMoved,   // a peer proved that it lives at a new address
  CopiesSent,       // `critical` packets sealed a second time, for a disjoint route
  PacketsResent,    // lost on a managed path, and sent again
  RepairsSent,      // from which the far end can compute what it lost
  PacketsRebuilt,   // computed from repairs, instead of being sent again
  AcksSent,
  AcksReceived,
};
inline constexpr std::size_t kCounterCount = static_cast<std::size_t>(Counter::AcksReceived) + 1;

// "inner_packets_sent".
std::string_view to_string(Counter counter) noexcept;

class Counters {
 public:
  void add(Counter counter, std::uint64_t n = 1) noexcept {
    auto& c = values_[static_cast<std::size_t>(counter)];
    c.store(c.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  std::uint64_t operator[](Counter counter) const noexcept {
    return values_[static_cast<std::size_t>(counter)].load(std::memory_order_relaxed);
  }

 private:
  std::array<std::atomic<std::uint64_t>, kCounterCount> values_{};
};

}  // namespace qanat::forwarder
