// A gateway that is told of its pools by registries only: a nation's names a region's; both list "far", one lists "local".
//
//   national ──names──> gz ──lists──> local, far          each a signed file on a web server
//       └────lists────> far
#include <signal.h>

#include <thread>

#include "tests/e2e/gateway/metering_lab.hh"
#include "tests/support/registry_publisher.hh"

namespace qanat::e2e {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;

using Publisher = support::RegistryPublisher;

class Registries : public Metering {
 protected:
  void SetUp() override {
    GatewayLab::SetUp();
    if (IsSkipped()) return;
    local_port_ = support::free_port();
    far_port_ = support::free_port();
    const unsigned web_port = support::free_port();
    pool_ = std::make_unique<ScriptedPool>("local", local_port_, true);
    other_ = std::make_unique<ScriptedPool>("far", far_port_, false);
    web_ = std::make_unique<ScriptedPool>("web", web_port, false);
    web_url_ = "http://127.0.0.1:" + std::to_string(web_port);
    publish(1, 1, true);
    pools_ = false;
    more_ = "[[registry]]\nname = \"national\"\nurl = \"" + web_url_ +
            "/national.listing\"\npublic_key = \"" + nation_.public_key() + "\"\n";
    start_gateway();
  }
  json pool(const std::string& id, unsigned port) const {
    return {{"id", id}, {"url", "http://127.0.0.1:" + std::to_string(port)}};
  }
  void publish(int nation_generation, int region_generation, bool local) {
    json national{{"version", 1}, {"registry", "national"}, {"generation", nation_generation},
                  {"ttl_s", 2},   {"complete", true},       {"pools", json::array()}};
    national["pools"].push_back(pool("far", far_port_));
    national["registries"] = json::array();
    json below{{"name", "gz"}, {"url", web_url_ + "/gz.listing"}, {"public_key", region_.public_key()}};
    national["registries"].push_back(below);
    json list = json::array();
    list.push_back(pool("far", far_port_));
    if (local) list.push_back(pool("local", local_port_));
    const json regional{{"version", 1}, {"registry", "gz"}, {"generation", region_generation},
                        {"ttl_s", 2},   {"complete", true}, {"pools", list}};
    web_->put_file("national.listing", nation_.sign(national));
    web_->put_file("gz.listing", region_.sign(regional));
  }
  json registry(const std::string& name) {
    for (const json& r : admin_json("/v1/registries"))
      if (r["name"] == name) return r;
    return json::object();
  }
  bool within(std::chrono::seconds limit, const std::function<bool()>& holds) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (std::chrono::steady_clock::now() < end) {
      if (holds()) return true;
      std::this_thread::sleep_for(milliseconds(50));
    }
    return false;
  }
  Publisher nation_, region_;
  std::unique_ptr<ScriptedPool> web_;
  std::string web_url_;
};

TEST_F(Registries, ListPoolsOnceTakeThemBackAndAreNotNeededForCalls) {
  ASSERT_EQ(admin_json("/v1/pools").size(), 2u) << "one pool once";
  EXPECT_EQ(streams(1, body("")).at(0).pool, "local");
  EXPECT_EQ(registry("gz")["depth"], 1);
  // A replay of an older list, and one that somebody else signed, change nothing.
  publish(2, 3, true);
  ASSERT_TRUE(within(std::chrono::seconds(5), [&] { return registry("gz")["generation"] == 3; }));
  publish(2, 2, false);
  ASSERT_TRUE(within(std::chrono::seconds(5), [&] { return registry("gz")["error"] != ""; }));
  EXPECT_EQ(registry("gz")["generation"], 3);
  EXPECT_EQ(streams(1, body("")).at(0).pool, "local");
  // The region lists it no more: calls go elsewhere, and one under way ends where it is.
  bool withdrawn = false;
  const Seen last = streams(1, body("slow", true, 1000), 0, [&](std::uint64_t tokens) {
                      if (!withdrawn && tokens > 10) publish(2, 4, false);
                      withdrawn = withdrawn || tokens > 10;
                    }).at(0);
  EXPECT_EQ(last.chat.tokens(), 200u);
  ASSERT_TRUE(within(std::chrono::seconds(8), [&] { return admin_json("/v1/status")["pools_fresh"] == 1; }));
  EXPECT_EQ(streams(1, body("")).at(0).pool, "far");
  // Every registry is gone, past the lists' age: calls go on.
  web_.reset();
  ASSERT_TRUE(within(std::chrono::seconds(6), [&] { return registry("national")["old"] == true; }));
  EXPECT_EQ(streams(1, body("")).at(0).pool, "far");
  const json t = books(5);
  EXPECT_EQ(t["tokens_billed"], 4 * 5 + 200);
}

}  // namespace
}  // namespace qanat::e2e
