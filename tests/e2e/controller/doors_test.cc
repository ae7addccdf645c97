// The doors of the real qanat-controller: how many strangers the southbound one holds, who hears events, and that nobody signs in
// by less than both factors.
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.hh"
#include "base/http_client.hh"
#include "controller/northbound/one_time_code.hh"
#include "controller/session/listener.hh"
#include "tests/e2e/controller/abuse.hh"

namespace qanat::e2e {
namespace {

using Json = nlohmann::json;

class Doors : public Abuse {
 protected:
  // By the guarded door.
  Reply ask(const std::string& method, const std::string& target, const std::string& token,
            const Json& body) {
    base::ClientRequest request{.method = method, .target = target, .headers = {}, .body = body.dump()};
    if (!token.empty()) request.headers.add("authorization", "Bearer " + token);
    const auto reply =
        base::fetch_blocking("http://127.0.0.1:" + std::to_string(controller_.northbound()), request);
    return reply ? Reply{reply->status, reply->body} : Reply{};
  }
  double southbound(const std::string& what) { return counted("qanat_southbound_" + what + "_total"); }
};

TEST_F(Doors, TheSouthboundOneHoldsSoManyStrangersAndServesWhoIsIn) {
  constexpr std::size_t kMost = session::Listener::kMaxUnauthenticated, kMore = 20;
  TestBox city("city"), far("far");
  for (TestBox* box : {&city, &far})
    ASSERT_EQ(box->enrol(controller_, controller_.join_token(box->name)), "");
  const auto wire = city.connect(controller_);
  ASSERT_TRUE(city.take_delta(*wire));
  std::uint64_t pings = 0;
  const auto served = [&] {
    proto::v1::Envelope ping;
    ping.set_ping(++pings);
    wire->send(ping);
    while (const auto envelope = wire->read())
      if (envelope->has_pong()) return envelope->pong() == pings;
    return false;
  };

  std::vector<Rude> crowd;  // none says a word
  for (std::size_t i = 0; i < kMost + kMore; ++i) crowd.emplace_back(controller_.port());
  const auto came = Clock::now();
  while (southbound("turned_away") < kMore && Clock::now() - came < 4s) std::this_thread::sleep_for(20ms);
  EXPECT_EQ(southbound("turned_away"), kMore);
  EXPECT_THROW(Wire(controller_.port(), far.tls()), boost::system::system_error) << "a box neither";
  EXPECT_EQ(southbound("turned_away"), kMore + 1);
  ASSERT_LT(Clock::now() - came, session::Listener::kHandshakeLimit) << "too slow a machine to see it full";
  bool closed = false;
  crowd[kMost].hear(1s, closed);
  EXPECT_TRUE(closed);
  crowd[kMost - 1].hear(50ms, closed);
  EXPECT_FALSE(closed) << "the last that found a place waits in it";
  EXPECT_TRUE(served());
  EXPECT_EQ(controller_.rest("GET", "/v1/status").status, 200);

  // Who says nothing goes after five seconds, and the door is open again.
  while (southbound("handshake_failed") < kMost && Clock::now() - came < 20s) {
    EXPECT_TRUE(served());
    std::this_thread::sleep_for(200ms);
  }
  EXPECT_EQ(southbound("handshake_failed"), kMost);
  EXPECT_TRUE(far.take_delta(*far.connect(controller_)));
  EXPECT_EQ(southbound("turned_away"), kMore + 1);
  EXPECT_TRUE(served()) << "the session that stood has stood all the time";
}

TEST_F(Doors, EventsAreHeardByWhoMayLookAtTheWholeNetwork) {
  const std::string viewer = token("eve", R"("role":"viewer")"),
                    tenants = token("tess", R"("role":"operator","tenant":"lab")");
  const auto heard = [&](const std::string& by) {
    Rude rude(controller_.northbound());
    rude.say(head("GET", "/v1/events", by) + "\r\n");
    bool closed = false;
    const std::string all = rude.hear(3s, closed);
    EXPECT_TRUE(closed) << "refused, and held on to";
    EXPECT_EQ(all.find("event:"), std::string::npos) << all;
    return all.size() > 12 ? std::atoi(all.c_str() + 9) : 0;
  };
  EXPECT_EQ(heard(""), 401);
  EXPECT_EQ(heard("qa1.000000000000.guess"), 401);
  EXPECT_EQ(heard(viewer.substr(0, viewer.size() - 1)), 401);
  EXPECT_EQ(heard(tenants), 403) << "an operator, but of one tenant";
  EXPECT_EQ(refused("unauthorized"), 3);
  EXPECT_EQ(refused("forbidden"), 1);

  Rude listener(controller_.northbound());
  listener.say(head("GET", "/v1/events", viewer) + "\r\n");
  bool closed = false;
  const std::string first = listener.hear(5s, closed, "event: tick");
  EXPECT_NE(first.find("HTTP/1.1 200"), std::string::npos) << first;
  EXPECT_NE(first.find("text/event-stream"), std::string::npos) << first;
  TestBox city("city");
  ASSERT_EQ(city.enrol(controller_, controller_.join_token("city")), "");
  const std::string then = listener.hear(5s, closed, "\"city\"");
  EXPECT_NE(then.find("event: node_enrolled"), std::string::npos) << then;
  EXPECT_FALSE(closed);
  EXPECT_EQ(refused("unauthorized") + refused("forbidden"), 4) << "and it was refused nothing";
}

TEST_F(Doors, NobodySignsInByLessThanBothFactors) {
  const auto member = [](const Reply& reply, const char* name) {
    const Json json = Json::parse(reply.body, nullptr, false);
    return json.is_object() ? json.value(name, std::string()) : std::string();
  };
  const Json account{{"name", "alice"}, {"role", "operator"}};
  EXPECT_EQ(ask("POST", "/v1/accounts", "", account).status, 401);
  EXPECT_EQ(ask("POST", "/v1/accounts", token("olga", R"("role":"operator")"), account).status, 403);
  const std::string invitation =
      member(ask("POST", "/v1/accounts", controller_.admin_token(), account), "invitation");
  ASSERT_EQ(invitation.substr(0, 4), "qi1.");

  const std::string password = "correct horse battery";
  const auto enrol = [&](const std::string& by, const Json& more) {
    Json body{{"name", "alice"}, {"invitation", by}, {"password", password}};
    body.update(more);
    return ask("POST", "/v1/enrol", "", body);
  };
  const auto sign_in = [&](const std::string& with, const std::string& code) {
    return ask("POST", "/v1/sign-in", "", {{"name", "alice"}, {"password", with}, {"code", code}});
  };
  EXPECT_EQ(enrol("qi1.guess", Json::object()).status, 401);
  const auto secret = northbound::from_base32(member(enrol(invitation, Json::object()), "secret"));
  ASSERT_TRUE(secret);
  const auto step = [] { return base::unix_now() / northbound::kCodeStep_s; };
  const auto code_at = [&](std::uint64_t at) { return northbound::hotp(*secret, at); };
  const std::string stale = code_at(step() - 100);  // fifty minutes old
  EXPECT_EQ(sign_in(password, code_at(step())).status, 401) << "invited is not in";
  EXPECT_EQ(enrol(invitation, {{"code", stale}}).status, 401);
  const std::string enrolled_by = code_at(step());
  const Reply enrolled = enrol(invitation, {{"code", enrolled_by}});
  ASSERT_EQ(enrolled.status, 200) << enrolled.body;
  const auto recovery = Json::parse(enrolled.body).at("recovery_codes").get<std::vector<std::string>>();

  // One factor, or what was seen before.
  EXPECT_EQ(ask("POST", "/v1/sign-in", "", {{"name", "alice"}, {"password", password}}).status, 400);
  EXPECT_EQ(sign_in(password, "").status, 401);
  EXPECT_EQ(sign_in(password, stale).status, 401);
  EXPECT_EQ(sign_in(password, enrolled_by).status, 401);
  EXPECT_EQ(sign_in("another one, as long", code_at(step() + 1)).status, 401);

  // Both. A phone may be a step ahead, so nobody has to wait here.
  const std::string code = code_at(step() + 1);
  const Reply in = sign_in(password, code);
  ASSERT_EQ(in.status, 200) << in.body;
  const std::string session = member(in, "token");
  EXPECT_EQ(get("/v1/nodes", session), 200);
  EXPECT_EQ(get("/v1/tokens", session), 403) << "an operator's";
  EXPECT_EQ(sign_in(password, code).status, 401) << "twice";
  EXPECT_EQ(sign_in(password, recovery.at(0)).status, 200);
  EXPECT_EQ(sign_in(password, recovery.at(0)).status, 401) << "twice";
  EXPECT_EQ(ask("POST", "/v1/sign-out", session, Json::object()).status, 200);
  EXPECT_EQ(get("/v1/nodes", session), 401);

  // The fifth wrong one in a row is the last that is looked at; then the right ones are not either.
  for (int i = 0; i < 4; ++i) EXPECT_EQ(sign_in(password, stale).status, 401) << i;
  EXPECT_EQ(sign_in(password, recovery.at(1)).status, 429);
  EXPECT_EQ(counted("qanat_northbound_sign_ins_total{result=\"too_many_tries\"}"), 1);
  EXPECT_EQ(counted("qanat_northbound_sign_ins_total{result=\"sign_in_refused\"}"), 13);
  const std::string audit = controller_.rest("GET", "/v1/audit?limit=1000").body;
  EXPECT_NE(audit.find("signed in"), std::string::npos) << audit;
  for (const std::string& kept : {password, session, invitation, recovery.at(0)})
    EXPECT_EQ(audit.find(kept), std::string::npos) << "in the audit log: " << kept;
}

}  // namespace
}  // namespace qanat::e2e
