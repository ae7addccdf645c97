// Configurations: verified before use, kept before they are acknowledged, refused with a reason, rolled back once.
#include <gmock/gmock.h>

#include "tests/unit/dataplane/agent/agent_story.hh"

namespace qanat::agent {
namespace {

using State = AgentMachine::State;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

StoredConfig stored(const AgentStory& s, const proto::v1::NodeConfig& in_force,
                    const proto::v1::NodeConfig* other = nullptr) {
  StoredConfig out;
  out.in_force = std::make_shared<const proto::v1::ConfigDelta>(s.twin.snapshot(in_force));
  if (other) out.other = std::make_shared<const proto::v1::ConfigDelta>(s.twin.snapshot(*other));
  return out;
}

// What the last Keep put on disk.
Keep kept(AgentStory& s) {
  const auto all = s.took<Keep>();
  return all.empty() ? Keep{} : all.back();
}

TEST(AgentConfig, IsInstalledKeptAndThenAcknowledged) {
  AgentStory s;
  s.up().forget().delta(s.twin.snapshot(s.twin.config(1, 1)));
  ASSERT_EQ(s.fresh.size(), 3u) << s;
  EXPECT_TRUE(std::holds_alternative<Install>(s.fresh[0])) << s;
  EXPECT_TRUE(std::holds_alternative<Keep>(s.fresh[1])) << s;
  ASSERT_EQ(s.acks().size(), 1u) << s;
  EXPECT_TRUE(s.acks()[0].applied());
  EXPECT_EQ(s.acks()[0].version(), 1u);
  EXPECT_FALSE(s.took<Install>()[0].from_disk);
}

TEST(AgentConfig, DeltasBuildOnWhatIsHeld) {
  AgentStory s;
  const auto first = s.twin.config(1, 1);
  auto second = s.twin.config(1, 2);
  second.mutable_tenants()->Clear();
  *second.add_nodes() = s.twin.node(20);
  proto::canonicalise(second);
  s.up().delta(s.twin.snapshot(first)).delta(s.twin.delta(first, second));
  EXPECT_EQ(s.version(), 2u) << s;
  EXPECT_EQ(s.machine.held()->config->nodes_size(), 4);
  EXPECT_EQ(s.machine.held()->config->tenants_size(), 0);
  EXPECT_TRUE(s.acks().back().applied());
}

struct Spoiled {
  const char* name;
  void (*spoil)(AgentStory&, proto::v1::ConfigDelta&);
  const char* reason;
};
class AgentConfigRefuses : public testing::TestWithParam<Spoiled> {};

TEST_P(AgentConfigRefuses, WithAReasonAndGoesOnWithWhatItHolds) {
  AgentStory s;
  const auto first = s.twin.config(2, 5);
  s.up().delta(s.twin.snapshot(first)).forget();
  auto delta = s.twin.snapshot(s.twin.config(2, 6));
  GetParam().spoil(s, delta);
  s.delta(delta);
  EXPECT_EQ(s.version(), 5u) << s;
  EXPECT_TRUE(s.took<Install>().empty()) << s;
  EXPECT_TRUE(s.took<Keep>().empty()) << s;
  ASSERT_EQ(s.acks().size(), 1u) << s;
  EXPECT_FALSE(s.acks()[0].applied());
  EXPECT_THAT(s.acks()[0].error(), HasSubstr(GetParam().reason)) << s;
  EXPECT_THAT(s.notes(), Contains("config_refused"));
  EXPECT_EQ(s.state(), State::Syncing) << "one bad configuration does not end the session" << s;
  s.delta(s.twin.snapshot(s.twin.config(2, 6)));
  EXPECT_EQ(s.version(), 6u) << "a good one mends it" << s;
}

INSTANTIATE_TEST_SUITE_P(
    All, AgentConfigRefuses,
    testing::Values(
        Spoiled{"altered",
                [](AgentStory&, proto::v1::ConfigDelta& d) {
                  d.mutable_upserts()->mutable_nodes(1)->set_name("x");
                },
                "signed"},
        Spoiled{"wrong_digest",
                [](AgentStory&, proto::v1::ConfigDelta& d) { d.mutable_digest()->at(0) ^= 1; }, "signed"},
        Spoiled{"wrong_signature",
                [](AgentStory&, proto::v1::ConfigDelta& d) { d.mutable_signature()->at(0) ^= 1; },
                "does not verify"},
        Spoiled{"older_version",
                [](AgentStory& s, proto::v1::ConfigDelta& d) { d = s.twin.snapshot(s.twin.config(2, 4)); },
                "older than the one held"},
        Spoiled{"older_epoch",
                [](AgentStory& s, proto::v1::ConfigDelta& d) { d = s.twin.snapshot(s.twin.config(1, 99)); },
                "older than the one held"},
        Spoiled{"another_node",
                [](AgentStory& s, proto::v1::ConfigDelta& d) {
                  auto c = s.twin.config(2, 6);
                  c.set_node_id(ControllerTwin::kPeer);
                  d = s.twin.snapshot(c);
                },
                "another node"},
        Spoiled{"delta_of_what_is_not_held",
                [](AgentStory& s, proto::v1::ConfigDelta& d) {
                  d = s.twin.delta(s.twin.config(2, 3), s.twin.config(2, 6));
                },
                "not held"},
        Spoiled{"unbound_key",
                [](AgentStory& s, proto::v1::ConfigDelta& d) {
                  auto c = s.twin.config(2, 6);
                  c.mutable_nodes(1)->set_x25519_public(std::string(32, 'Z'));
                  d = s.twin.snapshot(c);
                },
                "not bound by this domain's CA"},
        Spoiled{"binding_of_another_node",
                [](AgentStory& s, proto::v1::ConfigDelta& d) {
                  auto c = s.twin.config(2, 6);
                  c.mutable_nodes(1)->set_x25519_public(c.nodes(2).x25519_public());
                  c.mutable_nodes(1)->set_binding_signature(c.nodes(2).binding_signature());
                  d = s.twin.snapshot(c);
                },
                "not bound by this domain's CA"},
        Spoiled{"does_not_compile",
                [](AgentStory& s, proto::v1::ConfigDelta& d) {
                  auto c = s.twin.config(2, 6);
                  c.mutable_nodes(1)->set_name("broken");
                  d = s.twin.snapshot(c);
                },
                "node is broken"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(AgentConfig, NodesOfOtherDomainsAreVouchedForByTheSignatureAlone) {
  AgentStory s;
  auto config = s.twin.config(1, 1);
  auto& stranger = *config.add_nodes();
  stranger = s.twin.node(30, ControllerTwin::kDomain + 1);
  stranger.set_binding_signature("of a CA that we do not know");
  proto::canonicalise(config);
  s.up().delta(s.twin.snapshot(config));
  EXPECT_TRUE(s.acks().back().applied()) << s;
}

TEST(AgentConfig, ThreeBadOnesInARowEndTheSession) {
  AgentStory s;
  auto bad = s.twin.snapshot(s.twin.config(1, 1));
  bad.mutable_signature()->at(0) ^= 1;
  s.up().delta(bad).delta(bad);
  EXPECT_EQ(s.state(), State::Syncing) << s;
  s.delta(bad);
  EXPECT_EQ(s.state(), State::Backoff) << s;
  EXPECT_EQ(s.took<Disconnect>().size(), 1u) << s;
}

TEST(AgentConfig, FromDiskIsVerifiedAndInForceBeforeAnyController) {
  AgentStory s;
  s.load(stored(s, s.twin.config(3, 4)));
  ASSERT_EQ(s.took<Install>().size(), 1u) << s;
  EXPECT_TRUE(s.took<Install>()[0].from_disk);
  EXPECT_EQ(s.version(), 4u);
  EXPECT_TRUE(s.took<Connect>().empty());
}

TEST(AgentConfig, FromDiskIsNotUsedWhenItWasTamperedWith) {
  AgentStory s;
  auto tampered = s.twin.snapshot(s.twin.config(3, 4));
  tampered.mutable_upserts()->mutable_nodes(1)->mutable_lines(0)->set_address("203.0.113.66");
  StoredConfig on_disk;
  on_disk.in_force = std::make_shared<const proto::v1::ConfigDelta>(tampered);
  s.load(on_disk);
  EXPECT_TRUE(s.took<Install>().empty()) << s;
  EXPECT_THAT(s.notes(), Contains("config_refused")) << s;
  EXPECT_THAT(s.machine.last_error(), HasSubstr("stored configuration is not used")) << s;
  s.up().delta(s.twin.snapshot(s.twin.config(3, 5)));
  EXPECT_EQ(s.version(), 5u) << "the controller mends it" << s;
}

// ---- trial commit ----

TEST(AgentTrial, ASilentLossForThirtySecondsBringsBackTheProvenOne) {
  AgentStory s;
  s.up().delta(s.twin.snapshot(s.twin.config(1, 1))).pong().after_answered(60s);
  s.delta(s.twin.delta(s.twin.config(1, 1), s.twin.config(1, 2)));
  EXPECT_TRUE(s.machine.on_trial());
  EXPECT_EQ(kept(s).other->version().version, 1u) << "the way back is on disk too" << s;
  s.forget().after(4s);  // silent: the session is given up
  EXPECT_EQ(s.version(), 2u) << s;
  s.after(29s);
  EXPECT_EQ(s.version(), 2u) << s;
  s.after(1s);
  EXPECT_EQ(s.version(), 1u) << s;
  ASSERT_EQ(s.took<Install>().size(), 1u) << s;
  EXPECT_TRUE(s.took<Install>()[0].rolled_back);
  EXPECT_THAT(s.notes(), Contains("config_rolled_back"));
  EXPECT_FALSE(s.machine.on_trial());
  EXPECT_EQ(kept(s).in_force->version().version, 1u);
  EXPECT_EQ(kept(s).other->version().version, 2u) << "what was undone is remembered" << s;
}

TEST(AgentTrial, AnAnswerUnderTheNewOneProvesIt) {
  AgentStory s;
  s.up().delta(s.twin.snapshot(s.twin.config(1, 1))).pong().after_answered(60s);
  s.delta(s.twin.delta(s.twin.config(1, 1), s.twin.config(1, 2))).after_answered(3s);
  EXPECT_FALSE(s.machine.on_trial()) << s;
  EXPECT_EQ(kept(s).other, nullptr) << s;
  s.forget().after(120s);
  EXPECT_EQ(s.version(), 2u) << s;
  EXPECT_THAT(s.notes(), Not(Contains("config_rolled_back"))) << s;
}

TEST(AgentTrial, AControllerThatDiesUndoesNothing) {
  AgentStory s;
  s.up().delta(s.twin.snapshot(s.twin.config(1, 1))).pong().after_answered(60s);
  s.delta(s.twin.delta(s.twin.config(1, 1), s.twin.config(1, 2)));
  s.after(100ms).lost(Loss::ByPeer, "read: end of file");  // killed a moment after it pushed
  for (int i = 0; i < 120; ++i) {
    s.after(1s);
    if (s.state() == State::Connecting) s.lost(Loss::ByPeer, "connect: refused");
  }
  EXPECT_EQ(s.version(), 2u) << s;
  EXPECT_FALSE(s.machine.on_trial()) << s;
}

TEST(AgentTrial, ASessionThatComesBackInTimeEndsTheWait) {
  AgentStory s;
  s.up().delta(s.twin.snapshot(s.twin.config(1, 1))).pong().after_answered(60s);
  s.delta(s.twin.delta(s.twin.config(1, 1), s.twin.config(1, 2))).lost(Loss::Silent).after(20s);
  while (s.state() != State::Connecting) s.after(10ms);
  s.connected().after_answered(60s);
  EXPECT_EQ(s.version(), 2u) << s;
  EXPECT_FALSE(s.machine.on_trial()) << s;
}

TEST(AgentTrial, HappensOnceForEachConfiguration) {
  AgentStory s;
  s.up().delta(s.twin.snapshot(s.twin.config(1, 1))).pong().after_answered(60s);
  s.delta(s.twin.delta(s.twin.config(1, 1), s.twin.config(1, 2))).lost(Loss::Silent).after(31s);
  ASSERT_EQ(s.version(), 1u) << s;
  while (s.state() != State::Connecting) s.after(10ms);
  s.connected().delta(s.twin.delta(s.twin.config(1, 1), s.twin.config(1, 2)));
  EXPECT_EQ(s.version(), 2u) << "the controller insists" << s;
  s.lost(Loss::Silent).after(120s);
  EXPECT_EQ(s.version(), 2u) << s;
}

TEST(AgentTrial, WhatWasUndoneIsStillTheFloor) {
  AgentStory s;
  s.up().delta(s.twin.snapshot(s.twin.config(1, 1))).pong().after_answered(60s);
  s.delta(s.twin.delta(s.twin.config(1, 1), s.twin.config(1, 5))).lost(Loss::Silent).after(31s);
  ASSERT_EQ(s.version(), 1u) << s;
  while (s.state() != State::Connecting) s.after(10ms);
  s.connected().forget().delta(s.twin.delta(s.twin.config(1, 1), s.twin.config(1, 3)));
  EXPECT_EQ(s.version(), 1u) << "a replayed version between the two is older than what was held" << s;
  EXPECT_THAT(s.acks().at(0).error(), HasSubstr("older than epoch 1 version 5")) << s;
}

TEST(AgentTrial, RevocationOutlivesARollback) {
  AgentStory s;
  auto second = s.twin.config(1, 2);
  s.up().delta(s.twin.snapshot(s.twin.config(1, 1))).pong().after_answered(60s);
  second.add_denied_headends(ControllerTwin::kRelay);
  s.delta(s.twin.delta(s.twin.config(1, 1), second)).lost(Loss::Silent).after(31s);
  ASSERT_EQ(s.version(), 1u) << s;
  const auto& effective = *s.machine.held()->effective;
  EXPECT_EQ(effective.denied_headends_size(), 1) << s;
  for (const auto& n : effective.nodes()) EXPECT_NE(n.node_id(), ControllerTwin::kRelay);
  for (const auto& p : effective.policies()) EXPECT_EQ(p.paths_size(), 1) << "the list through it is gone";
  while (s.state() != State::Connecting) s.after(10ms);
  s.connected().forget().delta(s.twin.delta(s.twin.config(1, 1), s.twin.config(1, 6)));
  EXPECT_THAT(s.acks().at(0).error(), HasSubstr("denied")) << "nor may a later one forget it" << s;
}

TEST(AgentTrial, UnderAStreamOfVersionsEachIsProvenByWhatFollows) {
  AgentStory s;
  auto held = s.twin.config(1, 1);
  s.up().delta(s.twin.snapshot(held)).pong().after_answered(10s);
  for (std::uint64_t v = 2; v < 40; ++v) {
    const auto next = s.twin.config(1, v);
    s.delta(s.twin.delta(held, next)).after_answered(500ms);
    held = next;
  }
  s.forget().lost(Loss::Silent).after(31s);
  EXPECT_GE(s.version(), 34u) << "the fallback is a few versions old, not the first" << s;
  EXPECT_LT(s.version(), 39u) << s;
}

TEST(AgentTrial, GoesOnAfterTheBoxRestarts) {
  AgentStory s;
  const auto proven = s.twin.config(1, 1);
  s.load(stored(s, s.twin.config(1, 2), &proven)).start();
  EXPECT_EQ(s.version(), 2u);
  s.after(31s);
  EXPECT_EQ(s.version(), 1u) << s;
}

TEST(AgentTrial, ARolledBackBoxStaysRolledBackOverARestart) {
  AgentStory s;
  auto undone = s.twin.config(1, 2);
  undone.add_denied_headends(ControllerTwin::kRelay);
  s.load(stored(s, s.twin.config(1, 1), &undone)).start();
  EXPECT_EQ(s.version(), 1u) << s;
  EXPECT_EQ(s.machine.held()->effective->denied_headends_size(), 1);
  s.after(120s);
  EXPECT_EQ(s.version(), 1u) << s;
}

}  // namespace
}  // namespace qanat::agent
