// Message: what the forwarders of one box tell each other. Each worker has a forwarder of its own and shares nothing that
// is written per packet; keys and path choices travel from the lead to its followers, in order.
//
//   lead (worker 0)                                   followers (1 … count − 1)
//     handshakes, probes, session timers                seal and open the datagrams of their buckets
//     ── SnapshotSet, KeysInstalled, KeysConfirmed, PathsChosen, PeerMoved ──>
//     ── PolicySet ──>
//     <── Wanted, RekeyAsked, TrafficSeen ──
//     <── Stray: whatever arrived at the wrong worker ──>
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <variant>
#include <vector>

#include "base/time.hh"
#include "dataplane/crypto/handshake.hh"
#include "dataplane/fib/snapshot.hh"
#include "dataplane/forwarder/datagrams.hh"
#include "dataplane/path/mtu_search.hh"
#include "identifiers/ids/node_id.hh"
#include "identifiers/ids/tier.hh"
#include "identifiers/ids/vni.hh"

namespace qanat::qos {
class Policy;
}

namespace qanat::forwarder {

// Buckets share sequence spaces and trains in groups, so that a train meets one worker at the far end whatever number of
// workers (a divisor of 16) runs there. The control bucket has a group to itself: the lead seals in it, whoever's the
// others are, and a nonce used by two would break the cipher.
inline constexpr unsigned kBucketGroups = 16;
constexpr std::uint8_t group_of(std::uint8_t bucket) {
  return bucket == packet::kControlBucket ? kBucketGroups : bucket % kBucketGroups;
}

// Which of a box's workers one forwarder is. count divides kBucketGroups, so that no two workers ever seal in one
// sequence space: nonces are disjoint by construction.
struct WorkerShare {
  unsigned index = 0;
  unsigned count = 1;

  bool lead() const { return index == 0; }
  // Probes, keepalives and relayed handshakes (kControlBucket) are the lead's.
  unsigned owner(std::uint8_t bucket) const { return bucket == packet::kControlBucket ? 0 : bucket % count; }
  bool owns(std::uint8_t bucket) const { return owner(bucket) == index; }
};
constexpr bool valid_worker_count(unsigned count) {
  return count != 0 && count <= kBucketGroups && kBucketGroups % count == 0;
}

// What the lead's prober says of one probed path.
struct PathShare {
  bool usable = false;
  bool mtu_known = false;                    // measured, not assumed
  std::uint16_t mtu = path::kLeastDatagram;  // bytes of a datagram
  bool breathes = false;                     // not dead: good enough for a second copy
  bool operator==(const PathShare&) const = default;
};

// Indexes are those of the route table that every worker builds from the same snapshot.
struct PathChoice {
  std::vector<std::uint32_t> chosen;  // policy → probed path, path::kNoPath
  std::vector<PathShare> paths;       // probed path →
  std::vector<ids::NodeId> managed;   // ascending
  bool operator==(const PathChoice&) const = default;
};

// Where a peer's line was proven to be reached from one of ours, when that is not where its configuration says: behind
// a NAT, or moved.
struct LearnedAddress {
  std::uint8_t line = 0;  // ours
  ids::PlaneId plane;     // of its line
  packet::UdpAddress configured;
  packet::UdpAddress address;
};

struct SnapshotSet {
  fib::SnapshotPtr snapshot;
};
struct KeysInstalled {
  ids::NodeId peer;
  crypto::SessionSecrets secrets;
  base::Time created;
};
struct KeysConfirmed {
  ids::NodeId peer;
  std::uint32_t local_index = 0;
};
struct PathsChosen {
  std::shared_ptr<const PathChoice> choice;
};
struct PeerMoved {
  ids::NodeId peer;
  std::vector<LearnedAddress> learned;
};
struct Wanted {
  ids::NodeId peer;
};
struct RekeyAsked {
  ids::NodeId peer;
};
struct TrafficSeen {
  ids::NodeId peer;
  std::uint64_t bytes = 0;  // sent since it was last told
};
struct PolicySet {
  std::shared_ptr<const qos::Policy> policy;
};

// Datagrams and frames that arrived at a worker that does not own their bucket, copied: the owner takes them as its own.
struct Stray {
  struct Datagram {
    std::size_t offset = 0;
    std::size_t size = 0;
    packet::UdpAddress remote;
    std::uint8_t line = 0;
    std::uint8_t traffic_class = 0;
  };
  struct Frame {
    std::size_t offset = 0;
    std::size_t size = 0;
    ids::Vni vni;
    std::optional<ids::Tier> tier;
  };
  std::vector<std::uint8_t> bytes;
  std::vector<Datagram> datagrams;
  std::vector<Frame> frames;
};

struct Message {
  static constexpr unsigned kFollowers = ~0u;
  unsigned to = 0;  // a worker, or kFollowers
  std::variant<SnapshotSet, KeysInstalled, KeysConfirmed, PathsChosen, PeerMoved, Wanted, RekeyAsked,
               TrafficSeen, PolicySet, Stray>
      payload;
};

}  // namespace qanat::forwarder
