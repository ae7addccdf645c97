// The forwarding snapshot: lookups, every problem that a configuration can have, and LPM equal to a linear scan.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "dataplane/fib/snapshot_builder.hh"

namespace qanat::fib {
namespace {

using ids::NodeId;
using ids::PlaneId;
using ids::Sid;
using packet::IpAddress;
using packet::IpPrefix;
using ::testing::HasSubstr;

IpAddress address(std::string_view text) { return *packet::parse_ip_address(text); }
IpPrefix prefix(std::string_view text) { return *packet::parse_ip_prefix(text); }

Peer node(std::uint32_t id, bool relay = false) {
  Peer p;
  p.id = NodeId{id};
  p.name = "node" + std::to_string(id);
  p.x25519.bytes[0] = static_cast<std::uint8_t>(id);
  p.relay = relay;
  p.lines = {{PlaneId{1}, {IpAddress::v4(0x0a010000 + id), 7700}, "private"}};
  return p;
}

CandidatePath path(std::uint32_t id, std::vector<Sid> list) {
  CandidatePath p;
  p.id = ids::PathId{id};
  p.count = static_cast<std::uint8_t>(list.size());
  for (std::size_t i = 0; i < std::min(list.size(), p.segments.size()); ++i) p.segments[i] = list[i];
  return p;
}

TenantMember member(std::uint32_t id, std::string_view own, std::vector<IpPrefix> prefixes = {}) {
  return {NodeId{id}, {*packet::parse_interface_address(own)}, std::move(prefixes)};
}

// n1 (ourselves), relay n2, far n3; tenant 100 on n1 and n3.
struct Configuration {
  std::vector<Peer> peers{node(3), node(1), node(2, true)};
  std::vector<SrPolicy> policies{
      {NodeId{3},
       ids::Tier::Bulk,
       {path(11, {Sid::end(NodeId{2}), Sid::end(NodeId{3})}), path(10, {Sid::end(NodeId{3})})}}};
  std::vector<TenantMember> members{member(3, "100.96.2.1/32", {prefix("10.3.0.0/16")}),
                                    member(1, "100.96.1.1/32", {prefix("fd71:1::/32")})};
  std::vector<RelayKey> keys{{7, {}, 1000}};

