// SnapshotBuilder: collects a configuration in any order, checks all of it, and freezes it into a Snapshot.
// Nothing is used in part: either every table is sound, or every problem is named.
#pragma once

#include <string>
#include <vector>

#include "dataplane/fib/snapshot.hh"

namespace qanat::fib {

enum class BuildErrc {
  SelfUnknown,       // no peer has our node id
  InvalidNode,       // node id 0 or above 2^24−1
  DuplicateNode,     // node id, name or static key twice
  InvalidLine,       // plane 0 or above 15, no address, port 0, a plane twice on one node
  UnknownNode,       // a list or tenant names a node that no peer is
  InvalidList,       // 0 or more than 8 segments, invalid SID, token count not segments − 1
  ListLoop,          // a node twice, or ourselves, in a list
  NotARelay,         // a transit segment's node is no relay
  EndpointMismatch,  // the list's last segment is not the policy's endpoint
  DuplicatePolicy,   // (endpoint, tier) twice
  DuplicatePath,     // path id twice, or one reserved for direct adjacencies
  InvalidVni,        // 0 or above 2^24−1
  DuplicateVni,
  DuplicateMember,    // a node twice in one VNI
  PrefixOverlap,      // two members of a VNI claim overlapping prefixes
  DuplicateRelayKey,  // an epoch twice
  TooManyLabels,      // more than 64 in a tenant
};
std::string_view to_string(BuildErrc code) noexcept;

struct BuildProblem {
  BuildErrc code;
  std::string what;  // names the object: "policy n3/bulk path 17: …"
};
std::string to_string(const BuildProblem& problem);

class SnapshotBuilder {
 public:
  SnapshotBuilder(ids::NodeId self, std::uint64_t epoch, std::uint64_t version);

  void add_peer(Peer peer);
  void add_policy(SrPolicy policy);
  // A member's addresses become host prefixes of it if no prefix of its own covers them.
  // Rules, even none, make it default deny.
  void add_tenant(ids::Vni vni, std::string name, std::vector<TenantMember> members,
                  std::optional<std::vector<AclRule>> rules = std::nullopt);
  void add_relay_key(RelayKey key);
  void deny_headend(ids::NodeId headend);
  void set_probe_plan(const ProbePlan& plan);
  void set_network_psk(const crypto::SecretKey& psk);
  // While it is rotated: the one to come.
  void set_next_network_psk(const crypto::SecretKey& psk);

  // The snapshot, or null with every problem found in `problems`. The builder is spent.
  SnapshotPtr build(std::vector<BuildProblem>& problems) &&;

 private:
  void check_peers(std::vector<BuildProblem>& problems);
  void check_policies(std::vector<BuildProblem>& problems);
  void check_tenants(std::vector<BuildProblem>& problems);
  void check_keys(std::vector<BuildProblem>& problems);

  std::shared_ptr<Snapshot> snapshot_;
  std::vector<ids::Vni> over_labelled_;
};

}  // namespace qanat::fib
