// A gateway whose places are few: who waits, who goes first, who is sent away; with real pools behind it.
#include <atomic>
#include <mutex>
#include <thread>

#include "tests/e2e/gateway/gateway_lab.hh"

namespace qanat::e2e {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;

class Turns : public GatewayLab {
 protected:
  std::string key_of(const std::string& account) {
    return json::parse(admin("POST", "/v1/keys", account).body).at("key").get<std::string>();
  }
  base::ClientResponse call(const std::string& key, std::uint32_t tokens, const std::string& query = "") {
    const std::string model = "c-url://any/infer/" + std::string(kModel) + query;
    return tenant("POST", "/v1/chat/completions", chat_body(tokens, false, model).dump(), key);
  }
  void until_waiting(int calls) {
    const std::string line = "qanat_gateway_queue_waiting " + std::to_string(calls) + "\n";
    for (int i = 0; i < 400; ++i) {
      if (admin("GET", "/metrics").body.find(line) != std::string::npos) return;
      std::this_thread::sleep_for(milliseconds(10));
    }
    ADD_FAILURE() << calls << " calls should wait by now:\n" << admin("GET", "/metrics").body;
  }
};

TEST_F(Turns, TwoTenantsGetTheirWeightsWhateverTheyAskFor) {
  more_ =
      "[admission]\nmax_calls = 4\nmax_wait = \"60s\"\n[[admission.tenant]]\nname = \"light\"\nweight = 3\n";
  start_pools();
  start_gateway();
  const std::string light = key_of(R"({"tenant":"light"})"), heavy = key_of(R"({"tenant":"heavy"})");
  std::atomic<bool> stop = false;
  std::atomic<int> served[2] = {0, 0}, refused = 0;
  std::vector<std::thread> clients;
  for (int i = 0; i < 66; ++i)  // ten times as many of the heavy one
    clients.emplace_back([&, is_light = i % 11 == 0] {
      while (!stop) {
        const auto answer = call(is_light ? light : heavy, 6);
        if (stop) break;
        ++(answer.status == 200 ? served[is_light ? 0 : 1] : refused);
      }
    });
  until_waiting(62);
  served[0] = served[1] = 0;
  for (int i = 0; i < 3000 && served[0] + served[1] < 160; ++i) std::this_thread::sleep_for(milliseconds(10));
  const double share = static_cast<double>(served[0]) / (served[0] + served[1]);
  stop = true;
  for (std::thread& client : clients) client.join();
  EXPECT_GE(served[0] + served[1], 160);
  EXPECT_EQ(refused, 0);
  EXPECT_NEAR(share, 0.75, 0.08) << "three parts of four, from a tenth of the demand";
  const json books = settled([](const json&) { return true; });
  EXPECT_EQ(books["tokens_billed"], books["tokens_delivered"]);
}

TEST_F(Turns, InteractiveOvertakesAndWhoCannotWaitIsTold) {
  more_ = "[admission]\nmax_calls = 1\nmax_wait = \"60s\"\nmax_waiting = 4\n";
  start_pools();
  start_gateway();
  const std::string narrow = key_of(R"({"tenant":"lab","max_calls":1})");
  std::mutex order_is_mine;
  std::vector<std::string> order;
  json explained;
  const auto ask = [&](const std::string& name, std::uint32_t tokens, const std::string& query) {
    return std::thread([&, name, tokens, query] {
      const auto answer = call("", tokens, query);
      EXPECT_EQ(answer.status, 200) << answer.body;
      const std::string id(answer.headers.value_or("x-qanat-call", ""));
      const std::lock_guard lock(order_is_mine);
      order.push_back(name);
      if (name == "interactive") explained = json::parse(tenant("GET", "/qanat/v1/calls/" + id).body);
    });
  };
  std::vector<std::thread> clients;
  clients.push_back(ask("first", 200, "?tier=bulk"));
  while (admin_json("/v1/status")["calls_in_flight"] != 1) std::this_thread::sleep_for(milliseconds(5));
  for (int i = 1; i <= 3; ++i) {
    clients.push_back(ask("bulk", 3, "?tier=bulk"));
    until_waiting(i);
  }
  leave_before_the_answer();
  until_waiting(3);
  clients.push_back(ask("interactive", 3, ""));
  until_waiting(4);

  const auto crowded = call("", 3);
  EXPECT_EQ(crowded.status, 503);
  EXPECT_EQ(json::parse(crowded.body)["error"]["code"], "gateway_full") << crowded.body;
  EXPECT_NE(crowded.headers.find("retry-after"), nullptr);
  for (std::thread& client : clients) client.join();
  ASSERT_EQ(order.size(), 5u);
  EXPECT_EQ(order[0], "first");
  EXPECT_EQ(order[1], "interactive") << "before three that came earlier";
  EXPECT_EQ(explained["decision"]["queued"]["behind"], 3) << explained;
  EXPECT_EQ(explained["decision"]["queued"]["limit"], "gateway");
  EXPECT_GT(explained["decision"]["queued"]["waited_ms"], 10.0);

  // A key's own limit: its second call waits too, for as long as it wants to wait for its first token.
  settled([](const json&) { return true; });  // the last of them is not taken for the holder
  std::thread holder([&] { EXPECT_EQ(call(narrow, 200).status, 200); });
  while (admin_json("/v1/status")["calls_in_flight"] != 1) std::this_thread::sleep_for(milliseconds(5));
  const auto late = call(narrow, 3, "?ttft=50ms");
  EXPECT_EQ(late.status, 503) << "the gateway's own place is taken too: " << late.body;
  EXPECT_NE(late.body.find("no place came free within"), std::string::npos) << late.body;
  holder.join();
  const std::string metrics = admin("GET", "/metrics").body;
  for (const char* line : {"qanat_gateway_queue_calls_total{end=\"left\"} 1\n",
                           "qanat_gateway_queue_calls_total{end=\"full\"} 1\n",
                           "qanat_gateway_queue_calls_total{end=\"late\"} 1\n",
                           "qanat_gateway_queue_calls_total{end=\"waited\"} 4\n"})
    EXPECT_NE(metrics.find(line), std::string::npos) << line << metrics;
}

TEST_F(Turns, AKeysSecondCallWaitsForItsFirst) {
  more_ = "[admission]\nmax_wait = \"60s\"\n";
  start_pools();
  start_gateway();
  const std::string narrow = key_of(R"({"tenant":"lab","max_calls":1})");
  std::thread holder([&] { EXPECT_EQ(call(narrow, 60).status, 200); });
  while (admin_json("/v1/status")["calls_in_flight"] != 1) std::this_thread::sleep_for(milliseconds(5));
  const auto late = call(narrow, 3, "?ttft=20ms");
  EXPECT_EQ(late.status, 429);
  EXPECT_EQ(json::parse(late.body)["error"]["code"], "rate_limit_exceeded") << late.body;
  EXPECT_EQ(call(narrow, 3).status, 200);
  holder.join();
}

}  // namespace
}  // namespace qanat::e2e