  SnapshotPtr build(std::vector<BuildProblem>& problems) const {
    SnapshotBuilder b(NodeId{1}, 4, 5);
    for (const auto& p : peers) b.add_peer(p);
    for (const auto& p : policies) b.add_policy(p);
    b.add_tenant(ids::Vni{100}, "lab", members);
    for (const auto& k : keys) b.add_relay_key(k);
    b.deny_headend(NodeId{9});
    return std::move(b).build(problems);
  }
};

TEST(Snapshot, LooksUpWhatWasPutIn) {
  std::vector<BuildProblem> problems;
  const auto s = Configuration{}.build(problems);
  ASSERT_NE(s, nullptr) << to_string(problems.at(0));
  EXPECT_EQ(s->self(), NodeId{1});
  EXPECT_EQ(s->version(), 5u);
  EXPECT_FALSE(s->relay());
  EXPECT_EQ(s->peer(NodeId{2})->name, "node2");
  EXPECT_EQ(s->peer(NodeId{4}), nullptr);
  EXPECT_EQ(s->peer_by_key(node(3).x25519)->id, NodeId{3});
  EXPECT_EQ(s->peer_by_key({}), nullptr);
  EXPECT_EQ(s->peer_by_name("node3")->id, NodeId{3});
  EXPECT_EQ(s->peer(NodeId{2})->line(PlaneId{1})->address.port, 7700);
  EXPECT_EQ(s->peer(NodeId{2})->line(PlaneId{2}), nullptr);

  const auto* policy = s->policy(NodeId{3}, ids::Tier::Bulk);
  ASSERT_NE(policy, nullptr);
  EXPECT_TRUE(policy->paths[0].direct()) << "equal preference: by id";
  EXPECT_EQ(s->policy(NodeId{3}, ids::Tier::Critical), nullptr);
  EXPECT_EQ(s->path(ids::PathId{11})->first_hop(), NodeId{2});
  EXPECT_EQ(s->path(ids::PathId{12}), nullptr);

  EXPECT_EQ(s->relay_key(7, 1300)->epoch, 7);
  EXPECT_EQ(s->relay_key(7, 1301), nullptr) << "past its time and the clocks' slack";
  EXPECT_EQ(s->relay_key(8, 0), nullptr);
  EXPECT_TRUE(s->denied(NodeId{9}));
  EXPECT_FALSE(s->denied(NodeId{1}));
}

TEST(Snapshot, KnowsWhoseAnInnerAddressIs) {
  std::vector<BuildProblem> problems;
  const auto s = Configuration{}.build(problems);
  const auto* t = s->tenant(ids::Vni{100});
  ASSERT_NE(t, nullptr);
  EXPECT_EQ(t->owner(address("100.96.1.1")), NodeId{1}) << "an address of its own is a prefix of it";
  EXPECT_EQ(t->owner(address("10.3.255.1")), NodeId{3});
  EXPECT_EQ(t->owner(address("fd71:1::9")), NodeId{1});
  EXPECT_FALSE(t->owner(address("100.96.3.1")).has_value());
  EXPECT_NE(t->member(NodeId{3}), nullptr);
  EXPECT_EQ(t->member(NodeId{2}), nullptr);
  EXPECT_EQ(s->tenant(ids::Vni{101}), nullptr);
}

TEST(SnapshotBuilder, EveryProblemHasItsName) {
  struct Case {
    BuildErrc code;
    void (*spoil)(Configuration&);
    const char* names;
  };
  const Case cases[] = {
      {BuildErrc::SelfUnknown,
       [](auto& c) {
         c.peers.erase(c.peers.begin() + 1);
         c.members.pop_back();
       },
       "n1"},
      {BuildErrc::InvalidNode, [](auto& c) { c.peers.push_back(node(0)); }, "node 0"},
      {BuildErrc::DuplicateNode,
       [](auto& c) {
         c.peers.push_back(node(3));
         c.peers.back().name = "x";
         c.peers.back().x25519.bytes[1] = 1;
       },
       "n3"},
      {BuildErrc::DuplicateNode,
       [](auto& c) {
         c.peers.push_back(node(4));
         c.peers.back().name = "node1";
       },
       "node1"},
      {BuildErrc::DuplicateNode,
       [](auto& c) {
         c.peers.push_back(node(4));
         c.peers.back().x25519.bytes[0] = 1;
       },
       "static key"},
      {BuildErrc::InvalidLine, [](auto& c) { c.peers[0].lines[0].plane = PlaneId{0}; }, "n3 plane 0"},
      {BuildErrc::InvalidLine, [](auto& c) { c.peers[0].lines[0].plane = PlaneId{16}; }, "plane 16"},
      {BuildErrc::InvalidLine, [](auto& c) { c.peers[0].lines[0].address.port = 0; }, ":0"},
      {BuildErrc::InvalidLine, [](auto& c) { c.peers[0].lines.push_back(c.peers[0].lines[0]); }, "plane 1"},
      {BuildErrc::UnknownNode, [](auto& c) { c.policies[0].paths[0].segments[0] = Sid::end(NodeId{5}); },
       "n5"},
      {BuildErrc::UnknownNode, [](auto& c) { c.members[0].node = NodeId{6}; }, "n6"},
      {BuildErrc::InvalidList, [](auto& c) { c.policies[0].paths[0].count = 0; }, "path 11"},
      {BuildErrc::InvalidList, [](auto& c) { c.policies[0].paths[0].count = 9; }, "9 segments"},
      {BuildErrc::InvalidList, [](auto& c) { c.policies[0].paths[0].segments[0].value |= 0xf0; }, "SID"},
      {BuildErrc::ListLoop,
       [](auto& c) {
         c.policies[0].paths.push_back(
             path(12, {Sid::end(NodeId{2}), Sid::end_x(NodeId{2}, PlaneId{1}), Sid::end(NodeId{3})}));
       },
       "path 12"},
      {BuildErrc::ListLoop,
       [](auto& c) {
         c.peers[1].relay = true;
         c.policies[0].paths.push_back(path(12, {Sid::end(NodeId{1}), Sid::end(NodeId{3})}));
       },
       "path 12"},
      {BuildErrc::NotARelay, [](auto& c) { c.peers[2].relay = false; }, "n2"},
      {BuildErrc::EndpointMismatch, [](auto& c) { c.policies[0].paths[1].segments[0] = Sid::end(NodeId{2}); },
       "path 10"},
      {BuildErrc::DuplicatePolicy,
       [](auto& c) {
         c.policies.push_back({NodeId{3}, ids::Tier::Bulk, {}});
       },
       "n3/bulk"},
      {BuildErrc::DuplicatePath,
       [](auto& c) {
         c.policies.push_back({NodeId{3}, ids::Tier::Critical, {path(10, {Sid::end(NodeId{3})})}});
       },
       "10"},
      {BuildErrc::DuplicatePath, [](auto& c) { c.policies[0].paths[0].id.value = 0xff000011; }, "direct"},
      {BuildErrc::DuplicateMember, [](auto& c) { c.members.push_back(member(3, "100.96.2.2/32")); }, "n3"},
      {BuildErrc::PrefixOverlap, [](auto& c) { c.members[1].prefixes.push_back(prefix("10.3.1.0/24")); },
       "10.3.0.0/16 of n3 and 10.3.1.0/24 of n1"},
      {BuildErrc::PrefixOverlap, [](auto& c) { c.members[1].prefixes.push_back(prefix("10.3.0.0/16")); },
       "10.3.0.0/16"},
      {BuildErrc::DuplicateRelayKey,
       [](auto& c) {
         c.keys.push_back({7, {}, 2});
       },
       "epoch 7"},
  };
  for (const auto& c : cases) {
    Configuration configuration;
    c.spoil(configuration);
    std::vector<BuildProblem> problems;
    EXPECT_EQ(configuration.build(problems), nullptr) << c.names;
    ASSERT_EQ(problems.size(), 1u) << c.names << (problems.empty() ? "" : " | " + to_string(problems.back()));
    EXPECT_EQ(problems[0].code, c.code) << to_string(problems[0]);
    EXPECT_THAT(problems[0].what, HasSubstr(c.names));
  }
}

TEST(SnapshotBuilder, VnisAreCheckedAndUnique) {
  SnapshotBuilder b(NodeId{1}, 1, 1);
  b.add_peer(node(1));
  for (const std::uint32_t vni : {0u, 1u << 24, 5u, 5u}) b.add_tenant(ids::Vni{vni}, "t", {});
  std::vector<BuildProblem> problems;
  EXPECT_EQ(std::move(b).build(problems), nullptr);
  EXPECT_EQ(problems.size(), 3u);
}

TEST(SnapshotBuilder, ReportsAllProblemsAtOnce) {
  Configuration c;
  c.peers[2].relay = false;
  c.keys.push_back({7, {}, 2});
  c.members[0].node = NodeId{6};
  std::vector<BuildProblem> problems;
  EXPECT_EQ(c.build(problems), nullptr);
  EXPECT_EQ(problems.size(), 3u);
}

TEST(SnapshotBuilder, OneMemberMayNestItsOwnPrefixes) {
  Configuration c;
  c.members[0].prefixes.push_back(prefix("10.3.1.0/24"));
  std::vector<BuildProblem> problems;
  EXPECT_NE(c.build(problems), nullptr);
}

RC_GTEST_PROP(LpmProperty, EqualsALinearScan, ()) {
  const bool v6 = *rc::gen::arbitrary<bool>();
  // Few distinct leading bits, so that prefixes nest and collide.
  const auto some_address = [v6] {
    const auto high = *rc::gen::element<std::uint64_t>(0x0a00000000000000, 0x0a01000000000000,
                                                       0x0a01020000000000, 0xff00000000000000);
    const auto low = *rc::gen::inRange<std::uint64_t>(0, 4);
    return v6 ? IpAddress{packet::IpFamily::V6, high, low}
              : IpAddress{packet::IpFamily::V4, high | low << 32, 0};
  };
  std::vector<Lpm<int>::Entry> entries;
  const int count = *rc::gen::inRange(0, 40);
  for (int i = 0; i < count; ++i)
    entries.push_back({IpPrefix::of(some_address(), *rc::gen::inRange(0u, v6 ? 129u : 33u)), i});
  const Lpm<int> lpm(entries);
  for (int i = 0; i < 30; ++i) {
    const auto a = some_address();
    const Lpm<int>::Entry* best = nullptr;
    for (const auto& e : entries)
      if (e.prefix.contains(a) && (best == nullptr || e.prefix.length > best->prefix.length)) best = &e;
    const int* found = lpm.lookup(a);
    RC_ASSERT((found != nullptr) == (best != nullptr));
    if (best != nullptr) RC_ASSERT(*found == best->value);
  }
}

TEST(Lpm, FamiliesAreApart) {
  const Lpm<int> lpm({{prefix("0.0.0.0/0"), 4}});
  EXPECT_EQ(lpm.lookup(address("::1")), nullptr);
  EXPECT_EQ(*lpm.lookup(address("1.2.3.4")), 4);
}

}  // namespace
}  // namespace qanat::fib
