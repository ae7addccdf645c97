// ConfigCompiler: what a domain knows → one node's NodeConfig, canonical and without (epoch, version). Pure.
// Lists go out relay-first: one is left out until all its relays have acknowledged what they need to carry it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/time.hh"
#include "controller/domain/probe_budget.hh"
#include "controller/domain/spread.hh"
#include "controller/domain/tier_lists.hh"
#include "controller/paths/segment_route.hh"
#include "controller/policy/list_token.hh"
#include "identifiers/proto/southbound.pb.h"

namespace qanat::domain {

using RelayKeys = std::map<std::pair<std::uint32_t, std::uint64_t>, policy::RelaySecret>;  // (relay, week)

// Up to this many nodes everybody knows everybody; beyond, a node is told of whom it may have to do with.
inline constexpr std::size_t kEveryPairUpTo = 32;
// Of a larger domain, this many are measured whom no traffic asks for (DESIGN §7: dense where traffic could flow, sampled
// elsewhere).
inline constexpr std::size_t kMeshSample = 8;
// However large the mesh, each neighbour is asked this often: rows of the matrix live 10 s.
inline constexpr base::Duration kSlowestMesh = std::chrono::seconds(5);

struct World {
  std::map<std::uint32_t, const proto::v1::NodeRecord*> nodes;  // own and remote, current ones only
  std::map<std::string, std::uint32_t> own_names;               // of own nodes
  const Selections* selections = nullptr;
  const TierWays* tier_ways = nullptr;        // null: none
  const LimitedWays* limited = nullptr;       // null: none
  const Spreads* spreads = nullptr;           // null: none
  const ProbeBudget* probe_budget = nullptr;  // null: the plan's intervals
  const RelayKeys* relay_keys = nullptr;
  // Relays that every domain's boxes measure. Null or empty: all; else others mean nothing outside their domain.
  const std::set<std::uint32_t>* measured_relays = nullptr;
  std::vector<const proto::v1::Tenant*> tenants;  // members by name (own) or by id (from the global level)
  std::vector<std::uint32_t> denied;              // ascending
  // Cross-domain policies of our headends, from the global level; path ids are given here.
  std::map<std::uint32_t, const proto::v1::DomainDirective::HeadendPolicies*> directives;
  proto::v1::ProbePlan probe_plan;
  std::uint32_t mesh_probes_per_s = 100;
  std::string network_psk;
  std::string network_psk_next;  // empty unless it is being rotated
  // What a node is known to hold (empty configuration: nothing).
  std::function<const proto::v1::NodeConfig&(std::uint32_t node)> held;
};

struct Compiled {
  proto::v1::NodeConfig config;
  bool waiting =
      false;  // a list was left out because a relay is not ready for it: compile again after its next ack
};

// Of one moment, for as many nodes as are asked for: what is the same for several is found out once. On one thread.
class ConfigCompiler {
 public:
  // The world outlives it.
  ConfigCompiler(const World& world, base::UnixSeconds now);
  Compiled compile(std::uint32_t node) const;

 private:
  class One;
  const proto::v1::Tenant& resolved(const proto::v1::Tenant& tenant) const;
  const World& world_;
  base::UnixSeconds now_;
  std::vector<std::uint32_t> ring_;                                            // own nodes, ascending
  std::map<std::uint32_t, std::vector<const proto::v1::Tenant*>> tenants_of_;  // as the world has them
  // Members by number, ascending, those that exist: of the tenants that a node asked for belongs to.
  mutable std::map<const proto::v1::Tenant*, proto::v1::Tenant> resolved_;
};
Compiled compile(const World& world, std::uint32_t node, base::UnixSeconds now);

// Who a tenant's members are, by number; those not enrolled yet are left out.
std::vector<std::uint32_t> member_ids(const proto::v1::Tenant& tenant,
                                      const std::map<std::string, std::uint32_t>& own_names);

// May `relay` carry from `previous` to `next` under `token_epoch`, by what it holds?
bool relay_ready(const proto::v1::NodeConfig& relay_holds, std::uint32_t previous, std::uint32_t next,
                 std::uint8_t token_epoch);

// What a node's held configuration stands for: for a start from what was pushed before. Tiers with ways of their own are
// those that begin with another list than most do, of limited ones those that begin with a dearer one than they have.
void adopt(const proto::v1::NodeConfig& config, Selections& selections);
void adopt(const proto::v1::NodeConfig& config, TierWays& ways);

}  // namespace qanat::domain
