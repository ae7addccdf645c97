// Snapshot: everything that forwarding decides by, as one immutable value: peers, SR policies, tenants, relay
// keys. The agent builds one per configuration version (snapshot_builder.hh); workers swap a shared pointer
// to it. Lookups are noexcept and allocate nothing.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "dataplane/crypto/keys.hh"
#include "dataplane/fib/acl.hh"
#include "dataplane/fib/lpm.hh"
#include "dataplane/packet/ip_address.hh"
#include "dataplane/packet/wire.hh"
#include "identifiers/ids/node_id.hh"
#include "identifiers/ids/sid.hh"
#include "identifiers/ids/tier.hh"
#include "identifiers/ids/vni.hh"

namespace qanat::fib {

// An operator line of a box: where it is reached on a plane.
struct Line {
  ids::PlaneId plane;
  packet::UdpAddress address;
  std::string name;
  bool operator==(const Line&) const = default;
};

struct Peer {
  ids::NodeId id;
  ids::DomainId domain;
  std::string name;
  crypto::PublicKey x25519;
  std::vector<Line> lines;
  bool relay = false;

  // The line on a plane; null when it has none there.
  const Line* line(ids::PlaneId plane) const noexcept;
};

// One segment list. A single segment (the endpoint) is the direct path: no route header, no tokens.
struct CandidatePath {
  ids::PathId id;
  ids::PlaneId first_plane;  // the line that the headend sends on; 0: whichever is best
  std::uint8_t count = 0;    // segments, 1 … 8
  std::array<ids::Sid, packet::kMaxSegments> segments{};
  std::array<std::uint64_t, packet::kMaxSegments - 1> tokens{};  // count − 1
  std::uint32_t expiry_unix_s = 0;
  std::uint8_t token_epoch = 0;
  std::uint32_t preference = 0;  // 0 is used first
  std::uint32_t weight = 1;      // see SrPolicy::weighted
  std::uint32_t cost_us = 0;

  std::span<const ids::Sid> list() const noexcept { return {segments.data(), count}; }
  bool direct() const noexcept { return count == 1; }
  ids::NodeId first_hop() const noexcept { return segments[0].node(); }
  ids::NodeId endpoint() const noexcept { return segments[count - 1].node(); }
  bool operator==(const CandidatePath&) const = default;
};

inline constexpr std::uint16_t kEveryPlane = 0xffff;

struct SrPolicy {
  ids::NodeId endpoint;
  ids::Tier tier = ids::Tier::Bulk;
  std::vector<CandidatePath> paths;    // ascending preference, then id
  std::uint16_t planes = kEveryPlane;  // bit p: may be used, by the lists or by adjacencies beside them

  // Flows are spread over the paths by their weights; else the one that is used first and lives carries all.
  bool weighted() const noexcept {
    return std::any_of(paths.begin(), paths.end(), [](const CandidatePath& p) { return p.weight > 1; });
  }
};

struct TenantMember {
  ids::NodeId node;
  std::vector<packet::InterfaceAddress> addresses;  // of the node's TUN in this tenant
  std::vector<packet::IpPrefix> prefixes;           // reachable behind it, its addresses included
  std::vector<std::string> labels = {};             // what the tenant's policy calls it
};

class Tenant {
 public:
  ids::Vni vni;
  std::string name;
  std::vector<TenantMember> members;  // ascending node

  const TenantMember* member(ids::NodeId node) const noexcept;
  // The member that an inner address belongs to: the destination's endpoint, the source's rightful sender.
  std::optional<ids::NodeId> owner(const packet::IpAddress& address) const noexcept;

  // Null: members reach each other freely. Otherwise only what it allows.
  const Acl* acl() const noexcept { return acl_ ? &*acl_ : nullptr; }

 private:
  friend class SnapshotBuilder;
  Lpm<ids::NodeId> owners_;
  std::optional<Acl> acl_;
};

// K(relay, epoch) of this node as a relay.
struct RelayKey {
  std::uint8_t epoch = 0;
  crypto::SecretKey key;
  std::uint64_t not_after_unix_s = 0;
};

struct ProbePlan {
  std::chrono::milliseconds active_interval{10};
  std::chrono::milliseconds mesh_interval{200};
  std::chrono::milliseconds report_interval{500};
  bool operator==(const ProbePlan&) const = default;
};

class Snapshot {
 public:
  ids::NodeId self() const noexcept { return self_; }
  const Peer& self_peer() const noexcept { return *self_peer_; }
  std::uint64_t epoch() const noexcept { return epoch_; }
  std::uint64_t version() const noexcept { return version_; }
  bool relay() const noexcept { return self_peer_->relay; }
  const crypto::SecretKey& network_psk() const noexcept { return psk_; }
  // The one to come while it is rotated, else the same.
  const crypto::SecretKey& next_network_psk() const noexcept { return next_psk_ ? *next_psk_ : psk_; }
  const ProbePlan& probe_plan() const noexcept { return probe_plan_; }

  std::span<const Peer> peers() const noexcept { return peers_; }  // ascending id, ourselves included
  std::span<const SrPolicy> policies() const noexcept { return policies_; }  // ascending (endpoint, tier)
  std::span<const Tenant> tenants() const noexcept { return tenants_; }      // ascending vni
  std::span<const RelayKey> relay_keys() const noexcept { return relay_keys_; }
  std::span<const ids::NodeId> denied_headends() const noexcept { return denied_; }

  const Peer* peer(ids::NodeId id) const noexcept;
  const Peer* peer_by_key(const crypto::PublicKey& key) const noexcept;
  const Peer* peer_by_name(std::string_view name) const noexcept;
  const SrPolicy* policy(ids::NodeId endpoint, ids::Tier tier) const noexcept;
  const CandidatePath* path(ids::PathId id) const noexcept;
  const Tenant* tenant(ids::Vni vni) const noexcept;
  // The key of a token epoch that is still valid at `now_unix_s`.
  const RelayKey* relay_key(std::uint8_t epoch, std::uint64_t now_unix_s) const noexcept;
  bool denied(ids::NodeId headend) const noexcept;

 private:
  friend class SnapshotBuilder;
  Snapshot() = default;
  ids::NodeId self_;
  const Peer* self_peer_ = nullptr;
  std::uint64_t epoch_ = 0;
  std::uint64_t version_ = 0;
  crypto::SecretKey psk_;
  std::optional<crypto::SecretKey> next_psk_;
  ProbePlan probe_plan_;
  std::vector<Peer> peers_;
  std::vector<std::pair<crypto::PublicKey, std::uint32_t>> by_key_;  // ascending key → index in peers_
  std::vector<SrPolicy> policies_;
  struct PathRef {
    ids::PathId id;
    std::uint32_t policy;
    std::uint32_t path;
  };
  std::vector<PathRef> by_path_;  // ascending id
  std::vector<Tenant> tenants_;
  std::vector<RelayKey> relay_keys_;
  std::vector<ids::NodeId> denied_;
};

using SnapshotPtr = std::shared_ptr<const Snapshot>;

}  // namespace qanat::fib
