// Probe: what measures a path and carries the news of the opposite direction (wire.md §7).
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <span>
#include <string>

#include "dataplane/packet/wire.hh"
#include "identifiers/ids/sid.hh"
#include "identifiers/ids/vni.hh"

namespace qanat::packet {

//    | path id (32) | last sequence heard (32) | its transmit time (64) | time since heard, µs (32) |
//    | received count (32) | one-way raw of that probe, µs (s64)      |
//    | last padded sequence heard (32) |
// About one path of the opposite direction: the receiver's path, as the receiver numbers it.
struct ProbeReport {
  static constexpr std::size_t kBytes = 36;
  ids::PathId path;
  std::uint32_t last_sequence = 0;
  std::uint64_t last_transmit_us = 0;  // echoed: the receiver's own clock
  std::uint32_t since_heard_us = 0;
  std::uint32_t received = 0;
  std::int64_t one_way_raw_us = 0;    // arrival by our clock − transmit by theirs: holds the clocks' offset
  std::uint32_t padded_sequence = 0;  // the newest probe that came with padding, in full
  auto operator<=>(const ProbeReport&) const = default;
};

//    | probe kind (8): 1 probe | entries k (8) | datagram bytes if padded, else 0 (16) |
//    | path id (32) | sequence (32) | transmit time, µs, sender's monotonic clock (64) |
//    then k reports
struct Probe {
  static constexpr std::uint8_t kKind = 1;
  static constexpr std::size_t kFixedBytes = 20;
  static constexpr std::size_t kMaxReports = 24;  // fits the least datagram, whatever the list

  ids::PathId path;
  std::uint32_t sequence = 0;
  std::uint64_t transmit_us = 0;
  std::uint16_t padded_bytes = 0;  // of the whole datagram; 0: not padded
  std::uint8_t report_count = 0;
  std::array<ProbeReport, kMaxReports> reports{};

  std::size_t bytes() const noexcept { return kFixedBytes + report_count * ProbeReport::kBytes; }
  std::span<const ProbeReport> entries() const noexcept { return {reports.data(), report_count}; }
  // False when full.
  bool add(const ProbeReport& report) noexcept;

  // `body` follows the inner header; bytes after the last report are padding (full-size probes), and ignored.
  // InnerMalformed: short, unknown probe kind, too many reports.
  static OrDrop<Probe> parse(Bytes body) noexcept;
  void serialize(MutableBytes out) const noexcept;
  bool operator==(const Probe& other) const noexcept;
};
std::string to_string(const ProbeReport& r);
std::string to_string(const Probe& p);

// The path id of the direct adjacency from our plane p to their plane q: 0xff0000pq.
constexpr ids::PathId direct_path_id(ids::PlaneId from, ids::PlaneId to) noexcept {
  return ids::PathId{0xff000000u | std::uint32_t{from.value} << 4 | to.value};
}
constexpr bool is_direct_path_id(ids::PathId id) noexcept { return (id.value & 0xffffff00u) == 0xff000000u; }

}  // namespace qanat::packet
