// The real qanat-controller on loopback: who gets in, who does not, and what a kill -9 cannot take away.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <boost/system/system_error.hpp>
#include <chrono>
#include <cstdlib>
#include <thread>

#include "base/file.hh"
#include "base/http_client.hh"
#include "controller/session/authority.hh"
#include "controller/session/join_token.hh"
#include "controller/store/sqlite_store.hh"
#include "tests/e2e/controller/controller_process.hh"

namespace qanat::e2e {
namespace {

using namespace std::chrono_literals;
using proto::v1::Envelope;

class Controller : public ::testing::Test {
 protected:
  ControllerProcess controller_;

  TestBox enrolled(const std::string& name, bool relay = false) {
    TestBox box(name);
    EXPECT_EQ(box.enrol(controller_, controller_.join_token(name, relay), relay), "");
    return box;
  }
  void expect_alive() { EXPECT_EQ(controller_.rest("GET", "/healthz").status, 200) << controller_.log(); }
};

TEST_F(Controller, ABoxEnrolsConnectsAndGetsItsSignedConfiguration) {
  TestBox city = enrolled("city");
  EXPECT_EQ(city.enrolment.node_id(), 7u * 4096 + 1);
  EXPECT_EQ(city.enrolment.domain_id(), 7u);
  const auto wire = city.connect(controller_);
  ASSERT_TRUE(city.take_delta(*wire));
  EXPECT_EQ(city.held.nodes(0).name(), "city");
  EXPECT_TRUE(
      soon([&] { return contains(controller_.rest("GET", "/v1/nodes").body, "\"version_acked\":1"); }));
  Envelope ping;
  ping.set_ping(42);
  wire->send(ping);
  EXPECT_EQ(wire->read()->pong(), 42u);
}

TEST_F(Controller, MeasurementsBecomePaths) {
  TestBox city = enrolled("city"), far = enrolled("far"), relay = enrolled("relay", true);
  const auto city_wire = city.connect(controller_), far_wire = far.connect(controller_),
             relay_wire = relay.connect(controller_);
  for (auto [box, wire] : {std::pair{&city, &city_wire}, {&far, &far_wire}, {&relay, &relay_wire}}) {
    ASSERT_TRUE(box->take_delta(**wire));
  }
  const auto report = [](const std::unique_ptr<Wire>& wire, std::uint32_t peer, std::uint32_t rtt_us) {
    Envelope e;
    auto& a = *e.mutable_telemetry()->add_adjacencies();
    a.set_peer(peer);
    a.set_local_plane(1);
    a.set_remote_plane(1);
    a.set_rtt_mean_us(rtt_us);
    a.set_probes_sent(10);
    a.set_alive(true);
    wire->send(e);
  };
  EXPECT_TRUE(soon([&] {
    report(city_wire, far.enrolment.node_id(), 100'000);
    report(city_wire, relay.enrolment.node_id(), 20'000);
    report(relay_wire, far.enrolment.node_id(), 20'000);
    return contains(controller_.rest("GET", "/v1/matrix").body, "\"alive\":true");
  }));
  const auto past = [&](const std::string& at) { return controller_.rest("GET", "/v1/matrix?at=" + at); };
  EXPECT_EQ(past(std::to_string(std::time(nullptr) - 1)).status, 200);
  EXPECT_EQ(past("2001-09-09T01:46:40Z").status, 404);
  EXPECT_TRUE(contains(past("1000000000").body, "not_kept"));
  for (const char* none : {"yesterday", "", "-5", "99999999999999999999999", "9999999999", "2026-13-01"})
    EXPECT_EQ(past(none).status, 400) << none;
  // The box gets it: first the direct way or nothing, at last the relay's.
  for (int i = 0; i < 6; ++i) {
    for (int k = 0; k < 4; ++k) {
      report(city_wire, far.enrolment.node_id(), 100'000);
      report(city_wire, relay.enrolment.node_id(), 20'000);
      report(relay_wire, far.enrolment.node_id(), 20'000);
    }
    if (contains(controller_.rest("GET", "/v1/paths?from=city&to=far&tier=interactive").body,
                 "[\"relay\",\"far\"]"))
      break;
    std::this_thread::sleep_for(300ms);
  }
  EXPECT_TRUE(contains(controller_.rest("GET", "/v1/paths?from=city&to=far&tier=interactive").body,
                       "[\"relay\",\"far\"]"))
      << controller_.rest("GET", "/v1/paths").body;
  EXPECT_EQ(controller_.rest("GET", "/v1/paths?tier=fast").status, 400);
}

TEST_F(Controller, BadJoinTokensAreTurnedDownEachWithItsReason) {
  const std::string token = controller_.join_token("city");
  TestBox city("city");
  EXPECT_EQ(TestBox("other").enrol(controller_, token), "token_for_other_name");
  EXPECT_EQ(city.enrol(controller_, token), "");
  EXPECT_EQ(TestBox("city").enrol(controller_, token), "token_used");
  auto wrong = *session::parse_join_token(token);
  wrong.secret[0] ^= 1;
  EXPECT_EQ(TestBox("city").enrol(controller_, session::to_string(wrong)), "bad_token");
  const std::string brief = controller_.join_token("late", false, 1);
  std::this_thread::sleep_for(2100ms);
  EXPECT_EQ(TestBox("late").enrol(controller_, brief), "token_expired");
}

TEST_F(Controller, ATokenOfAnotherControllerEndsBeforeTheSecretIsSent) {
  store::SqliteStore store(":memory:");
  const session::Authority other(store, "other", 1'800'000'000);
  auto token = *session::parse_join_token(controller_.join_token("city"));
  token.ca = other.fingerprint();
  EXPECT_THROW(TestBox("city").enrol(controller_, session::to_string(token)), boost::system::system_error);
}

TEST_F(Controller, ACertificateOfAnotherCaGetsNoWordOut) {
  TestBox city = enrolled("city");
  store::SqliteStore store(":memory:");
  const session::Authority other(store, "test", city.held.epoch() + 1'800'000'000);
  TestBox fake("city");
  fake.enrolment = city.enrolment;
  const auto certificate =
      other.issue(session::make_request(fake.key_pem, "city"), "city",
                  "qanat:node:" + std::to_string(city.enrolment.node_id()), 1'790'000'000);
  fake.enrolment.set_certificate_pem(*certificate);
  std::optional<Envelope> answer;
  try {
    answer = fake.connect(controller_)->read();
  } catch (const boost::system::system_error&) {
  }
  EXPECT_FALSE(answer.has_value());
  expect_alive();
  const std::string metrics = controller_.rest("GET", "/metrics").body;
  EXPECT_TRUE(contains(metrics, "qanat_southbound_handshake_failed_total 1"));
  EXPECT_TRUE(contains(metrics, "qanat_tiers_cut_off{tier=\"bulk\"} 0"));
}

TEST_F(Controller, AnothersCertificateDoesNotMakeOneAnother) {
  TestBox city = enrolled("city"), far = enrolled("far");
  Wire wire(controller_.port(), far.tls());
  wire.send(city.hello());  // far's certificate, city's Hello
  EXPECT_EQ(wire.refusal(), "wrong_identity");
}

TEST_F(Controller, WithoutACertificateOnlyEnrolIsHeard) {
  TestBox city = enrolled("city");
  Wire wire(controller_.port(), base::client_context(city.enrolment.ca_pem(), std::nullopt));
  wire.send(city.hello());
  EXPECT_EQ(wire.refusal(), "certificate_required");
}

TEST_F(Controller, ARevokedNodeIsOutAtOnceAndTheOthersDenyIt) {
  TestBox city = enrolled("city"), far = enrolled("far");
  const auto city_wire = city.connect(controller_), far_wire = far.connect(controller_);
  ASSERT_TRUE(city.take_delta(*city_wire));
  ASSERT_TRUE(far.take_delta(*far_wire));
  EXPECT_EQ(controller_.rest("DELETE", "/v1/nodes/far").status, 200);
  EXPECT_EQ(far_wire->refusal(), "revoked");
  for (int i = 0; i < 5 && city.held.denied_headends().empty(); ++i) ASSERT_TRUE(city.take_delta(*city_wire));
  EXPECT_EQ(city.held.denied_headends(0), far.enrolment.node_id());
  EXPECT_EQ(far.connect(controller_)->refusal(), "revoked")
      << "its certificate is good, its membership is over";
  EXPECT_EQ(controller_.rest("DELETE", "/v1/nodes/far").status, 404);
}

TEST_F(Controller, TheNewestSessionOfANodeWins) {
  TestBox city = enrolled("city");
  const auto first = city.connect(controller_);
  ASSERT_TRUE(city.take_delta(*first));
  const auto second = city.connect(controller_);
  EXPECT_EQ(first->refusal(), "superseded");
  Envelope ping;
  ping.set_ping(1);
  second->send(ping);
  EXPECT_EQ(second->read()->pong(), 1u);
}

TEST_F(Controller, AProtocolThatItDoesNotUnderstandIsToldSoWithBothNumbers) {
  TestBox city = enrolled("city");
  for (const std::uint32_t spoken : {0u, 2u, 99u}) {
    Wire wire(controller_.port(), city.tls());
    auto hello = city.hello();
    hello.mutable_hello()->set_protocol(spoken);
    hello.mutable_hello()->set_software("qanatd 7.0");
    wire.send(hello);
    std::optional<proto::v1::Envelope> told;
    do told = wire.read();
    while (told && !told->has_refusal());
    ASSERT_TRUE(told.has_value()) << spoken;
    EXPECT_EQ(told->refusal().code(), "unknown_protocol");
    EXPECT_FALSE(told->refusal().retryable());
    for (const std::string& part : {std::string("understands protocol 1"), std::string("qanatd 7.0"),
                                    spoken == 0 ? "names none" : "not " + std::to_string(spoken)})
      EXPECT_NE(told->refusal().message().find(part), std::string::npos) << told->refusal().message();
  }
  EXPECT_NE(controller_.log().find("unknown_protocol: this controller understands"), std::string::npos);
  EXPECT_TRUE(city.take_delta(*city.connect(controller_))) << "and in the one that it does, it is welcome";
}

TEST_F(Controller, OversizedFramesAreRefusedByTheirHeader) {
  TestBox city = enrolled("city");
  const auto anonymous = base::client_context(city.enrolment.ca_pem(), std::nullopt);
  Wire huge(controller_.port(), anonymous);
  huge.send_raw(std::string_view("\x7f\xff\xff\xff", 4));
  EXPECT_EQ(huge.refusal(), "bad_message");
  Wire over(controller_.port(),
            anonymous);  // 16 KiB and one byte: fine for a member, too much for a stranger
  over.send_raw(std::string_view("\x00\x00\x40\x01", 4));
  EXPECT_EQ(over.refusal(), "bad_message");
  const auto member = city.connect(controller_);
  ASSERT_TRUE(city.take_delta(*member));
  member->send_raw(std::string_view("\x01\x00\x00\x01", 4));
  EXPECT_EQ(member->refusal(), "bad_message");
  expect_alive();
}

TEST_F(Controller, TruncatedAndSenselessFramesHarmNobody) {
  TestBox city = enrolled("city");
  const auto good = city.connect(controller_);
  ASSERT_TRUE(city.take_delta(*good));
  for (const std::string& bytes : {std::string("\0", 1),
                                   std::string("\0\0\0\x09"
                                               "abc",
                                               7),
                                   std::string("\0\0\0\x03\xff\xff\xff", 7), std::string("\0\0\0\0", 4)}) {
    Wire wire(controller_.port(), base::client_context(city.enrolment.ca_pem(), std::nullopt));
    wire.send_raw(bytes);
  }  // closed in the middle
  const auto unexpected = city.connect(controller_);
  Envelope delta;
  delta.mutable_delta()->set_epoch(1);
  unexpected->send(delta);
  EXPECT_EQ(unexpected->refusal(), "unexpected_message");
  expect_alive();
  EXPECT_EQ(enrolled("far").enrolment.node_id(), city.enrolment.node_id() + 1);
}

TEST_F(Controller, KillNineLosesNothingThatWasAcknowledged) {
  TestBox city = enrolled("city");
  {
    const auto wire = city.connect(controller_);
    ASSERT_TRUE(city.take_delta(*wire));
    EXPECT_TRUE(
        soon([&] { return contains(controller_.rest("GET", "/v1/nodes").body, "\"version_acked\":1"); }));
  }
  const std::string token = controller_.join_token("far");
  EXPECT_EQ(controller_
                .rest("PUT", "/v1/tenants/lab",
                      R"({"vni":100,"members":[{"node":"city","addresses":["100.96.1.1/32"]}]})")
                .status,
            200);
  controller_.kill();
  controller_.start();
  EXPECT_TRUE(contains(controller_.rest("GET", "/v1/tenants").body, "100.96.1.1/32"));
  EXPECT_TRUE(contains(controller_.rest("GET", "/v1/nodes").body, "\"name\":\"city\""));
  // The same CA, the same certificate, the same configuration: what comes is a delta to it, signed by the same key.
  const auto before = city.held;
  const auto wire = city.connect(controller_);
  ASSERT_TRUE(city.take_delta(*wire));
  EXPECT_EQ(city.held.epoch(), before.epoch());
  EXPECT_GT(city.held.version(), before.version());
  EXPECT_EQ(city.held.network_psk(), before.network_psk());
  EXPECT_EQ(city.held.tenants_size(), 1);
  // A token minted before is good once, also after.
  TestBox far("far");
  EXPECT_EQ(far.enrol(controller_, token), "");
  controller_.kill();
  controller_.start();
  EXPECT_EQ(TestBox("far").enrol(controller_, token), "token_used");
  EXPECT_EQ(controller_.rest("DELETE", "/v1/nodes/far").status, 200);
  controller_.kill();
  controller_.start();
  EXPECT_EQ(far.connect(controller_)->refusal(), "revoked");
  EXPECT_EQ(enrolled("far").enrolment.node_id(), far.enrolment.node_id() + 1) << "numbers are not used twice";
}

TEST_F(Controller, TheTcpNorthboundWantsTheAdminToken) {
  const std::string origin = "http://127.0.0.1:" + std::to_string(controller_.northbound());
  const auto get = [&](const std::string& target, const std::string& token) {
    base::ClientRequest request{.method = "GET", .target = target, .headers = {}, .body = ""};
    if (!token.empty()) request.headers.add("authorization", "Bearer " + token);
    const auto reply = base::fetch_blocking(origin, request);
    return reply ? reply->status : -1;
  };
  EXPECT_EQ(get("/v1/nodes", ""), 401);
  EXPECT_EQ(get("/v1/nodes", "a guess of some length"), 401);
  EXPECT_EQ(get("/v1/nodes", controller_.admin_token()), 200);
  EXPECT_EQ(get("/metrics", ""), 401);
  EXPECT_EQ(get("/", ""), 200) << "the page holds no secret";
  EXPECT_EQ(get("/v1/nothing", controller_.admin_token()), 404);
}

TEST_F(Controller, BadRequestsSayAllThatIsWrong) {
  const auto reply = controller_.rest("PUT", "/v1/tenants/lab",
                                      R"({"vni":0,"members":[{"node":"x","prefixes":["1.2.3.4/8"]}]})");
  EXPECT_EQ(reply.status, 400);
  EXPECT_TRUE(contains(reply.body, "vni 0") && contains(reply.body, "1.2.3.4/8")) << reply.body;
  EXPECT_EQ(controller_.rest("POST", "/v1/join-tokens", "{}").status, 400);
  EXPECT_EQ(controller_.rest("POST", "/v1/join-tokens", std::string(300 * 1024, ' ')).status, 413);
}

TEST_F(Controller, EndsCleanlyOnSigterm) {
  TestBox city = enrolled("city");
  const auto wire = city.connect(controller_);
  ASSERT_TRUE(city.take_delta(*wire));
  const auto began = std::chrono::steady_clock::now();
  EXPECT_EQ(controller_.terminate(), 0) << controller_.log();
  EXPECT_LT(std::chrono::steady_clock::now() - began, 2s);
}

int run(const std::string& command) { return WEXITSTATUS(std::system(command.c_str())); }

TEST(ControllerConfig, TheSamplePassesItsOwnCheckAndMistakesAreAllNamed) {
  const std::string folder = ::testing::TempDir() + "qanat-controller-config-" + std::to_string(getpid());
  const std::string bin = program("qanat-controller");
  EXPECT_EQ(run(bin + " --print-sample > " + folder + ".toml"), 0);
  EXPECT_EQ(run(bin + " --check-config --config " + folder + ".toml"), 0);
  base::write_file(
      folder + ".toml",
      "name = \"Bad Name\"\nrole = \"domian\"\ndomain = 5000\nstate = 3\nlisten = []\nfoo = 1\n");
  EXPECT_EQ(run(bin + " --config " + folder + ".toml 2> " + folder + ".err"), 2);
  const std::string said = base::read_file(folder + ".err");
  for (const char* key : {"name", "role", "domain", "state", "listen", "foo", "socket"})
    EXPECT_TRUE(contains(said, key)) << said;

  // Where its state is may be said on the command line, and counts before the file's.
  base::write_file(folder + ".toml",
                   "name = \"good\"\nrole = \"global\"\nlisten = [\"127.0.0.1:1\"]\nsocket = \"/nowhere\"\n");
  const auto check = [&](const std::string& more) {
    return run(bin + " --check-config --config " + folder + ".toml " + more + " 2> " + folder + ".err");
  };
  EXPECT_EQ(check(""), 2) << "nowhere to keep it";
  EXPECT_EQ(check("--store sqlite:/nowhere/good.db"), 0) << base::read_file(folder + ".err");
  EXPECT_EQ(check("--store etcd:http://127.0.0.1:1,http://127.0.0.1:2"), 0)
      << base::read_file(folder + ".err");
  EXPECT_EQ(check("--store etcd:127.0.0.1"), 2);
  EXPECT_TRUE(contains(base::read_file(folder + ".err"),
                       "--store: state: '127.0.0.1' is no endpoint of etcd, expected"))
      << base::read_file(folder + ".err");
  for (const char* suffix : {".toml", ".err"}) std::remove((folder + suffix).c_str());
}

}  // namespace
}  // namespace qanat::e2e
