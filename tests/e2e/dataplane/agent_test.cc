// A box's agent against the real qanat-controller, over loopback TCP and TLS:
//
//   Agent "near" ─┐                        ┌─ REST on its Unix socket: join tokens, tenants, nodes, matrix
//                 ├─ 127.0.0.1:port ── qanat-controller (domain 1) ── SQLite
//   Agent "far"  ─┘
//
// Needs neither root nor TUN: no packet is forwarded here.
#include "tests/e2e/dataplane/agent_world.hh"

namespace qanat::agent {
namespace {

TEST_F(AgentEndToEnd, EnrolsSyncsAndReports) {
  Box near(folder, "near", *controller, controller->token("near"));
  Box far(folder, "far", *controller, controller->token("far"));
  near.start();
  far.start();
  ASSERT_TRUE(near.until([&] { return near.steady() && far.steady(); }, &far)) << controller->log();
  const auto far_id = far.agent->status().node;
  EXPECT_NE(far_id, near.agent->status().node);
  EXPECT_EQ(near.agent->status().domain, 1u);
  controller->put_tenant("lab", 100, {"near", "far"});
  ASSERT_TRUE(near.until(
      [&] {
        return near.has_tenant(100) && far.has_tenant(100) && near.latest.snapshot->peer(ids::NodeId{far_id});
      },
      &far));
  EXPECT_EQ(near.latest.snapshot->peer(ids::NodeId{far_id})->x25519, far.agent->static_keys().public_key);
  EXPECT_EQ(near.latest.snapshot->epoch(), near.agent->status().epoch);

  // What a box measures reaches the controller's matrix.
  near.peer = far_id;
  far.peer = near.agent->status().node;
  ASSERT_TRUE(near.until(
      [&] {
        for (const auto& link : controller->ask("GET", "/v1/matrix")) {
          if (link.at("from") == "near" && link.at("to") == "far" && link.at("alive") == true) return true;
        }
        return false;
      },
      &far))
      << controller->ask("GET", "/v1/matrix") << controller->log();
  EXPECT_GT(near.collected, 0);
}

TEST_F(AgentEndToEnd, AKilledControllerStopsNothingAndIsFoundAgainWithinTenSeconds) {
  Box near(folder, "near", *controller, controller->token("near"));
  near.start();
  ASSERT_TRUE(near.until([&] { return near.steady(); })) << controller->log();
  const auto snapshot = near.latest.snapshot;
  const int applied = near.times_applied;

  controller->end(SIGKILL);
  ASSERT_TRUE(near.until([&] { return !near.agent->status().connected; }));
  const auto later = std::chrono::steady_clock::now() + 3s;
  ASSERT_TRUE(near.until([&] { return std::chrono::steady_clock::now() > later; }));
  EXPECT_EQ(near.times_applied, applied) << "nothing was taken away";
  EXPECT_EQ(near.latest.snapshot, snapshot);

  controller->start();
  const auto back = std::chrono::steady_clock::now();
  ASSERT_TRUE(near.until([&] { return near.steady(); }, nullptr, 10s)) << controller->log();
  RecordProperty("found_again_ms", static_cast<int>((std::chrono::steady_clock::now() - back) / 1ms));
  controller->put_tenant("late", 101, {"near"});
  ASSERT_TRUE(near.until([&] { return near.has_tenant(101); })) << controller->log();
}

TEST_F(AgentEndToEnd, ComesUpAloneFromDiskAndThenSyncsFromWhateverItHolds) {
  Box near(folder, "near", *controller, controller->token("near"));
  near.start();
  ASSERT_TRUE(near.until([&] { return near.steady(); })) << controller->log();
  controller->put_tenant("a", 100, {"near"});
  ASSERT_TRUE(near.until([&] { return near.has_tenant(100); })) << controller->log();
  const auto version = near.agent->status().version;
  const auto boot = near.agent->boot();
  const auto key = near.agent->static_keys().public_key;
  near.stop();

  // Without any controller: the last signed configuration is in force before start() returns.
  controller->end(SIGKILL);
  near.start();
  EXPECT_TRUE(near.latest.from_disk);
  EXPECT_TRUE(near.has_tenant(100));
  EXPECT_EQ(near.agent->status().version, version);
  EXPECT_EQ(near.agent->boot(), boot + 1);
  EXPECT_EQ(near.agent->static_keys().public_key, key);
  near.stop();

  // Several versions on: one delta takes it there.
  controller->start();
  for (int vni = 101; vni < 106; ++vni) controller->put_tenant("t" + std::to_string(vni), vni, {"near"});
  near.start();
  ASSERT_TRUE(near.until([&] { return near.has_tenant(105) && near.steady(); }))
      << near.told.str() << controller->log();
  EXPECT_TRUE(near.has_tenant(101));
  near.stop();

  // Without any configuration: a full snapshot.
  std::filesystem::remove(near.state("config"));
  near.start();
  EXPECT_FALSE(near.latest.snapshot);
  ASSERT_TRUE(near.until([&] { return near.has_tenant(105) && near.steady(); })) << controller->log();
}

TEST_F(AgentEndToEnd, ATamperedConfigurationOnDiskIsRefusedByName) {
  Box near(folder, "near", *controller, controller->token("near"));
  near.start();
  ASSERT_TRUE(near.until([&] { return near.steady(); })) << controller->log();
  near.stop();
  controller->end(SIGKILL);

  std::fstream file(near.state("config"), std::ios::in | std::ios::out | std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(file)), {});
  const auto at = bytes.find("near");
  ASSERT_NE(at, bytes.npos);
  file.seekp(static_cast<std::streamoff>(at));
  file << "fear";
  file.close();

