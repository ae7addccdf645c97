// Overlay: a whole overlay network on paper: nodes with keys and lines, tenants, segment lists with true tokens; gives
// each node the snapshot that a controller would. For simulations, and for end-to-end tests without a controller.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "dataplane/fib/snapshot.hh"
#include "dataplane/forwarder/forwarder.hh"

namespace qanat::test {

// A candidate path to be: tokens are minted with the relays' own keys when a snapshot is taken.
struct ListPlan {
  std::uint32_t id = 0;
  std::uint32_t headend = 0;
  ids::Tier tier = ids::Tier::Bulk;
  std::uint32_t preference = 0;
  std::uint8_t first_plane = 0;
  std::vector<ids::Sid> segments;
  std::uint32_t expiry_unix_s = 2'000'000'000;
};

class Overlay {
 public:
  struct Node {
    std::uint32_t id = 0;
    bool relay = false;
    std::vector<fib::Line> lines;
    crypto::KeyPair keys;
    crypto::SecretKey relay_key;
  };

  explicit Overlay(std::uint32_t seed);

  // Lines: on plane p its address is 10.p.0.id, port 7700.
  void add_node(std::uint32_t id, bool relay, const std::vector<std::uint8_t>& planes);
  // Each member's address is 100.96.id.1/32 and fd71::id/128.
  void add_tenant(std::uint32_t vni, const std::vector<std::uint32_t>& members);
  // Something more behind a member.
  void add_prefix(std::uint32_t vni, std::uint32_t member, const packet::IpPrefix& prefix);
  // Default deny, but for these rules; labels by member.
  void set_policy(std::uint32_t vni, const std::vector<std::string>& rules,
                  const std::map<std::uint32_t, std::vector<std::string>>& labels);
  void add_list(ListPlan plan);
  // For every tier at once; path ids count up from `id`.
  void add_lists(ListPlan plan);
  // Another underlay address for one line (an IPv6 one, say).
  void set_line_address(std::uint32_t node, std::uint8_t plane, const packet::UdpAddress& address);
  // Binds one line to another address than the one that the others are told (0.0.0.0: to all, so that it may roam).
  void set_bound_address(std::uint32_t node, std::uint8_t plane, const packet::UdpAddress& address) {
    bound_[{node, plane}] = address;
  }
  // A new static key, or network key: what snapshots and options say from now on.
  void rotate_keys(std::uint32_t node);
  void rotate_psk();
  // When every box replaces its session keys; as in the product unless set.
  void set_session_policy(const crypto::SessionPolicy& policy) { session_ = policy; }
  void set_adaptive(forwarder::Adaptive adaptive) { adaptive_ = adaptive; }
  // Rates, rules and shares of every box; their buckets are shared by all of them that are in this process.
  void set_qos(std::shared_ptr<const qos::Policy> policy) { qos_ = std::move(policy); }
  void set_probe_plan(const fib::ProbePlan& plan) { plan_ = plan; }
  // Changes what one node is told, before it is frozen (a node that lies, or is misconfigured).
  using Edit = std::function<void(class SnapshotParts&)>;

  fib::SnapshotPtr snapshot(std::uint32_t node, std::uint64_t version = 1, const Edit& edit = {}) const;
  forwarder::ForwarderOptions options(std::uint32_t node) const;
  const Node& node(std::uint32_t id) const { return nodes_.at(id); }
  const crypto::SecretKey& psk() const { return psk_; }

  static packet::UdpAddress line_address(std::uint32_t node, std::uint8_t plane);
  static packet::IpAddress tenant_address(std::uint32_t node);
  static packet::IpAddress tenant_address6(std::uint32_t node);

 private:
  crypto::SecretKey secret(std::uint64_t salt) const;
  fib::CandidatePath candidate(const ListPlan& plan) const;

  std::uint32_t seed_;
  std::map<std::uint32_t, Node> nodes_;
  std::map<std::pair<std::uint32_t, std::uint8_t>, packet::UdpAddress> bound_;  // node, plane
  std::map<std::uint32_t, std::vector<std::uint32_t>> tenants_;
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::vector<packet::IpPrefix>> prefixes_;  // VNI, member
  struct Policy {
    std::vector<fib::AclRule> rules;
    std::map<std::uint32_t, std::vector<std::string>> labels;
  };
  std::map<std::uint32_t, Policy> tenant_policies_;
  std::vector<ListPlan> lists_;
  fib::ProbePlan plan_;
  crypto::SecretKey psk_;
  std::uint64_t rotations_ = 0;
  crypto::SessionPolicy session_{};
  forwarder::Adaptive adaptive_ = forwarder::Adaptive::Auto;
  std::shared_ptr<const qos::Policy> qos_ = std::make_shared<qos::Policy>();
};

// The tables of one snapshot while they may still be edited.
class SnapshotParts {
 public:
  std::vector<fib::Peer> peers;
  std::vector<fib::SrPolicy> policies;
  struct Tenant {
    ids::Vni vni;
    std::vector<fib::TenantMember> members;
    std::optional<std::vector<fib::AclRule>> rules = {};
  };
  std::vector<Tenant> tenants;
  std::vector<fib::RelayKey> relay_keys;
  std::vector<ids::NodeId> denied;
};

}  // namespace qanat::test
