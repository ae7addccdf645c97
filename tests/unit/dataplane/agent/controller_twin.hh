// ControllerTwin: the controller's half of the protocol in memory: signs configurations and bindings as a domain
// controller does, and builds configurations that compile. Keys are fixed, so every run is the same.
#pragma once

#include <string>
#include <vector>

#include "dataplane/agent/agent_machine.hh"
#include "identifiers/ids/sid.hh"
#include "identifiers/proto/config_state.hh"

namespace qanat::agent {

class ControllerTwin {
 public:
  static constexpr std::uint32_t kSelf = 7;
  static constexpr std::uint32_t kPeer = 8;
  static constexpr std::uint32_t kRelay = 9;
  static constexpr std::uint32_t kDomain = 3;

  ControllerTwin() {
    config_key_.fill(0x11);
    ca_key_.fill(0x22);
  }

  Enrolment enrolment() const {
    return {kSelf, kDomain, {proto::public_of(config_key_)}, {proto::public_of(ca_key_)}};
  }

  proto::v1::NodeRecord node(std::uint32_t id, std::uint32_t domain = kDomain) const {
    proto::v1::NodeRecord record;
    record.set_node_id(id);
    record.set_domain_id(domain);
    record.set_name("node" + std::to_string(id));
    record.set_x25519_public(std::string(32, static_cast<char>(id)));
    record.set_relay(id == kRelay);
    auto& line = *record.add_lines();
    line.set_plane(1);
    line.set_address("10.0.0." + std::to_string(id));
    line.set_port(7700);
    line.set_name("private");
    const auto signature = proto::sign(proto::binding_signing_input(record), ca_key_);
    record.set_binding_signature(signature.data(), signature.size());
    return record;
  }

  // Ourselves, a peer and a relay; a direct list to the peer and one through the relay; a tenant of ours and the peer's.
  proto::v1::NodeConfig config(std::uint64_t epoch, std::uint64_t version) const {
    proto::v1::NodeConfig c;
    c.set_epoch(epoch);
    c.set_version(version);
    c.set_node_id(kSelf);
    for (const auto id : {kSelf, kPeer, kRelay}) *c.add_nodes() = node(id);
    auto& policy = *c.add_policies();
    policy.set_endpoint(kPeer);
    policy.set_tier(2);
    auto& relayed = *policy.add_paths();
    relayed.set_path_id(1);
    relayed.set_first_plane(1);
    relayed.add_segments(ids::Sid::end(ids::NodeId{kRelay}).value);
    relayed.add_segments(ids::Sid::end(ids::NodeId{kPeer}).value);
    relayed.add_tokens(0x0123456789abcdef);
    relayed.set_expires_unix_s(1'900'000'000);
    auto& direct = *policy.add_paths();
    direct.set_path_id(2);
    direct.set_preference(1);
    direct.add_segments(ids::Sid::end(ids::NodeId{kPeer}).value);
    auto& tenant = *c.add_tenants();
    tenant.set_vni(100);
    tenant.set_name("lab");
    for (const auto id : {kSelf, kPeer}) {
      auto& member = *tenant.add_members();
      member.set_node_id(id);
      member.add_addresses("100.96." + std::to_string(id) + ".1/32");
      member.add_prefixes("100.96." + std::to_string(id) + ".0/24");
    }
    c.mutable_probe_plan()->set_report_interval_ms(500);
    c.set_network_psk(std::string(32, 'p'));
    proto::canonicalise(c);
    return c;
  }

  proto::v1::ConfigDelta delta(const proto::v1::NodeConfig& held, const proto::v1::NodeConfig& target) const {
    return proto::make_delta(held, target, config_key_);
  }
  proto::v1::ConfigDelta snapshot(const proto::v1::NodeConfig& target) const { return delta({}, target); }

 private:
  proto::Ed25519Private config_key_{};
  proto::Ed25519Private ca_key_{};
};

}  // namespace qanat::agent
