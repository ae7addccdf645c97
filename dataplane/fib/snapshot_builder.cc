#include "dataplane/fib/snapshot_builder.hh"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "dataplane/packet/probe.hh"
#include "dataplane/packet/route_header.hh"

namespace qanat::fib {

std::string_view to_string(BuildErrc code) noexcept {
  switch (code) {
    case BuildErrc::SelfUnknown: return "self_unknown";
    case BuildErrc::InvalidNode: return "invalid_node";
    case BuildErrc::DuplicateNode: return "duplicate_node";
    case BuildErrc::InvalidLine: return "invalid_line";
    case BuildErrc::UnknownNode: return "unknown_node";
    case BuildErrc::InvalidList: return "invalid_list";
    case BuildErrc::ListLoop: return "list_loop";
    case BuildErrc::NotARelay: return "not_a_relay";
    case BuildErrc::EndpointMismatch: return "endpoint_mismatch";
    case BuildErrc::DuplicatePolicy: return "duplicate_policy";
    case BuildErrc::DuplicatePath: return "duplicate_path";
    case BuildErrc::InvalidVni: return "invalid_vni";
    case BuildErrc::DuplicateVni: return "duplicate_vni";
    case BuildErrc::DuplicateMember: return "duplicate_member";
    case BuildErrc::PrefixOverlap: return "prefix_overlap";
    case BuildErrc::DuplicateRelayKey: return "duplicate_relay_key";
    case BuildErrc::TooManyLabels: return "too_many_labels";
  }
  return "unnamed";
}

std::string to_string(const BuildProblem& problem) {
  return fmt::format("{}: {}", to_string(problem.code), problem.what);
}

SnapshotBuilder::SnapshotBuilder(ids::NodeId self, std::uint64_t epoch, std::uint64_t version)
    : snapshot_(new Snapshot) {
  snapshot_->self_ = self;
  snapshot_->epoch_ = epoch;
  snapshot_->version_ = version;
}

void SnapshotBuilder::add_peer(Peer peer) { snapshot_->peers_.push_back(std::move(peer)); }
void SnapshotBuilder::add_policy(SrPolicy policy) { snapshot_->policies_.push_back(std::move(policy)); }
void SnapshotBuilder::add_relay_key(RelayKey key) { snapshot_->relay_keys_.push_back(std::move(key)); }
void SnapshotBuilder::deny_headend(ids::NodeId headend) { snapshot_->denied_.push_back(headend); }
void SnapshotBuilder::set_probe_plan(const ProbePlan& plan) { snapshot_->probe_plan_ = plan; }
void SnapshotBuilder::set_network_psk(const crypto::SecretKey& psk) { snapshot_->psk_ = psk; }
void SnapshotBuilder::set_next_network_psk(const crypto::SecretKey& psk) { snapshot_->next_psk_ = psk; }

void SnapshotBuilder::add_tenant(ids::Vni vni, std::string name, std::vector<TenantMember> members,
                                 std::optional<std::vector<AclRule>> rules) {
  Tenant tenant;
  tenant.vni = vni;
  tenant.name = std::move(name);
  tenant.members = std::move(members);
  for (auto& member : tenant.members)
    for (const auto& address : member.addresses) {
      const bool covered =
          std::any_of(member.prefixes.begin(), member.prefixes.end(),
                      [&](const packet::IpPrefix& p) { return p.contains(address.address); });
      if (!covered) member.prefixes.push_back(packet::IpPrefix::host(address.address));
    }
  if (rules) {
    std::map<ids::NodeId, std::vector<std::string>> labels;
    std::set<std::string> different;
    for (const auto& member : tenant.members) {
      labels[member.node] = member.labels;
      different.insert(member.labels.begin(), member.labels.end());
    }
    if (different.size() > Acl::kMaxLabels) over_labelled_.push_back(vni);
    tenant.acl_.emplace(*rules, labels);
  }
  snapshot_->tenants_.push_back(std::move(tenant));
}

void SnapshotBuilder::check_peers(std::vector<BuildProblem>& problems) {
  auto& peers = snapshot_->peers_;
  std::stable_sort(peers.begin(), peers.end(), [](const Peer& a, const Peer& b) { return a.id < b.id; });
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < peers.size(); ++i) {
    const Peer& p = peers[i];
    if (!p.id.valid())
      problems.push_back({BuildErrc::InvalidNode, fmt::format("node {} \"{}\"", p.id.value, p.name)});
    if (i > 0 && peers[i - 1].id == p.id)
      problems.push_back({BuildErrc::DuplicateNode, fmt::format("node id n{} twice", p.id.value)});
    if (!p.name.empty() && !names.insert(p.name).second)
      problems.push_back({BuildErrc::DuplicateNode, fmt::format("name \"{}\" twice", p.name)});
    snapshot_->by_key_.emplace_back(p.x25519, static_cast<std::uint32_t>(i));
    std::set<ids::PlaneId> planes;
    for (const auto& line : p.lines) {
      const bool sane = line.plane.value != 0 && line.plane.value <= ids::PlaneId::kMax &&
                        line.address.port != 0 && !line.address.address.unspecified() &&
                        planes.insert(line.plane).second;
      if (!sane)
        problems.push_back({BuildErrc::InvalidLine, fmt::format("node n{} plane {} {}", p.id.value,
                                                                line.plane.value, to_string(line.address))});
    }
  }
  auto& by_key = snapshot_->by_key_;
  std::sort(by_key.begin(), by_key.end());
  for (std::size_t i = 1; i < by_key.size(); ++i)
    if (by_key[i].first == by_key[i - 1].first)
      problems.push_back({BuildErrc::DuplicateNode, fmt::format("nodes n{} and n{} have the same static key",
                                                                peers[by_key[i - 1].second].id.value,
                                                                peers[by_key[i].second].id.value)});
  snapshot_->self_peer_ = snapshot_->peer(snapshot_->self_);
  if (snapshot_->self_peer_ == nullptr)
    problems.push_back(
        {BuildErrc::SelfUnknown, fmt::format("node n{} is not among the peers", snapshot_->self_.value)});
}

