#include "dataplane/agent/snapshot_compiler.hh"

#include <algorithm>
#include <span>

#include "dataplane/fib/snapshot_builder.hh"
#include "identifiers/proto/southbound.pb.h"

namespace qanat::agent {
namespace {

constexpr std::size_t kMostProblems = 64;

crypto::Bytes bytes_of(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

class Compiler {
 public:
  explicit Compiler(const proto::v1::NodeConfig& config)
      : config_(config), builder_(ids::NodeId{config.node_id()}, config.epoch(), config.version()) {}

  Compiled run() && {
    for (const auto& record : config_.nodes()) add(record);
    for (const auto& policy : config_.policies()) add(policy);
    for (const auto& tenant : config_.tenants()) add(tenant);
    for (const auto& key : config_.relay_keys()) add(key);
    for (const std::uint32_t node : config_.denied_headends()) builder_.deny_headend(ids::NodeId{node});
    add(config_.probe_plan());
    if (const auto psk = crypto::SecretKey::from_bytes(bytes_of(config_.network_psk()))) {
      builder_.set_network_psk(*psk);
    } else {
      problem("network_psk", std::to_string(config_.network_psk().size()) + " bytes, not 32");
    }
    if (const auto next = crypto::SecretKey::from_bytes(bytes_of(config_.network_psk_next()))) {
      builder_.set_next_network_psk(*next);
    } else if (!config_.network_psk_next().empty()) {
      problem("network_psk_next", std::to_string(config_.network_psk_next().size()) + " bytes, not 32");
    }
    std::vector<fib::BuildProblem> found;
    fib::SnapshotPtr snapshot = std::move(builder_).build(found);
    for (const auto& p : found) problem_text(fib::to_string(p));
    if (dropped_ > 0) problems_.push_back("and " + std::to_string(dropped_) + " more");
    if (!problems_.empty()) snapshot = nullptr;
    return {std::move(snapshot), std::move(problems_)};
  }

 private:
  void problem_text(std::string text) {
    if (problems_.size() < kMostProblems) {
      problems_.push_back(std::move(text));
    } else {
      ++dropped_;
    }
  }
  void problem(const std::string& object, const std::string& what) { problem_text(object + ": " + what); }

  void add(const proto::v1::NodeRecord& record) {
    const std::string object = "node " + std::to_string(record.node_id()) + " (" + record.name() + ")";
    fib::Peer peer;
    peer.id = ids::NodeId{record.node_id()};
    if (record.domain_id() > UINT16_MAX) problem(object, "domain " + std::to_string(record.domain_id()));
    peer.domain = ids::DomainId{static_cast<std::uint16_t>(record.domain_id())};
    peer.name = record.name();
    peer.relay = record.relay();
    if (const auto key = crypto::PublicKey::from_bytes(bytes_of(record.x25519_public()))) {
      peer.x25519 = *key;
    } else {
      problem(object,
              "its X25519 key has " + std::to_string(record.x25519_public().size()) + " bytes, not 32");
    }
    for (const auto& line : record.lines()) {
      const auto address = packet::parse_ip_address(line.address());
      if (!address || line.plane() > ids::PlaneId::kMax || line.port() > UINT16_MAX) {
        problem(object, "line '" + line.name() + "': plane " + std::to_string(line.plane()) + ", " +
                            line.address() + ":" + std::to_string(line.port()) + " is no line");
        continue;
      }
      peer.lines.push_back({ids::PlaneId{static_cast<std::uint8_t>(line.plane())},
                            {*address, static_cast<std::uint16_t>(line.port())},
                            line.name()});
    }
    builder_.add_peer(std::move(peer));
  }

  void add(const proto::v1::SrPolicy& record) {
    const std::string object =
        "policy to node " + std::to_string(record.endpoint()) + " tier " + std::to_string(record.tier());
    if (record.tier() >= ids::kTierCount) return problem(object, "no such tier");
    fib::SrPolicy policy;
    policy.endpoint = ids::NodeId{record.endpoint()};
    policy.tier = static_cast<ids::Tier>(record.tier());
    if (record.planes() > UINT16_MAX) return problem(object, "planes " + std::to_string(record.planes()));
    if (record.planes() != 0) policy.planes = static_cast<std::uint16_t>(record.planes());
    for (const auto& path : record.paths()) {
      if (auto candidate = candidate_of(path, object)) policy.paths.push_back(*candidate);
    }
    builder_.add_policy(std::move(policy));
  }

  std::optional<fib::CandidatePath> candidate_of(const proto::v1::CandidatePath& path,
                                                 const std::string& policy) {
    const std::string object = policy + " path " + std::to_string(path.path_id());
    const auto segments = static_cast<std::size_t>(path.segments_size());
    if (segments == 0 || segments > packet::kMaxSegments) {
      problem(object, std::to_string(segments) + " segments, not 1 to 8");
      return std::nullopt;
    }
    if (static_cast<std::size_t>(path.tokens_size()) != segments - 1) {
      problem(object,
              std::to_string(path.tokens_size()) + " tokens for " + std::to_string(segments - 1) + " relays");
      return std::nullopt;
    }
    if (path.first_plane() > ids::PlaneId::kMax || path.expires_unix_s() > UINT32_MAX ||
        path.token_epoch() > UINT8_MAX) {
      problem(object, "first plane " + std::to_string(path.first_plane()) + ", expiry " +
                          std::to_string(path.expires_unix_s()) + " or token epoch " +
                          std::to_string(path.token_epoch()) + " is out of range");
      return std::nullopt;
    }
    fib::CandidatePath out;
    out.id = ids::PathId{path.path_id()};
    out.first_plane = ids::PlaneId{static_cast<std::uint8_t>(path.first_plane())};
    out.count = static_cast<std::uint8_t>(segments);
    std::transform(path.segments().begin(), path.segments().end(), out.segments.begin(),
                   [](std::uint32_t sid) { return ids::Sid{sid}; });
    std::copy(path.tokens().begin(), path.tokens().end(), out.tokens.begin());
    out.expiry_unix_s = static_cast<std::uint32_t>(path.expires_unix_s());
    out.token_epoch = static_cast<std::uint8_t>(path.token_epoch());
    out.preference = path.preference();
    out.weight = path.weight();
    out.cost_us = path.cost_us();
    return out;
  }

  void add(const proto::v1::Tenant& record) {
    const std::string object = "tenant " + record.name() + " (VNI " + std::to_string(record.vni()) + ")";
    std::vector<fib::TenantMember> members;
    for (const auto& m : record.members()) {
      fib::TenantMember member{ids::NodeId{m.node_id()}, {}, {}};
      const std::string where = object + " member " + std::to_string(m.node_id());
      for (const auto& text : m.addresses()) {
        if (const auto address = packet::parse_interface_address(text)) {
          member.addresses.push_back(*address);
        } else {
          problem(where, "'" + text + "' is no address");
        }
      }
      for (const auto& text : m.prefixes()) {
        if (const auto prefix = packet::parse_ip_prefix(text)) {
          member.prefixes.push_back(*prefix);
        } else {
          problem(where, "'" + text + "' is no prefix (host bits must be zero)");
        }
      }
      member.labels.assign(m.labels().begin(), m.labels().end());
      members.push_back(std::move(member));
    }
    std::optional<std::vector<fib::AclRule>> rules;
    if (record.has_policy()) rules.emplace();
    for (const auto& text : record.policy().rules()) {
      if (const auto rule = ids::parse_acl_rule(text)) {
        rules->push_back(*rule);
      } else {
        problem(object, "'" + text + "' is no rule");
      }
    }
    builder_.add_tenant(ids::Vni{record.vni()}, record.name(), std::move(members), std::move(rules));
  }

  void add(const proto::v1::RelayKey& record) {
    const std::string object = "relay key " + std::to_string(record.epoch());
    const auto key = crypto::SecretKey::from_bytes(bytes_of(record.key()));
    if (!key) return problem(object, std::to_string(record.key().size()) + " bytes, not 32");
    if (record.epoch() > UINT8_MAX) return problem(object, "an epoch is 0 to 255");
    builder_.add_relay_key({static_cast<std::uint8_t>(record.epoch()), *key, record.not_after_unix_s()});
  }

  // Zero is "the default"; what is set must be between 1 ms and a minute.
  void add(const proto::v1::ProbePlan& record) {
    fib::ProbePlan plan;
    const auto take = [this](std::uint32_t ms, std::chrono::milliseconds& into, const char* name) {
      if (ms > 60'000) return problem(name, std::to_string(ms) + " ms is more than a minute");
      if (ms > 0) into = std::chrono::milliseconds(ms);
    };
    take(record.active_interval_ms(), plan.active_interval, "probe plan, active interval");
    take(record.mesh_interval_ms(), plan.mesh_interval, "probe plan, mesh interval");
    take(record.report_interval_ms(), plan.report_interval, "probe plan, report interval");
    builder_.set_probe_plan(plan);
  }

  const proto::v1::NodeConfig& config_;
  fib::SnapshotBuilder builder_;
  std::vector<std::string> problems_;
  std::size_t dropped_ = 0;
};

}  // namespace

Compiled compile_snapshot(const proto::v1::NodeConfig& config) { return Compiler(config).run(); }

}  // namespace qanat::agent
