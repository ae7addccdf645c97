// What nobody should try, tried on the real qanat-controller: each is refused, logged and counted, and others are served
// meanwhile. And the OpenAPI document, held to what is served.
#include "tests/e2e/controller/abuse.hh"

#include <sys/wait.h>

#include <thread>
#include <vector>

namespace qanat::e2e {
namespace {

TEST_F(Abuse, BodiesOverTheLimitEndBeforeAnybodyIsAuthenticated) {
  // Stated: refused by the head alone, not a byte of the body was sent. Chunked: at the limit.
  EXPECT_EQ(exchange(head("POST", "/v1/apply", "") + "content-length: 999999999\r\n\r\n"), 413);
  EXPECT_EQ(refused("body_too_large"), 1);
  EXPECT_EQ(exchange(head("POST", "/v1/apply", "") + "content-length: 100000\r\n\r\n"), 401)
      << "a body within the limit is not read either, without a token";
  EXPECT_EQ(refused("unauthorized"), 1);
  EXPECT_EQ(exchange(head("POST", "/v1/apply", "") + "transfer-encoding: chunked\r\n\r\n"), 401)
      << "nor one whose length nobody says: not a chunk was sent";
  EXPECT_EQ(exchange(head("POST", "/v1/apply", "qa1.000000000000.guess") +
                     "transfer-encoding: chunked\r\n\r\n10000\r\n" + std::string(0x10000, ' ') + "\r\n"),
            401);
  EXPECT_EQ(refused("unauthorized"), 3);
  std::string chunks =
      head("POST", "/v1/apply", controller_.admin_token()) + "transfer-encoding: chunked\r\n\r\n";
  for (int i = 0; i < 5; ++i) chunks += "10000\r\n" + std::string(0x10000, ' ') + "\r\n";
  EXPECT_EQ(exchange(chunks), 413);
  EXPECT_EQ(refused("body_too_large"), 2);
  EXPECT_EQ(exchange("GET /" + std::string(40'000, 'a') + " HTTP/1.1\r\n\r\n"), 431);
  EXPECT_EQ(refused("headers_too_large"), 1);
  EXPECT_TRUE(logged("refused 413 body_too_large: POST /v1/apply")) << controller_.log();
}

TEST_F(Abuse, WrongScopesAndExpiredTokensOpenNothing) {
  const std::string viewer = token("eve", "\"role\":\"viewer\""),
                    brief = token("brief", "\"role\":\"admin\",\"ttl_s\":3"),
                    tenants = token("tess", "\"role\":\"operator\",\"tenant\":\"lab\"");
  EXPECT_EQ(get("/v1/nodes", brief), 200);
  const std::string body =
      R"({"vni":100,"members":[{"node":"city","addresses":["100.96.1.1/32"],"labels":["web"]}]})";
  const auto put = [&](const std::string& name, const std::string& with, const std::string& text) {
    return exchange(head("PUT", "/v1/tenants/" + name, with) +
                    "content-length: " + std::to_string(text.size()) + "\r\n\r\n" + text);
  };
  EXPECT_EQ(put("lab", viewer, body), 403);
  EXPECT_EQ(put("lab", tenants, body), 403) << "a tenant does not make itself";
  EXPECT_EQ(put("lab", controller_.admin_token(), body), 200);
  EXPECT_EQ(put("other", tenants, body), 403);
  EXPECT_EQ(put("lab", tenants, R"({"vni":100,"members":[{"node":"city","addresses":["100.96.9.9/32"]}]})"),
            403)
      << "nor does it move";
  EXPECT_EQ(put("lab", tenants, body.substr(0, body.size() - 1) + R"(,"policy":["allow web -> web"]})"), 200);
  EXPECT_EQ(get("/v1/tokens", viewer), 403);
  EXPECT_EQ(get("/v1/matrix", tenants), 403);
  EXPECT_GE(refused("forbidden"), 5);
  EXPECT_EQ(get("/v1/nodes", "qa1.000000000000.guess"), 401);
  EXPECT_EQ(get("/v1/nodes", viewer.substr(0, viewer.size() - 1)), 401);
  EXPECT_GE(refused("unauthorized"), 2);
  int seen = 200;
  for (int i = 0; i < 50 && (seen = get("/v1/nodes", brief)) == 200; ++i) std::this_thread::sleep_for(200ms);
  EXPECT_EQ(seen, 401);
  EXPECT_EQ(refused("token_expired"), 1);
  // Who was refused what is in the audit log, whose chain holds.
  const std::string audit = controller_.rest("GET", "/v1/audit?limit=1000").body;
  EXPECT_NE(audit.find(R"(\"who\":\"tess\",\"role\":\"operator\")"), std::string::npos) << audit;
  EXPECT_NE(audit.find(R"(\"status\":403)"), std::string::npos);
  EXPECT_EQ(audit.find("qa1."), std::string::npos) << "no token's text";
  const std::string qanat = program("qanat") + " audit verify --socket " + controller_.folder() + "/api.sock";
  EXPECT_EQ(std::system((qanat + " > /dev/null").c_str()), 0);
}

TEST_F(Abuse, AMembersCertificateMakesItNobodyElse) {
  TestBox city("city"), far("far");
  ASSERT_EQ(city.enrol(controller_, controller_.join_token("city")), "");
  ASSERT_EQ(far.enrol(controller_, controller_.join_token("far")), "");
  const double before = counted("qanat_southbound_refused_total");
  Wire wire(controller_.port(), far.tls());
  wire.send(city.hello());  // a valid certificate of another node
  EXPECT_EQ(wire.refusal(), "wrong_identity");
  EXPECT_EQ(counted("qanat_southbound_refused_total"), before + 1);
  EXPECT_TRUE(logged("wrong_identity")) << controller_.log();
}

TEST_F(Abuse, PathsLeadNowhereElse) {
  const double before = refused("no_such_path");
  const std::string admin = controller_.admin_token();
  for (const char* path :
       {"/ui/../../../../etc/passwd", "/ui/..%2f..%2f..%2fetc%2fpasswd", "/ui/%2e%2e/%2e%2e/etc/passwd",
        "/ui/....//....//etc/passwd", "//etc/passwd", "/v1/../admin"})
    EXPECT_EQ(get(path, admin), 404) << path;
  EXPECT_GE(refused("no_such_path"), before + 4);
  EXPECT_EQ(get("/v1/nodes/%zz", admin), 400);
  EXPECT_EQ(get("http:evil", admin), 400);
  EXPECT_EQ(exchange(head("DELETE", "/v1/tenants/..%2f..%2fstate.db", admin) + "\r\n"), 404);
  EXPECT_EQ(exchange(head("DELETE", "/v1/tokens/..%2fversion_head", admin) + "\r\n"), 404);
  EXPECT_EQ(controller_.rest("GET", "/healthz").status, 200);
}

TEST_F(Abuse, WhoDripsIsCutOffAndKeepsNobodyWaiting) {
  std::vector<Rude> slow;
  for (int i = 0; i < 60; ++i) slow.emplace_back(controller_.northbound());
  for (int i = 0; i < 20; ++i) slow.emplace_back(controller_.port());
  for (Rude& one : slow) one.say("GET /v1/no");
  const auto began = Clock::now();
  int served = 0;
  while (Clock::now() - began < 4s) {
    for (Rude& one : slow) one.say("d");
    served += get("/v1/status", controller_.admin_token()) == 200;
    std::this_thread::sleep_for(300ms);
  }
  EXPECT_GE(served, 3);
  int ended = 0;
  for (Rude& one : slow) {
    bool closed = false;
    one.hear(ended == 0 ? 8000ms : 2000ms, closed);
    ended += closed;
  }
  EXPECT_EQ(ended, 80);
  EXPECT_EQ(refused("too_slow"), 60);
  EXPECT_TRUE(logged("refused 408 too_slow")) << controller_.log();
}

TEST_F(Abuse, TheOpenApiDocumentIsWhatIsServed) {
  for (const char* name : {"city", "far"}) {
    TestBox box(name);
    ASSERT_EQ(box.enrol(controller_, controller_.join_token(name)), "");
  }
  const std::string command = std::string(QANAT_E2E_CONTROLLER) + "/openapi_walk " + controller_.folder() +
                              "/api.sock " + std::to_string(controller_.northbound()) + " " +
                              controller_.folder() + "/admin " + QANAT_E2E_CONTROLLER + "/../../..";
  const int status = WEXITSTATUS(std::system(command.c_str()));
  if (status == 77) GTEST_SKIP() << "python3-jsonschema is not installed";
  EXPECT_EQ(status, 0) << controller_.log();
}

}  // namespace
}  // namespace qanat::e2e