  near.start();
  EXPECT_FALSE(near.latest.snapshot) << "not used";
  EXPECT_THAT(near.told.str(), HasSubstr("the stored configuration is not used"));
  controller->start();
  ASSERT_TRUE(near.until([&] { return near.steady() && near.latest.snapshot; }))
      << "mended by the controller";
}

TEST_F(AgentEndToEnd, ATokenWorksOnce) {
  const std::string token = controller->token("near");
  Box near(folder, "near", *controller, token);
  near.start();
  ASSERT_TRUE(near.until([&] { return near.agent->status().enrolled; })) << controller->log();
  Box thief(folder, "thief", *controller, token);
  thief.start();
  ASSERT_TRUE(thief.until([&] { return thief.agent->status().state == "refused"; }, &near))
      << controller->log();
  EXPECT_FALSE(thief.agent->status().enrolled);
  EXPECT_THAT(thief.agent->status().last_error, HasSubstr("refused: "));
}

TEST_F(AgentEndToEnd, NothingIsSaidToAServerUnderAnotherCa) {
  const std::string token = controller->token("near");
  auto other_ca = base::from_base64(token.substr(token.rfind('.') + 1)).value();
  other_ca[0] ^= 1;
  Box near(folder, "near", *controller, token.substr(0, token.rfind('.') + 1) + base::to_base64url(other_ca));
  near.start();
  ASSERT_TRUE(near.until([&] { return !near.agent->status().last_error.empty(); }));
  EXPECT_THAT(near.agent->status().last_error, HasSubstr("TLS handshake"));
  EXPECT_FALSE(near.agent->status().enrolled);
  near.stop();
  // The token was not given away: it still works.
  folder.write("near.join", token);
  near.start();
  ASSERT_TRUE(near.until([&] { return near.agent->status().enrolled; })) << controller->log();
}

TEST_F(AgentEndToEnd, AnEnrolledBoxRefusesAControllerOfAnotherCa) {
  Box near(folder, "near", *controller, controller->token("near"));
  near.start();
  ASSERT_TRUE(near.until([&] { return near.steady(); })) << controller->log();
  near.stop();
  Controller impostor(folder, "impostor");
  Box lured(folder, "near", impostor, "no token needed");
  lured.start();
  ASSERT_TRUE(lured.until([&] { return !lured.agent->status().last_error.empty(); }));
  EXPECT_THAT(lured.agent->status().last_error, HasSubstr("TLS handshake"));
  EXPECT_FALSE(lured.agent->status().connected);
  EXPECT_TRUE(lured.latest.from_disk) << "and forwards on what it holds";
}

TEST_F(AgentEndToEnd, ARevokedBoxIsTurnedAway) {
  Box near(folder, "near", *controller, controller->token("near"));
  Box far(folder, "far", *controller, controller->token("far"));
  near.start();
  far.start();
  ASSERT_TRUE(near.until([&] { return near.steady() && far.steady(); }, &far)) << controller->log();
  const ids::NodeId revoked{far.agent->status().node};
  controller->ask("DELETE", "/v1/nodes/far");
  ASSERT_TRUE(far.until([&] { return far.agent->status().state == "refused"; }, &near)) << controller->log();
  ASSERT_TRUE(near.until(
      [&] { return near.latest.snapshot->denied(revoked) && !near.latest.snapshot->peer(revoked); }));
}

}  // namespace
}  // namespace qanat::agent
