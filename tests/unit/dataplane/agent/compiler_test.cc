// SnapshotCompiler: a configuration in, a snapshot or all that is wrong with it out.
#include "dataplane/agent/snapshot_compiler.hh"

#include <gmock/gmock.h>

#include "dataplane/agent/revocation.hh"
#include "dataplane/fib/snapshot.hh"
#include "tests/unit/dataplane/agent/controller_twin.hh"

namespace qanat::agent {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::SizeIs;

TEST(SnapshotCompiler, CarriesEveryTableOver) {
  const ControllerTwin twin;
  auto config = twin.config(4, 17);
  auto& key = *config.add_relay_keys();
  key.set_epoch(9);
  key.set_key(std::string(32, 'k'));
  key.set_not_after_unix_s(2'000'000'000);
  config.mutable_probe_plan()->set_active_interval_ms(20);
  const auto compiled = compile_snapshot(config);
  ASSERT_TRUE(compiled.snapshot) << testing::PrintToString(compiled.problems);
  const fib::Snapshot& s = *compiled.snapshot;
  EXPECT_EQ(s.epoch(), 4u);
  EXPECT_EQ(s.version(), 17u);
  EXPECT_EQ(s.self().value, ControllerTwin::kSelf);
  EXPECT_EQ(s.peers().size(), 3u);
  const auto* peer = s.peer(ids::NodeId{ControllerTwin::kPeer});
  ASSERT_TRUE(peer);
  EXPECT_EQ(peer->name, "node8");
  EXPECT_EQ(peer->domain.value, ControllerTwin::kDomain);
  ASSERT_EQ(peer->lines.size(), 1u);
  EXPECT_EQ(to_string(peer->lines[0].address), "10.0.0.8:7700");
  const auto* policy = s.policy(ids::NodeId{ControllerTwin::kPeer}, ids::Tier::Bulk);
  ASSERT_TRUE(policy);
  ASSERT_EQ(policy->paths.size(), 2u);
  EXPECT_EQ(policy->paths[0].first_hop().value, ControllerTwin::kRelay);
  EXPECT_EQ(policy->paths[0].tokens[0], 0x0123456789abcdefu);
  EXPECT_EQ(policy->paths[0].expiry_unix_s, 1'900'000'000u);
  EXPECT_TRUE(policy->paths[1].direct());
  const auto* tenant = s.tenant(ids::Vni{100});
  ASSERT_TRUE(tenant);
  EXPECT_EQ(tenant->owner(*packet::parse_ip_address("100.96.8.77"))->value, ControllerTwin::kPeer);
  ASSERT_TRUE(s.relay_key(9, 1'000));
  EXPECT_EQ(s.relay_key(9, 1'000)->key.data()[0], 'k');
  EXPECT_EQ(s.probe_plan().active_interval, std::chrono::milliseconds(20));
  EXPECT_EQ(s.probe_plan().mesh_interval, fib::ProbePlan{}.mesh_interval) << "0 is the default";
  EXPECT_EQ(s.network_psk().data()[31], 'p');
}

TEST(SnapshotCompiler, APolicyBecomesAnAcl) {
  const ControllerTwin twin;
  auto config = twin.config(1, 1);
  EXPECT_EQ(compile_snapshot(config).snapshot->tenants()[0].acl(), nullptr);
  auto& tenant = *config.mutable_tenants(0);
  tenant.mutable_policy()->add_rules("allow web -> * tcp/80");
  tenant.mutable_members(0)->add_labels("web");
  const auto snapshot = compile_snapshot(config).snapshot;
  ASSERT_NE(snapshot->tenants()[0].acl(), nullptr);
  const ids::NodeId web{tenant.members(0).node_id()};
  EXPECT_TRUE(snapshot->tenants()[0].acl()->opens(web, ids::NodeId{9}, 6, 80));
  EXPECT_FALSE(snapshot->tenants()[0].acl()->opens(ids::NodeId{9}, web, 6, 80));
}

struct Wrong {
  const char* name;
  void (*spoil)(proto::v1::NodeConfig&);
  const char* problem;
};
class SnapshotCompilerRefuses : public testing::TestWithParam<Wrong> {};

TEST_P(SnapshotCompilerRefuses, AndNamesTheObject) {
  const ControllerTwin twin;
  auto config = twin.config(1, 1);
  GetParam().spoil(config);
  const auto compiled = compile_snapshot(config);
  EXPECT_FALSE(compiled.snapshot);
  EXPECT_THAT(compiled.problems, Contains(HasSubstr(GetParam().problem)));
}

using Config = proto::v1::NodeConfig;
INSTANTIATE_TEST_SUITE_P(
    All, SnapshotCompilerRefuses,
    testing::Values(
        Wrong{"short_key", [](Config& c) { c.mutable_nodes(1)->set_x25519_public("short"); },
              "5 bytes, not 32"},
        Wrong{"bad_domain", [](Config& c) { c.mutable_nodes(1)->set_domain_id(70000); }, "domain 70000"},
        Wrong{"bad_address",
              [](Config& c) { c.mutable_nodes(1)->mutable_lines(0)->set_address("host.example"); },
              "host.example:7700 is no line"},
        Wrong{"bad_port", [](Config& c) { c.mutable_nodes(1)->mutable_lines(0)->set_port(65536); },
              "is no line"},
        Wrong{"bad_plane", [](Config& c) { c.mutable_nodes(1)->mutable_lines(0)->set_plane(16); },
              "is no line"},
        Wrong{"bad_tier", [](Config& c) { c.mutable_policies(0)->set_tier(4); }, "tier 4: no such tier"},
        Wrong{"no_segments", [](Config& c) { c.mutable_policies(0)->mutable_paths(0)->clear_segments(); },
              "0 segments, not 1 to 8"},
        Wrong{"nine_segments",
              [](Config& c) {
                for (int i = 0; i < 7; ++i)
                  c.mutable_policies(0)->mutable_paths(0)->add_segments(0x1000u + i);
              },
              "9 segments, not 1 to 8"},
        Wrong{"missing_token", [](Config& c) { c.mutable_policies(0)->mutable_paths(0)->clear_tokens(); },
              "0 tokens for 1 relays"},
        Wrong{"bad_first_plane",
              [](Config& c) { c.mutable_policies(0)->mutable_paths(0)->set_first_plane(99); },
              "out of range"},
        Wrong{"bad_expiry",
              [](Config& c) { c.mutable_policies(0)->mutable_paths(0)->set_expires_unix_s(1ull << 32); },
              "out of range"},
        Wrong{"bad_token_epoch",
              [](Config& c) { c.mutable_policies(0)->mutable_paths(0)->set_token_epoch(256); },
              "out of range"},
        Wrong{"bad_member_address",
              [](Config& c) { c.mutable_tenants(0)->mutable_members(0)->set_addresses(0, "100.96.1"); },
              "'100.96.1' is no address"},
        Wrong{"bad_prefix",
              [](Config& c) { c.mutable_tenants(0)->mutable_members(0)->set_prefixes(0, "100.96.7.1/24"); },
              "host bits must be zero"},
        Wrong{"bad_rule",
              [](Config& c) { c.mutable_tenants(0)->mutable_policy()->add_rules("let everybody in"); },
              "'let everybody in' is no rule"},
        Wrong{"short_relay_key",
              [](Config& c) {
                c.add_relay_keys()->set_epoch(1);
                c.mutable_relay_keys(0)->set_key("k");
              },
              "relay key 1: 1 bytes"},
        Wrong{"bad_relay_epoch",
              [](Config& c) {
                c.add_relay_keys()->set_epoch(256);
                c.mutable_relay_keys(0)->set_key(std::string(32, 'k'));
              },
              "an epoch is 0 to 255"},
        Wrong{"slow_probes", [](Config& c) { c.mutable_probe_plan()->set_mesh_interval_ms(60'001); },
              "more than a minute"},
        Wrong{"no_psk", [](Config& c) { c.clear_network_psk(); }, "network_psk: 0 bytes, not 32"},
        Wrong{"no_self", [](Config& c) { c.set_node_id(99); }, "n99"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(SnapshotCompiler, NamesAllProblemsAtOnceButNotWithoutEnd) {
  const ControllerTwin twin;
  auto config = twin.config(1, 1);
  config.clear_network_psk();
  config.mutable_policies(0)->set_tier(17);
  EXPECT_GE(compile_snapshot(config).problems.size(), 2u);
  for (int i = 0; i < 200; ++i) config.add_policies()->set_tier(5);
  const auto problems = compile_snapshot(config).problems;
  EXPECT_LE(problems.size(), 65u);
  EXPECT_THAT(problems.back(), HasSubstr("more"));
}

TEST(SnapshotCompiler, ADeniedHeadendNeedNotBeAPeer) {
  const ControllerTwin twin;
  auto config = twin.config(1, 1);
  config.add_denied_headends(12345);  // revoked and gone
  const auto compiled = compile_snapshot(config);
  ASSERT_TRUE(compiled.snapshot) << testing::PrintToString(compiled.problems);
  EXPECT_TRUE(compiled.snapshot->denied(ids::NodeId{12345}));
}

TEST(Revocation, LeavesNothingOfANodeAndWhatRemainsCompiles) {
  const ControllerTwin twin;
  auto config = twin.config(1, 1);
  revoke_nodes(config, {ControllerTwin::kPeer});
  EXPECT_EQ(config.nodes_size(), 2);
  EXPECT_EQ(config.policies_size(), 0);
  EXPECT_EQ(config.tenants(0).members_size(), 1);
  EXPECT_THAT(compile_snapshot(config).problems, SizeIs(0));
}

}  // namespace
}  // namespace qanat::agent
