// A box's agent against the real qanat-controller, over loopback TCP and TLS:
//
//   Agent "near" ─┐                        ┌─ REST on its Unix socket: join tokens, tenants, nodes, matrix
//                 ├─ 127.0.0.1:port ── qanat-controller (domain 1) ── SQLite
//   Agent "far"  ─┘
//
// Needs neither root nor TUN: no packet is forwarded here.
#include "dataplane/agent/agent.hh"

#include <gmock/gmock.h>
#include <signal.h>

#include <boost/asio/io_context.hpp>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "base/hex.hh"
#include "base/http_client.hh"
#include "dataplane/agent/agent_machine.hh"
#include "dataplane/crypto/keys.hh"
#include "dataplane/fib/snapshot.hh"
#include "identifiers/proto/southbound.pb.h"
#include "tests/support/daemon_process.hh"

namespace qanat::agent {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using testing::HasSubstr;

class Controller {
 public:
  explicit Controller(const support::TempFolder& folder, const std::string& name = "city")
      : port_(support::free_port()),
        socket_(folder.file(name + ".sock")),
        process_("qanat-controller", {"--config", folder.write(name + ".toml", config(folder, name))},
                 folder.file(name + ".log")) {
    start();
  }

  void start() {
    process_.start();
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    while (std::chrono::steady_clock::now() < deadline) {
      if (!process_.running()) break;
      if (const auto answer = base::fetch_blocking("unix:" + socket_, {.target = "/v1/status"});
          answer && answer->status == 200) {
        return;
      }
      std::this_thread::sleep_for(50ms);
    }
    throw std::runtime_error("qanat-controller did not come up:\n" + process_.log());
  }
  void end(int signal) { process_.end(signal); }

  json ask(const std::string& method, const std::string& target, const json& body = nullptr) {
    base::ClientRequest request{.method = method, .target = target};
    if (!body.is_null()) request.body = body.dump();
    const auto answer = base::fetch_blocking("unix:" + socket_, std::move(request));
    if (!answer) throw std::runtime_error(method + " " + target + ": " + answer.error().message());
    if (answer->status / 100 != 2) {
      throw std::runtime_error(method + " " + target + ": " + std::to_string(answer->status) + " " +
                               answer->body);
    }
    return answer->body.empty() ? json() : json::parse(answer->body);
  }
  std::string token(const std::string& node) {
    return ask("POST", "/v1/join-tokens", {{"node", node}, {"relay", false}, {"ttl_s", 600}}).at("token");
  }
  void put_tenant(const std::string& name, int vni, const std::vector<std::string>& nodes) {
    json members = json::array();
    for (const auto& node : nodes) {
      members.push_back(
          {{"node", node}, {"addresses", {address_of(vni, node)}}, {"prefixes", json::array()}});
    }
    ask("PUT", "/v1/tenants/" + name, {{"vni", vni}, {"members", members}});
  }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  std::string log() const { return process_.log(); }

 private:
  static std::string address_of(int vni, const std::string& node) {
    return "100." + std::to_string(64 + vni % 64) + "." + std::to_string(node == "near" ? 1 : 2) + ".1/32";
  }
  std::string config(const support::TempFolder& folder, const std::string& name) const {
    return "name = \"" + name + "\"\nrole = \"domain\"\ndomain = 1\nstate = \"" + folder.file(name + ".db") +
           "\"\nlisten = [\"" + address() + "\"]\nsocket = \"" + socket_ +
           "\"\n[probes]\nactive_interval_ms = 50\nmesh_interval_ms = 200\nreport_interval_ms = 100\n";
  }

  unsigned port_;
  std::string socket_;
  support::DaemonProcess process_;
};

// A box as far as the control protocol goes.
class Box : public TelemetrySource {
 public:
  Box(const support::TempFolder& folder, std::string name, const Controller& controller,
      const std::string& token)
      : folder_(folder), name_(std::move(name)), address_(controller.address()) {
    folder_.write(name_ + ".join", token + "\n");
  }

  std::string state(const std::string& file) const { return folder_.file(name_ + "/" + file); }

  void start() {
    AgentConfig config;
    config.name = name_;
    config.location = "gz.cn";
    config.lines = {{1, name_ == "near" ? "127.0.0.1" : "127.0.0.2", 7700, "private"}};
    config.state_dir = state("");
    config.controllers = {address_};
    config.join_token_file = folder_.file(name_ + ".join");
    agent = std::make_unique<Agent>(io, std::move(config));
    agent->on_applied([this](const Applied& applied) {
      latest = applied;
      ++times_applied;
    });
    agent->on_event(
        [this](const std::string& kind, const std::string& text) { told << kind << ": " << text << "\n"; });
    agent->set_telemetry(this);
    agent->start();
  }
  void stop() {
    agent.reset();
    io.poll();
    io.restart();
    latest = {};
  }

  // Runs this box's loop (and another's) until `done`, 20 s at most.
  template <class Done>
  testing::AssertionResult until(Done done, Box* other = nullptr, std::chrono::milliseconds limit = 20s) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    while (std::chrono::steady_clock::now() < deadline) {
      if (done()) return testing::AssertionSuccess();
      io.run_for(10ms);
      io.restart();
      if (other) {
        other->io.run_for(1ms);
        other->io.restart();
      }
    }
    return testing::AssertionFailure() << name_ << " did not get there; state " << agent->status().state
                                       << ", " << agent->status().last_error << "\n"
                                       << told.str();
  }
  bool steady() const { return agent->status().state == "steady"; }
  bool has_tenant(std::uint32_t vni) const {
    return latest.snapshot && latest.snapshot->tenant(ids::Vni{vni});
  }

  void collect(proto::v1::Telemetry& out) override {
    ++collected;
    if (peer == 0) return;
    auto& report = *out.add_adjacencies();
    report.set_peer(peer);
    report.set_local_plane(1);
    report.set_remote_plane(1);
    report.set_rtt_min_us(1'500);
    report.set_rtt_mean_us(1'600);
    report.set_probes_sent(10);
    report.set_alive(true);
  }

  boost::asio::io_context io{1};
  std::unique_ptr<Agent> agent;
  Applied latest;
  int times_applied = 0;
  int collected = 0;
  std::uint32_t peer = 0;
  std::ostringstream told;

 private:
  const support::TempFolder& folder_;
  std::string name_;
  std::string address_;
};

class AgentEndToEnd : public testing::Test {
 protected:
  void SetUp() override {
    if (!support::DaemonProcess::available("qanat-controller"))
      GTEST_SKIP() << "qanat-controller is not built";
    controller = std::make_unique<Controller>(folder);
  }
  support::TempFolder folder{"qanat-agent"};
  std::unique_ptr<Controller> controller;
};

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
