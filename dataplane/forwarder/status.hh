// Status: what a forwarder tells the control thread about peers, adjacencies and paths; a copy, free to cross threads.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/time.hh"
#include "dataplane/packet/ip_address.hh"
#include "dataplane/path/liveness.hh"
#include "dataplane/path/witness.hh"
#include "identifiers/ids/node_id.hh"
#include "identifiers/ids/sid.hh"
#include "identifiers/ids/tier.hh"
#include "identifiers/ids/vni.hh"

namespace qanat::forwarder {

struct AdjacencyStatus {
  ids::PlaneId local_plane;
  ids::PlaneId remote_plane;
  packet::UdpAddress address;
  path::State state{};
  base::Duration rtt{};
  base::Duration jitter{};
  std::uint32_t loss_ppm = 0;
  std::int64_t one_way_raw_us = 0;
  std::uint16_t mtu = 0;  // bytes of a datagram
  // Of the interval since the last taking status; 0 samples: no probe came back.
  base::Duration rtt_min{};
  base::Duration rtt_mean{};
  std::uint32_t samples = 0;
  std::uint32_t probes = 0;
  std::uint32_t lost = 0;
  path::Witness::Interval heard;  // of the peer's probes on this adjacency
};

struct PeerStatus {
  ids::NodeId node;
  bool session = false;
  std::vector<AdjacencyStatus> adjacencies;
};

// A managed path, by the lead's own pipe on it.
struct PipeStatus {
  double rate_bps = 0;  // that it is known to carry
  bool measured = false;
  base::Duration srtt{};
  base::Duration queue{};  // that stands on the way
  std::uint32_t loss_ppm = 0;
  std::uint64_t window_bytes = 0;
  std::uint64_t in_flight_bytes = 0;
  std::uint64_t resent = 0;  // datagrams of the peer's, on any path
};

struct PathStatus {
  ids::NodeId endpoint;
  ids::Tier tier{};
  ids::PathId id;
  ids::PlaneId first_plane;
  std::vector<ids::Sid> segments;
  bool active = false;
  path::State state{};
  base::Duration rtt{};
  base::Duration jitter{};
  std::uint32_t loss_ppm = 0;
  std::uint16_t mtu = 0;  // bytes of a datagram
  std::uint32_t preference = 0;
  std::optional<std::uint32_t> weight;  // of 1,000 flows, where the controller spreads them
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;
  bool limited = false;            // something had to wait for its peer's paths within the last second
  double capacity_bps = 0;         // of it, all workers' together, while something waits; 0: nothing does
  std::optional<PipeStatus> pipe;  // while it is managed
};

struct Status {
  std::vector<PeerStatus> peers;  // ascending node
  std::vector<PathStatus> paths;  // by (endpoint, tier), the active one first, then by preference
  std::size_t sessions = 0;
};

struct Event {
  // CopiesStopped: `critical` to this peer has no second route that is disjoint and usable.
  enum class Kind : std::uint8_t {
    PeerUp,
    PeerDown,
    PathUp,
    PathDown,
    PathSwitched,
    CopiesStopped,
    CopiesResumed
  } kind{};
  ids::NodeId peer;
  ids::Tier tier{};  // PathSwitched
  ids::PathId path;
  ids::PathId before;
  base::Time at;
};
// "path_switched".
const char* to_string(Event::Kind kind);

}  // namespace qanat::forwarder