void SnapshotBuilder::check_policies(std::vector<BuildProblem>& problems) {
  auto& policies = snapshot_->policies_;
  std::stable_sort(policies.begin(), policies.end(), [](const SrPolicy& a, const SrPolicy& b) {
    return std::pair(a.endpoint, a.tier) < std::pair(b.endpoint, b.tier);
  });
  for (std::uint32_t i = 0; i < policies.size(); ++i) {
    auto& policy = policies[i];
    const auto name = fmt::format("policy n{}/{}", policy.endpoint.value, ids::to_string(policy.tier));
    if (i > 0 && policies[i - 1].endpoint == policy.endpoint && policies[i - 1].tier == policy.tier)
      problems.push_back({BuildErrc::DuplicatePolicy, name});
    if (snapshot_->peer(policy.endpoint) == nullptr) problems.push_back({BuildErrc::UnknownNode, name});
    std::stable_sort(policy.paths.begin(), policy.paths.end(),
                     [](const CandidatePath& a, const CandidatePath& b) {
                       return std::pair(a.preference, a.id) < std::pair(b.preference, b.id);
                     });
    for (std::uint32_t j = 0; j < policy.paths.size(); ++j) {
      const auto& path = policy.paths[j];
      const auto what = fmt::format("{} path {}", name, path.id.value);
      snapshot_->by_path_.push_back({path.id, i, j});
      if (packet::is_direct_path_id(path.id))
        problems.push_back({BuildErrc::DuplicatePath, what + ": id is kept for direct adjacencies"});
      if (path.count == 0 || path.count > packet::kMaxSegments ||
          path.first_plane.value > ids::PlaneId::kMax) {
        problems.push_back({BuildErrc::InvalidList, fmt::format("{}: {} segments", what, path.count)});
        continue;
      }
      for (const auto sid : path.list()) {
        const Peer* node = snapshot_->peer(sid.node());
        if (!sid.valid())
          problems.push_back({BuildErrc::InvalidList, fmt::format("{}: SID {:#x}", what, sid.value)});
        else if (node == nullptr)
          problems.push_back({BuildErrc::UnknownNode, fmt::format("{}: n{}", what, sid.node().value)});
        else if (sid != path.segments[path.count - 1] && !node->relay)
          problems.push_back({BuildErrc::NotARelay, fmt::format("{}: n{}", what, sid.node().value)});
      }
      if (!packet::loop_free(snapshot_->self_, path.list())) problems.push_back({BuildErrc::ListLoop, what});
      if (path.endpoint() != policy.endpoint) problems.push_back({BuildErrc::EndpointMismatch, what});
    }
  }
  auto& by_path = snapshot_->by_path_;
  std::sort(by_path.begin(), by_path.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  for (std::size_t i = 1; i < by_path.size(); ++i)
    if (by_path[i].id == by_path[i - 1].id)
      problems.push_back({BuildErrc::DuplicatePath, fmt::format("path id {} twice", by_path[i].id.value)});
}

void SnapshotBuilder::check_tenants(std::vector<BuildProblem>& problems) {
  for (const ids::Vni vni : over_labelled_)
    problems.push_back({BuildErrc::TooManyLabels,
                        fmt::format("tenant {}: more than {} labels", vni.value, Acl::kMaxLabels)});
  auto& tenants = snapshot_->tenants_;
  std::stable_sort(tenants.begin(), tenants.end(),
                   [](const Tenant& a, const Tenant& b) { return a.vni < b.vni; });
  for (std::size_t i = 0; i < tenants.size(); ++i) {
    Tenant& t = tenants[i];
    const auto name = fmt::format("tenant {} \"{}\"", t.vni.value, t.name);
    if (t.vni.value == 0 || t.vni.value > ids::Vni::kMax) problems.push_back({BuildErrc::InvalidVni, name});
    if (i > 0 && tenants[i - 1].vni == t.vni) problems.push_back({BuildErrc::DuplicateVni, name});
    std::stable_sort(t.members.begin(), t.members.end(),
                     [](const TenantMember& a, const TenantMember& b) { return a.node < b.node; });
    std::vector<Lpm<ids::NodeId>::Entry> entries;
    for (std::size_t m = 0; m < t.members.size(); ++m) {
      const auto& member = t.members[m];
      if (m > 0 && t.members[m - 1].node == member.node)
        problems.push_back({BuildErrc::DuplicateMember, fmt::format("{}: n{}", name, member.node.value)});
      if (snapshot_->peer(member.node) == nullptr)
        problems.push_back({BuildErrc::UnknownNode, fmt::format("{}: member n{}", name, member.node.value)});
      for (const auto& prefix : member.prefixes) entries.push_back({prefix, member.node});
    }
    // Sorted by first address, shorter first, prefixes nest like brackets: `open` holds those around the current one.
    std::sort(entries.begin(), entries.end(),
              [](const auto& a, const auto& b) { return a.prefix < b.prefix; });
    std::vector<const Lpm<ids::NodeId>::Entry*> open;
    for (const auto& entry : entries) {
      while (!open.empty() && !open.back()->prefix.contains(entry.prefix.address)) open.pop_back();
      for (const auto* outer : open)
        if (outer->value != entry.value)
          problems.push_back({BuildErrc::PrefixOverlap,
                              fmt::format("{}: {} of n{} and {} of n{}", name, to_string(outer->prefix),
                                          outer->value.value, to_string(entry.prefix), entry.value.value)});
      open.push_back(&entry);
    }
    t.owners_ = Lpm<ids::NodeId>(std::move(entries));
  }
}

void SnapshotBuilder::check_keys(std::vector<BuildProblem>& problems) {
  std::set<std::uint8_t> epochs;
  for (const auto& key : snapshot_->relay_keys_)
    if (!epochs.insert(key.epoch).second)
      problems.push_back({BuildErrc::DuplicateRelayKey, fmt::format("epoch {}", key.epoch)});
  auto& denied = snapshot_->denied_;
  std::sort(denied.begin(), denied.end());
  denied.erase(std::unique(denied.begin(), denied.end()), denied.end());
}

SnapshotPtr SnapshotBuilder::build(std::vector<BuildProblem>& problems) && {
  const std::size_t before = problems.size();
  check_peers(problems);
  check_policies(problems);
  check_tenants(problems);
  check_keys(problems);
  if (problems.size() != before) return nullptr;
  return std::move(snapshot_);
}

}  // namespace qanat::fib
