// What an operator changes, and what was promised, over boxes that carry traffic: a change that cuts the canary's is taken
// back by itself and the others never hear of it, a good one goes to all; a promise that a dead line breaks is told.
//
//   plane 1: city ──5 ms── far1 ──5 ms── far2 ──5 ms── city
//   plane 2: city ──60 ms── far1, far2; all ──5 ms── hq: the controller
#include "base/http_client.hh"
#include "tests/e2e/lab/lab_fixture.hh"
#include "tools/lab/outage_flow.hh"

namespace qanat::lab {
namespace {

constexpr const char* kTopology = R"(
name = "canary"
seed = 1
[[plane]]
id = 1
name = "private"
[[plane]]
id = 2
name = "internet"
[[controller]]
name = "d1"
node = "hq"
role = "domain"
domain = 1
[[tenant]]
name = "lab"
vni = 100
members = ["city", "far1", "far2"]
[[node]]
name = "hq"
planes = [2]
box = false
)";

std::string topology_text() {
  std::string text = kTopology;
  const auto link = [&](int plane, const std::string& a, const std::string& b, const std::string& wire) {
    text += "[[link]]\nplane = " + std::to_string(plane) + "\na = \"" + a + "\"\nb = \"" + b + "\"\nup = \"" +
            wire + "\"\ndown = \"" + wire + "\"\n";
  };
  for (const std::string box : {"city", "far1", "far2"}) {
    text += "[[node]]\nname = \"" + box + "\"\nplanes = [1, 2]\ndomain = 1\n";
    link(2, box, "hq", "100mbit,delay=5ms");
    if (box == "city") continue;
    link(1, "city", box, "100mbit,delay=5ms");
    link(2, "city", box, "100mbit,delay=60ms");
  }
  link(1, "far1", "far2", "100mbit,delay=5ms");
  return text;
}

class CanaryLab : public LabFixture {
 protected:
  static void SetUpTestSuite() {
    bring("canary", topology_text(), {bin() + "/linkem", bin() + "/qanatd", bin() + "/qanat-controller"});
  }
  static const std::string& controller() { return lab_->controllers.at(0).socket; }
  // Two whole reports of every box, so that there is a before.
  static bool settled() {
    return within(30s, [] {
      for (const char* box : {"city", "far1", "far2"})
        if (get(lab_->node(box)->socket, "/v1/status").value("uptime_s", 0) < 11) return false;
      return !get(lab_->node("city")->socket, "/v1/paths?to=far1").empty();
    });
  }
  static OutageFlow flow() {
    return OutageFlow({lab_->node("city")->netns, lab_->node("city")->overlay},
                      {lab_->node("far1")->netns, lab_->node("far1")->overlay});
  }
  static json tenants() { return get(controller(), "/v1/intent").at("tenants"); }
  // The box's newest version, as it says itself.
  static std::uint64_t version_of(const std::string& box) {
    return get(lab_->node(box)->socket, "/v1/status").at("controller").at("version");
  }
  struct Ended {
    json canary;
    bool others_heard = false;  // of anything, before it ended
  };
  static Ended apply_to_city_first(const json& tenants, int watch_s) {
    const auto far1 = version_of("far1"), far2 = version_of("far2"), city = version_of("city");
    call(controller(), "POST", "/v1/apply?canary=city&watch_s=" + std::to_string(watch_s),
         {{"tenants", tenants}});
    Ended ended;
    EXPECT_TRUE(within(3s, [&] { return version_of("city") > city; })) << "the canary has it";
    EXPECT_TRUE(within(25s, [&] {
      const bool heard = version_of("far1") != far1 || version_of("far2") != far2;
      ended.canary = get(controller(), "/v1/canary");  // asked last: who heard then heard before its end
      const bool running = ended.canary.at("state") == "running";
      ended.others_heard |= heard && running;
      return !running;
    })) << ended.canary;
    return ended;
  }
  static std::string last_audit_line() {
    return get(controller(), "/v1/audit?limit=10000").at("lines").back().at("text");
  }
};

TEST_F(CanaryLab, WhatCutsItsTrafficIsTakenBackByItselfAndTheOthersNeverSawIt) {
  ASSERT_TRUE(settled());
  auto outage = flow();
  std::this_thread::sleep_for(500ms);
  outage.mark();
  const auto version = get(controller(), "/v1/intent").at("version").get<int>();
  json bad = tenants();
  bad.at("lab")["policy"] = json::array();  // nothing is allowed
  const Ended ended = apply_to_city_first(bad, 60);
  EXPECT_EQ(ended.canary.at("state"), "taken_back") << ended.canary;
  EXPECT_EQ(ended.canary.at("in_force"), version + 2);
  EXPECT_THAT(ended.canary.at("faults").dump(), testing::HasSubstr("dropped by a box"));
  EXPECT_FALSE(ended.others_heard);
  EXPECT_FALSE(tenants().at("lab").contains("policy"));
  EXPECT_GT(outage.outage_ms(), 500) << "it did cut the traffic";
  EXPECT_THAT(last_audit_line(), testing::HasSubstr("taken back"));
  EXPECT_TRUE(within(5s, [&] {
    outage.mark();
    std::this_thread::sleep_for(300ms);
    return outage.outage_ms() < 100;
  })) << "and gave it back";
}

TEST_F(CanaryLab, AGoodOneGoesToAll) {
  ASSERT_TRUE(settled());
  auto outage = flow();
  std::this_thread::sleep_for(500ms);
  outage.mark();
  const auto before = version_of("far2");
  json good = tenants();
  for (auto& member : good.at("lab").at("members"))
    if (member.at("node") == "far2") member.at("addresses").push_back("100.96.77.1/32");
  const Ended ended = apply_to_city_first(good, 6);
  EXPECT_EQ(ended.canary.at("state"), "passed") << ended.canary;
  EXPECT_FALSE(ended.others_heard);
  EXPECT_TRUE(within(3s, [&] { return version_of("far2") > before; }));
  EXPECT_THAT(tenants().dump(), testing::HasSubstr("100.96.77.1/32"));
  EXPECT_THAT(last_audit_line(), testing::HasSubstr("passed"));
  EXPECT_LE(outage.outage_ms(), 500) << "nothing was cut";
}

TEST_F(CanaryLab, APromiseThatADeadLineBreaksIsToldAndToldAgainWhenItIsKept) {
  ASSERT_TRUE(settled());
  const auto cut = [](bool down) {
    call(lab_->linkem_socket, "POST", "/v1/links/city-far1-p1/fault",
         {{"down", down}, {"direction", "both"}});
  };
  const auto state_is = [](const std::string& state) {
    for (const json& sla : get(controller(), "/v1/slas"))
      if (sla.at("term") == "latency") return sla.at("state") == state;
    return false;
  };
  call(controller(), "POST", "/v1/apply",
       {{"slas", {{{"tenant", "lab"}, {"tier", "interactive"}, {"latency_ms", 80}}}}});
  ASSERT_TRUE(within(15s, [&] { return state_is("kept"); })) << get(controller(), "/v1/slas");
  cut(true);  // the way over plane 2 takes 120 ms and more
  EXPECT_TRUE(within(12s, [&] { return state_is("broken"); })) << get(controller(), "/v1/slas");
  for (const json& sla : get(controller(), "/v1/slas")) {
    if (sla.at("term") != "latency") continue;
    EXPECT_GT(sla.at("worst"), 110'000);
    EXPECT_GE(sla.at("broken"), 1);
    EXPECT_EQ(sla.at("limit"), 80'000);
  }
  EXPECT_THAT(last_audit_line(), testing::AllOf(testing::HasSubstr("sla lab interactive latency"),
                                                testing::HasSubstr("broken")));
  base::HttpClientOptions options;
  const auto metrics = base::fetch_blocking("unix:" + controller(),
                                            {.method = "GET", .target = "/metrics", .headers = {}}, options);
  ASSERT_TRUE(metrics);
  EXPECT_THAT(metrics->body, testing::ContainsRegex("qanat_sla_broken\\{[^}]*\"latency\"[^}]*\\} 1"));
  cut(false);
  EXPECT_TRUE(within(30s, [&] { return state_is("kept"); })) << get(controller(), "/v1/slas");
  EXPECT_THAT(last_audit_line(), testing::HasSubstr("kept again"));
}

}  // namespace
}  // namespace qanat::lab
