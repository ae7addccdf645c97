// Datagrams: a train of UDP datagrams between one pair of addresses, end to end in memory: what UDP GSO sends in one
// system call and UDP GRO receives in one. The unit in which the forwarder takes and gives underlay traffic.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dataplane/packet/ip_address.hh"
#include "dataplane/packet/wire.hh"

namespace qanat::forwarder {

// Limits of one train: UDP_MAX_SEGMENTS of Linux before 6.9, and what fits an IP datagram with room for its headers.
inline constexpr std::size_t kMaxTrainSegments = 64;
inline constexpr std::size_t kMaxTrainBytes = 65'000;

// Views only: the bytes belong to whoever made the train, until that side is called again.
struct Datagrams {
  packet::MutableBytes bytes;
  std::size_t segment_bytes = 0;   // every datagram but the last has this size; the last has what is left
  packet::UdpAddress remote;       // from on receipt, to on sending
  std::uint8_t line = 0;           // which of our lines (index in the configuration)
  std::uint8_t traffic_class = 0;  // outer DSCP ‖ ECN

  std::size_t count() const {
    return segment_bytes == 0 ? 0 : (bytes.size() + segment_bytes - 1) / segment_bytes;
  }
};

}  // namespace qanat::forwarder
