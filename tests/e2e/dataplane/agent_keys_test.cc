// Keys of boxes and controllers, one after another, over live sessions: the CA, a static key, the network key.
#include "dataplane/agent/state_store.hh"
#include "tests/e2e/dataplane/agent_world.hh"

namespace qanat::agent {
namespace {

TEST_F(AgentEndToEnd, TheCaIsReplacedWithoutAStop) {
  Box near(folder, "near", *controller, controller->token("near"));
  Box far(folder, "far", *controller, controller->token("far"));
  near.start();
  far.start();
  ASSERT_TRUE(near.until([&] { return near.steady() && far.steady(); }, &far)) << controller->log();
  const auto sessions = near.agent->status().sessions;
  const std::string before = controller->ask("GET", "/v1/ca").at("fingerprint");
  const std::string old_token = controller->token("late");

  // One box is away: both CAs are believed by the other, and the rotation waits.
  far.stop();
  const std::string signing = StateStore(far.state("")).enrolment()->config_public();
  controller->ask("POST", "/v1/ca/rotate");
  ASSERT_TRUE(near.until([&] { return controller->ask("GET", "/v1/ca").at("done") == 1; }))
      << controller->log();
  EXPECT_EQ(controller->ask("GET", "/v1/ca").at("phase"), "announced");
  EXPECT_EQ(controller->ask("GET", "/v1/ca").at("waiting_for"), json({"far (away)"}));
  EXPECT_THROW(controller->ask("POST", "/v1/ca/rotate"), std::runtime_error) << "one at a time";

  // A kill -9 of the controller forgets nothing of it.
  controller->end(SIGKILL);
  controller->start();
  EXPECT_EQ(controller->ask("GET", "/v1/ca").at("phase"), "announced");

  far.start();
  ASSERT_TRUE(near.until(
      [&] {
        const json status = controller->ask("GET", "/v1/ca");
        return status.at("phase") == "stable" && status.at("fingerprint") != before;
      },
      &far, 30s))
      << controller->ask("GET", "/v1/ca").dump() << controller->log() << near.told.str();
  EXPECT_EQ(near.agent->status().sessions, sessions + 1) << "only the controller's end closed a session";
  EXPECT_THAT(near.told.str(), HasSubstr("cas_changed"));

  // Both come up again on what they hold: certificate, CA and stored configuration are all the new one's.
  ASSERT_TRUE(near.until([&] { return far.told.str().find("1 in force") != std::string::npos; }, &far));
  near.stop();
  EXPECT_NE(StateStore(near.state("")).enrolment()->config_public(), signing) << "signed by a new key";
  controller->end(SIGKILL);
  near.start();
  EXPECT_TRUE(near.latest.from_disk) << near.told.str();
  controller->start();
  ASSERT_TRUE(near.until([&] { return near.steady(); }, &far)) << controller->log();
  // A token of the old CA's day finds nobody to trust; a new one does.
  Box late(folder, "late", *controller, old_token);
  late.start();
  ASSERT_TRUE(late.until([&] { return !late.agent->status().last_error.empty(); }));
  EXPECT_FALSE(late.agent->status().enrolled);
  late.stop();
  folder.write("late.join", controller->token("late"));
  late.start();
  ASSERT_TRUE(late.until([&] { return late.steady(); })) << late.told.str();
}

TEST_F(AgentEndToEnd, AStaticKeyIsOnDiskBeforeItsPeersHearOfIt) {
  Box near(folder, "near", *controller, controller->token("near"));
  Box far(folder, "far", *controller, controller->token("far"));
  near.start();
  far.start();
  ASSERT_TRUE(near.until([&] { return near.steady() && far.steady(); }, &far)) << controller->log();
  const auto before = near.agent->static_keys().public_key;
  const ids::NodeId self{near.agent->status().node};
  controller->ask("POST", "/v1/nodes/near/rotate-key");
  ASSERT_TRUE(near.until([&] { return near.agent->static_keys().public_key != before; }, &far))
      << near.told.str();
  const auto after = near.agent->static_keys().public_key;
  ASSERT_TRUE(near.until([&] { return far.latest.snapshot->peer(self)->x25519 == after; }, &far));
  ASSERT_NE(near.agent->previous_static_keys(), nullptr);
  EXPECT_EQ(near.agent->previous_static_keys()->public_key, before);
  EXPECT_TRUE(far.steady()) << "its binding verified: " << far.told.str();
  near.stop();
  near.start();
  EXPECT_EQ(near.agent->static_keys().public_key, after);
  ASSERT_NE(near.agent->previous_static_keys(), nullptr) << "it answers to the old one for a day";
  ASSERT_TRUE(near.until([&] { return near.steady(); }, &far));
  EXPECT_THROW(controller->ask("POST", "/v1/nodes/nobody/rotate-key"), std::runtime_error);
}

TEST_F(AgentEndToEnd, TheNetworkKeyIsReplacedOnceEverybodyBelievesTheNext) {
  Box near(folder, "near", *controller, controller->token("near"));
  Box far(folder, "far", *controller, controller->token("far"));
  near.start();
  far.start();
  ASSERT_TRUE(near.until([&] { return near.steady() && far.steady(); }, &far)) << controller->log();
  const auto before = near.latest.snapshot->network_psk();
  far.stop();
  controller->ask("POST", "/v1/network-key/rotate");
  ASSERT_TRUE(near.until([&] { return !(near.latest.snapshot->next_network_psk() == before); }));
  EXPECT_TRUE(near.latest.snapshot->network_psk() == before) << "not while one is away";
  far.start();
  ASSERT_TRUE(near.until(
      [&] {
        return !(near.latest.snapshot->network_psk() == before) &&
               near.latest.snapshot->network_psk() == far.latest.snapshot->network_psk();
      },
      &far))
      << controller->ask("GET", "/v1/network-key").dump();
  ASSERT_TRUE(near.until(
      [&] {
        const json status = controller->ask("GET", "/v1/network-key");
        return status.at("phase") == "stable" && status.at("done") == 2;
      },
      &far));
}

}  // namespace
}  // namespace qanat::agent
