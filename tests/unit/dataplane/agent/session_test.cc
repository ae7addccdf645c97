// The session's life: states and events of agent_machine.hh's table, row by row.
#include <gmock/gmock.h>

#include "tests/unit/dataplane/agent/agent_story.hh"

namespace qanat::agent {
namespace {

using State = AgentMachine::State;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

TEST(AgentSession, FirstStartEnrolsWithThePinnedCaAndThenComesBackAsItself) {
  AgentStory s(false);
  s.start();
  ASSERT_EQ(s.took<Connect>().size(), 1u) << s;
  EXPECT_TRUE(s.took<Connect>()[0].enrol);
  EXPECT_EQ(s.state(), State::Connecting);

  s.forget().connected();
  EXPECT_EQ(s.took<SendEnrolment>().size(), 1u) << s;
  EXPECT_TRUE(s.took<Send>().empty()) << "nothing else is said before enrolment" << s;
  EXPECT_EQ(s.state(), State::Enrolling);

  proto::v1::Envelope reply;
  reply.mutable_enrolled()->set_node_id(ControllerTwin::kSelf);
  s.forget().hears(reply);
  ASSERT_EQ(s.took<AdoptEnrolment>().size(), 1u) << s;
  EXPECT_EQ(s.took<AdoptEnrolment>()[0].reply.node_id(), ControllerTwin::kSelf);

  s.forget();
  s.machine.on_enrolled(s.twin.enrolment(), s.now);
  s.after(0s);
  EXPECT_EQ(s.state(), State::Connecting);
  s.connected();
  ASSERT_EQ(s.took<Connect>().size(), 1u) << s;
  EXPECT_FALSE(s.took<Connect>()[0].enrol) << "mutual TLS from here on";
  ASSERT_EQ(s.sent(proto::v1::Envelope::kHello).size(), 1u) << s;
  EXPECT_EQ(s.state(), State::Syncing);
}

TEST(AgentSession, HelloTellsWhoWeAreAndWhatWeHold) {
  AgentStory s;
  s.up();
  auto hello = s.sent(proto::v1::Envelope::kHello).at(0).hello();
  EXPECT_EQ(hello.protocol(), 1u);
  EXPECT_EQ(hello.node_id(), ControllerTwin::kSelf);
  EXPECT_EQ(hello.epoch(), 0u);
  EXPECT_EQ(hello.software(), "story");

  s.delta(s.twin.snapshot(s.twin.config(2, 5))).lost(Loss::ByPeer).forget().after(1s).connected();
  hello = s.sent(proto::v1::Envelope::kHello).at(0).hello();
  EXPECT_EQ(hello.epoch(), 2u) << s;
  EXPECT_EQ(hello.version(), 5u) << s;
}

TEST(AgentSession, SteadyOnceAPongAnsweredAndAConfigurationIsHeld) {
  AgentStory s;
  s.up().pong();
  EXPECT_EQ(s.state(), State::Syncing) << "nothing held yet" << s;
  s.delta(s.twin.snapshot(s.twin.config(1, 1)));
  EXPECT_EQ(s.state(), State::Syncing) << s;
  s.after(1s).pong();
  EXPECT_EQ(s.state(), State::Steady) << s;
  EXPECT_THAT(s.notes(), Contains("controller_connected"));
}

TEST(AgentSession, AnswersPings) {
  AgentStory s;
  s.up().forget();
  proto::v1::Envelope ping;
  ping.set_ping(4242);
  s.hears(ping);
  ASSERT_EQ(s.sent(proto::v1::Envelope::kPong).size(), 1u) << s;
  EXPECT_EQ(s.sent(proto::v1::Envelope::kPong)[0].pong(), 4242u);
}

TEST(AgentSession, PingsEachSecondAndGivesUpAfterFourSilentOnes) {
  AgentStory s;
  s.up().delta(s.twin.snapshot(s.twin.config(1, 1))).pong().forget();
  s.after(3900ms);
  EXPECT_EQ(s.sent(proto::v1::Envelope::kPing).size(), 3u) << s;
  EXPECT_EQ(s.state(), State::Steady) << s;
  s.after(100ms);
  EXPECT_EQ(s.state(), State::Backoff) << s;
  EXPECT_EQ(s.took<Disconnect>().size(), 1u) << s;
  EXPECT_THAT(s.notes(), Contains("controller_lost"));
  EXPECT_EQ(s.version(), 1u) << "forwarding goes on with what is held";
}

TEST(AgentSession, TelemetryGoesOutAtTheConfiguredIntervalOnlyWhileSteady) {
  AgentStory s;
  auto config = s.twin.config(1, 1);
  config.mutable_probe_plan()->set_report_interval_ms(200);
  s.up().delta(s.twin.snapshot(config));
  EXPECT_TRUE(s.took<CollectTelemetry>().empty()) << s;
  s.pong().forget().after(1s);
  const auto collected = s.took<CollectTelemetry>();
  ASSERT_EQ(collected.size(), 5u) << s;
  EXPECT_EQ(collected[0].sequence, 1u);
  EXPECT_EQ(collected[4].sequence, 5u);
  EXPECT_TRUE(collected[0].anew);
  EXPECT_FALSE(collected[1].anew);
  s.lost(Loss::ByPeer).forget().after(50ms);
  EXPECT_TRUE(s.took<CollectTelemetry>().empty()) << s;
}

TEST(AgentSession, TriesEveryAddressInTurnWithoutWaitingThenBacksOff) {
  AgentStory s(true, {"a:1", "b:2", "c:3"});
  s.start().lost(Loss::ByPeer).after(0s).lost(Loss::ByPeer).after(0s);
  std::vector<std::string> tried;
  for (const auto& c : s.took<Connect>()) tried.push_back(c.address);
  EXPECT_THAT(tried, ElementsAre("a:1", "b:2", "c:3")) << s;
  s.forget().lost(Loss::ByPeer).after(99ms);
  EXPECT_TRUE(s.took<Connect>().empty()) << "a fruitless round is followed by a wait" << s;
  s.after(101ms);
  ASSERT_EQ(s.took<Connect>().size(), 1u) << s;
  EXPECT_EQ(s.took<Connect>()[0].address, "a:1");
}

TEST(AgentSession, BackoffGrowsToTwoSecondsAndNoFurther) {
  AgentStory s;
  s.start();
  base::Duration longest{};
  for (int round = 0; round < 12; ++round) {
    s.forget().lost(Loss::ByPeer);
    const base::Time since = s.now;
    while (s.took<Connect>().empty()) s.after(1ms);
    longest = std::max<base::Duration>(longest, s.now - since);
    EXPECT_LE(s.now - since, 2001ms) << s;
  }
  EXPECT_GE(longest, 1000ms) << s;
}

TEST(AgentSession, ARestartedControllerIsFoundWithinTenSeconds) {
  for (const auto down : {1s, 5s, 20s, 300s}) {
    AgentStory s;
    s.up().delta(s.twin.snapshot(s.twin.config(1, 1))).pong().after_answered(60s).lost(Loss::ByPeer);
    const base::Time back = s.now + down;
    const auto refuse_while_down = [&] {
      while (s.now < back) {
        s.after(10ms);
        if (s.state() == State::Connecting) s.lost(Loss::ByPeer, "connect: refused");
      }
    };
    refuse_while_down();
    while (s.state() != State::Connecting) s.after(10ms);
    EXPECT_LE(s.now - back, 5s) << s;
    s.connected().pong();
    EXPECT_EQ(s.state(), State::Steady) << s;
  }
}

TEST(AgentSession, AConnectThatHangsIsGivenUpAfterThreeSeconds) {
  AgentStory s(true, {"a:1", "b:2"});
  s.start().forget().after(2999ms);
  EXPECT_EQ(s.state(), State::Connecting);
  s.after(1ms);
  EXPECT_EQ(s.took<Disconnect>().size(), 1u) << s;
  ASSERT_EQ(s.took<Connect>().size(), 1u) << s;
  EXPECT_EQ(s.took<Connect>()[0].address, "b:2");
}

TEST(AgentSession, AnEnrolmentThatHangsIsGivenUpAfterFiveSeconds) {
  AgentStory s(false);
  s.up().forget().after(5s);
  EXPECT_EQ(s.took<Disconnect>().size(), 1u) << s;
  EXPECT_EQ(s.state(), State::Backoff) << s;
}

TEST(AgentSession, AFinalRefusalWaitsHalfAMinuteForAPerson) {
  AgentStory s(false);
  s.up().forget().refusal("token_used", false);
  EXPECT_EQ(s.state(), State::Refused) << s;
  EXPECT_EQ(s.took<Disconnect>().size(), 1u);
  EXPECT_THAT(s.machine.last_error(), HasSubstr("token_used"));
  s.forget().after(29s);
  EXPECT_TRUE(s.took<Connect>().empty()) << s;
  s.after(1s);
  EXPECT_EQ(s.took<Connect>().size(), 1u) << s;
}

TEST(AgentSession, ARetryableRefusalIsRetriedSoon) {
  AgentStory s;
  s.up().refusal("busy", true);
  EXPECT_EQ(s.state(), State::Backoff) << s;
  s.forget().after(1s);
  EXPECT_EQ(s.took<Connect>().size(), 1u) << s;
}

TEST(AgentSession, AnEnrolmentThatTheShellCannotAcceptIsRefused) {
  AgentStory s(false);
  s.up();
  proto::v1::Envelope reply;
  reply.mutable_enrolled()->set_node_id(1);
  s.hears(reply).forget();
  s.machine.on_enrolment_bad("its CA is not the one", s.now);
  EXPECT_EQ(s.state(), State::Refused);
  EXPECT_FALSE(s.machine.enrolment().has_value());
  EXPECT_THAT(s.machine.last_error(), HasSubstr("its CA is not the one"));
}

// Messages that a controller never sends in a state end the session; in states without a session nothing is heard.
TEST(AgentSession, MessagesThatDoNotBelongEndTheSession) {
  const auto bodies = [] {
    std::vector<proto::v1::Envelope> all(9);
    all[0].mutable_enrol();
    all[1].mutable_hello();
    all[2].mutable_ack();
    all[3].mutable_telemetry();
    all[4].mutable_domain_report();
    all[5].mutable_domain_directive();
    all[6].mutable_mint();
    all[7].mutable_minted();
    all[8].mutable_enrolled();
    return all;
  }();
  for (const auto& body : bodies) {
    AgentStory s;
    s.up().delta(s.twin.snapshot(s.twin.config(1, 1))).pong().forget().hears(body);
    EXPECT_EQ(s.state(), State::Backoff) << s;
    EXPECT_EQ(s.took<Disconnect>().size(), 1u) << s;
  }
  for (const bool ping : {true, false}) {
    AgentStory s(false);
    s.up().forget();
    proto::v1::Envelope body;
    ping ? body.set_ping(1) : body.set_pong(1);
    s.hears(body);
    EXPECT_EQ(s.state(), State::Backoff) << "an enrolling box only waits for its reply" << s;
  }
  AgentStory s(false);
  s.up().forget().delta(s.twin.snapshot(s.twin.config(1, 1)));
  EXPECT_EQ(s.state(), State::Backoff) << s;
  EXPECT_TRUE(s.took<Install>().empty()) << "no configuration before enrolment" << s;
}

TEST(AgentSession, EventsOfAConnectionThatWasGivenUpAreIgnored) {
  AgentStory s;
  const auto late_events = [&](State expected) {
    s.forget();
    s.connected().delta(s.twin.snapshot(s.twin.config(9, 9))).pong().refusal("late", false);
    s.machine.on_enrolled(s.twin.enrolment(), s.now);
    s.machine.on_enrolment_bad("late", s.now);
    s.lost(Loss::Silent);
    EXPECT_EQ(s.state(), expected) << s;
    EXPECT_TRUE(s.fresh.empty()) << s;
  };
  late_events(State::Idle);
  s.start().lost(Loss::ByPeer);
  late_events(State::Backoff);
  s.after(1s).connected().refusal("revoked", false);
  late_events(State::Refused);
  AgentStory connecting;
  connecting.start().forget().pong().refusal("early", false);
  EXPECT_EQ(connecting.state(), State::Connecting) << connecting;
}

TEST(AgentSession, TheSameFailureIsToldOnce) {
  AgentStory s;
  s.start();
  for (int i = 0; i < 5; ++i) {
    s.lost(Loss::ByPeer, "connect: refused");
    while (s.state() != State::Connecting) s.after(10ms);
  }
  EXPECT_THAT(s.notes(), ElementsAre("controller_unreachable")) << s;
  s.lost(Loss::ByPeer, "TLS handshake: certificate verify failed");
  EXPECT_EQ(s.notes().size(), 2u) << s;
}

TEST(AgentSession, AnOldPongProvesNothing) {
  AgentStory s;
  s.up();
  const auto old = s.last_ping;
  s.delta(s.twin.snapshot(s.twin.config(1, 1))).after(1s);
  proto::v1::Envelope pong;
  pong.set_pong(old);
  s.hears(pong);
  EXPECT_EQ(s.state(), State::Syncing) << s;
  s.pong();
  EXPECT_EQ(s.state(), State::Steady) << s;
}

}  // namespace
}  // namespace qanat::agent
