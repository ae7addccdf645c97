#include "tests/support/overlay.hh"

#include <gtest/gtest.h>

#include <memory>
#include <mutex>
#include <random>

#include "dataplane/crypto/list_token.hh"
#include "dataplane/fib/snapshot_builder.hh"

namespace qanat::test {

Overlay::Overlay(std::uint32_t seed) : seed_(seed), psk_(secret(0)) {}

crypto::SecretKey Overlay::secret(std::uint64_t salt) const {
  std::mt19937_64 random(std::uint64_t{seed_} << 32 | salt);
  std::array<std::uint8_t, 32> bytes{};
  for (auto& b : bytes) b = static_cast<std::uint8_t>(random());
  return crypto::SecretKey(bytes);
}

packet::UdpAddress Overlay::line_address(std::uint32_t node, std::uint8_t plane) {
  return {packet::IpAddress::v4(10u << 24 | std::uint32_t{plane} << 16 | node), 7700};
}

packet::IpAddress Overlay::tenant_address(std::uint32_t node) {
  return packet::IpAddress::v4(100u << 24 | 96u << 16 | node << 8 | 1);
}

packet::IpAddress Overlay::tenant_address6(std::uint32_t node) {
  return {packet::IpFamily::V6, 0xfd71ULL << 48, node};
}

void Overlay::add_node(std::uint32_t id, bool relay, const std::vector<std::uint8_t>& planes) {
  Node node;
  node.id = id;
  node.relay = relay;
  for (const std::uint8_t p : planes) node.lines.push_back({ids::PlaneId{p}, line_address(id, p), "line"});
  node.keys = crypto::KeyPair::from_secret(secret(1000 + id));
  node.relay_key = secret(2000 + id);
  nodes_.emplace(id, std::move(node));
}

void Overlay::set_line_address(std::uint32_t node, std::uint8_t plane, const packet::UdpAddress& address) {
  for (fib::Line& line : nodes_.at(node).lines)
    if (line.plane.value == plane) line.address = address;
}

void Overlay::rotate_keys(std::uint32_t node) {
  nodes_.at(node).keys = crypto::KeyPair::from_secret(secret(100'000 * ++rotations_ + node));
}

void Overlay::rotate_psk() { psk_ = secret(100'000 * ++rotations_); }

void Overlay::add_tenant(std::uint32_t vni, const std::vector<std::uint32_t>& members) {
  tenants_[vni] = members;
}

void Overlay::add_prefix(std::uint32_t vni, std::uint32_t member, const packet::IpPrefix& prefix) {
  prefixes_[{vni, member}].push_back(prefix);
}

void Overlay::set_policy(std::uint32_t vni, const std::vector<std::string>& rules,
                         const std::map<std::uint32_t, std::vector<std::string>>& labels) {
  Policy policy{{}, labels};
  for (const std::string& rule : rules) policy.rules.push_back(ids::parse_acl_rule(rule).value());
  tenant_policies_[vni] = std::move(policy);
}

void Overlay::add_list(ListPlan plan) { lists_.push_back(std::move(plan)); }

void Overlay::add_lists(ListPlan plan) {
  for (const ids::Tier tier : ids::kTiers) {
    plan.tier = tier;
    add_list(plan);
    ++plan.id;
  }
}

fib::CandidatePath Overlay::candidate(const ListPlan& plan) const {
  fib::CandidatePath path;
  path.id = ids::PathId{plan.id};
  path.first_plane = ids::PlaneId{plan.first_plane};
  path.count = static_cast<std::uint8_t>(plan.segments.size());
  std::copy(plan.segments.begin(), plan.segments.end(), path.segments.begin());
  path.expiry_unix_s = plan.expiry_unix_s;
  path.token_epoch = 1;
  path.preference = plan.preference;
  for (std::size_t i = 0; i + 1 < plan.segments.size(); ++i) {
    crypto::TokenInput input;
    input.relay = plan.segments[i].node();
    input.headend = ids::NodeId{plan.headend};
    input.tier = plan.tier;
    input.expiry_unix_s = plan.expiry_unix_s;
    input.token_epoch = 1;
    input.segments = plan.segments;
    path.tokens[i] = crypto::mint_token(nodes_.at(input.relay.value).relay_key, input);
  }
  return path;
}

fib::SnapshotPtr Overlay::snapshot(std::uint32_t self, std::uint64_t version, const Edit& edit) const {
  SnapshotParts parts;
  for (const auto& [id, node] : nodes_) {
    fib::Peer peer;
    peer.id = ids::NodeId{id};
    peer.domain = ids::DomainId{1};
    peer.name = "node" + std::to_string(id);
    peer.x25519 = node.keys.public_key;
    peer.lines = node.lines;
    peer.relay = node.relay;
    parts.peers.push_back(std::move(peer));
  }
  for (const ListPlan& plan : lists_) {
    if (plan.headend != self) continue;
    const ids::NodeId endpoint = plan.segments.back().node();
    auto policy = std::find_if(parts.policies.begin(), parts.policies.end(), [&](const fib::SrPolicy& p) {
      return p.endpoint == endpoint && p.tier == plan.tier;
    });
    if (policy == parts.policies.end()) policy = parts.policies.insert(policy, {endpoint, plan.tier, {}});
    policy->paths.push_back(candidate(plan));
  }
  for (const auto& [vni, members] : tenants_) {
    SnapshotParts::Tenant tenant{ids::Vni{vni}, {}};
    for (const std::uint32_t m : members)
      tenant.members.push_back(
          {ids::NodeId{m},
           {{tenant_address(m), 32}, {tenant_address6(m), 128}},
           {packet::IpPrefix::host(tenant_address(m)), packet::IpPrefix::host(tenant_address6(m))}});
    for (fib::TenantMember& m : tenant.members)
      if (const auto more = prefixes_.find({vni, m.node.value}); more != prefixes_.end())
        m.prefixes.insert(m.prefixes.end(), more->second.begin(), more->second.end());
    if (const auto policy = tenant_policies_.find(vni); policy != tenant_policies_.end()) {
      tenant.rules = policy->second.rules;
      for (fib::TenantMember& m : tenant.members)
        if (const auto l = policy->second.labels.find(m.node.value); l != policy->second.labels.end())
          m.labels = l->second;
    }
    parts.tenants.push_back(std::move(tenant));
  }
  if (nodes_.at(self).relay) parts.relay_keys.push_back({1, nodes_.at(self).relay_key, 4'000'000'000});
  if (edit) edit(parts);

  fib::SnapshotBuilder builder(ids::NodeId{self}, 1, version);
  for (auto& peer : parts.peers) builder.add_peer(std::move(peer));
  for (auto& policy : parts.policies) builder.add_policy(std::move(policy));
  for (auto& tenant : parts.tenants)
    builder.add_tenant(tenant.vni, "tenant" + std::to_string(tenant.vni.value), std::move(tenant.members),
                       std::move(tenant.rules));
  for (auto& key : parts.relay_keys) builder.add_relay_key(std::move(key));
  for (const ids::NodeId d : parts.denied) builder.deny_headend(d);
  builder.set_probe_plan(plan_);
  builder.set_network_psk(psk_);
  std::vector<fib::BuildProblem> problems;
  auto snapshot = std::move(builder).build(problems);
  for (const auto& p : problems) ADD_FAILURE() << "snapshot of node " << self << ": " << to_string(p);
  return snapshot;
}

forwarder::ForwarderOptions Overlay::options(std::uint32_t self) const {
  const Node& node = nodes_.at(self);
  forwarder::ForwarderOptions out;
  out.identity.keys = node.keys;
  out.identity.boot = 1;
  out.session = session_;
  out.adaptive = adaptive_;
  out.policy = qos_;
  struct Stream {  // of all workers of a box
    std::mutex mutex;
    std::mt19937_64 engine;
  };
  auto stream = std::make_shared<Stream>();
  stream->engine.seed(std::uint64_t{seed_} * 7919 + self);
  out.random = [stream](packet::MutableBytes bytes) {
    const std::lock_guard lock(stream->mutex);
    for (auto& b : bytes) b = static_cast<std::uint8_t>(stream->engine());
  };
  for (const fib::Line& line : node.lines) {
    const auto bound = bound_.find({self, line.plane.value});
    out.lines.push_back({line.plane, bound == bound_.end() ? line.address : bound->second});
  }
  return out;
}

}  // namespace qanat::test
