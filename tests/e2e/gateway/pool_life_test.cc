// A pool's models come up from zero and go back, and share their cards with fine-tuning.
#include <thread>

#include "tests/e2e/gateway/gateway_lab.hh"

namespace qanat::e2e {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;

class PoolLife : public GatewayLab {
 protected:
  std::string url() const { return "http://127.0.0.1:" + std::to_string(local_port_); }
  base::ClientResponse ask(const std::string& method, const std::string& target, const json& body = {},
                           const std::string& wait_ms = "") {
    base::ClientRequest request{method, target, {}, body.is_null() ? "" : body.dump()};
    if (!wait_ms.empty()) request.headers.add("x-qanat-wait-ms", wait_ms);
    auto answer = base::fetch_blocking(url(), std::move(request));
    EXPECT_TRUE(answer) << target << local_->log();
    return answer ? *answer : base::ClientResponse{};
  }
  json operate(const std::string& method, const std::string& target, const json& body = {}) {
    const auto answer = base::fetch_blocking("unix:" + folder_.file("local.sock"),
                                             {method, target, {}, body.is_null() ? "" : body.dump()});
    EXPECT_TRUE(answer && answer->status == 200) << target << (answer ? answer->body : "");
    return answer ? json::parse(answer->body) : json();
  }
  void start(const std::string& local) {
    start_pools(local);
    for (int i = 0; i < 200; ++i) {
      const auto answer = base::fetch_blocking(url(), {"GET", "/health", {}, ""});
      if (answer && answer->status == 200) return;
      std::this_thread::sleep_for(milliseconds(25));
    }
    FAIL() << local_->log();
  }
  json model() { return operate("GET", "/v1/status")["models"][0]; }
  json job(const std::string& id) { return json::parse(ask("GET", "/v1/fine_tuning/jobs/" + id).body); }
};

TEST_F(PoolLife, APlaceholderIsWokenByItsFirstCallAndGoesBackToZero) {
  // 65 GB at 6 GB/s and 64 layers of graphs are half a minute; fifty times faster here.
  start("time_scale = 50\n[life]\nstart = \"zero\"\nidle_to_zero = \"1s\"\n");
  EXPECT_EQ(model()["phase"], "placeholder");
  EXPECT_EQ(ask("GET", "/ready").status, 503);
  EXPECT_EQ(json::parse(ask("GET", "/qanat/v1/descriptor").body)["state"]["health"], "starting");
  const double cold = model()["ready_in_s"];
  EXPECT_GT(cold, 0.3);
  EXPECT_LT(cold, 2);

  const auto refused = ask("POST", "/v1/chat/completions", chat_body(3, false));
  EXPECT_EQ(refused.status, 503);
  EXPECT_NE(refused.body.find("cold_start"), std::string::npos) << refused.body;
  EXPECT_NE(refused.headers.value_or("retry-after", ""), "");
  EXPECT_NE(model()["phase"], "placeholder") << "it was woken all the same";
  const auto waited = ask("POST", "/v1/chat/completions", chat_body(3, false), "20000");
  EXPECT_EQ(waited.status, 200) << waited.body;
  EXPECT_EQ(ask("GET", "/ready").status, 200);

  for (int i = 0; i < 200 && model()["phase"] != "placeholder"; ++i)
    std::this_thread::sleep_for(milliseconds(20));
  EXPECT_EQ(model()["phase"], "placeholder") << "nobody has called for a second";
  EXPECT_LT(model()["ready_in_s"].get<double>(), 0.8 * cold) << "a snapshot makes the second start shorter";
}

TEST_F(PoolLife, AFineTuneTakesWhatCallsLeaveAndSurvivesALostCard) {
  start("time_scale = 20\n");
  const json wanted{
      {"model", kModel},
      {"training_file", "file-1"},
      {"seed", 7},
      {"x_qanat", {{"dataset_tokens", 16384 * 30}, {"lora_rank", 16}, {"checkpoint_steps", 5}}}};
  const auto made = ask("POST", "/v1/fine_tuning/jobs", wanted);
  ASSERT_EQ(made.status, 200) << made.body;
  const std::string id = json::parse(made.body)["id"];
  const auto wait_for_step = [&](int step) {
    for (int i = 0; i < 1000 && job(id)["x_qanat"]["step"] < step; ++i)
      std::this_thread::sleep_for(milliseconds(10));
  };
  wait_for_step(7);
  EXPECT_EQ(job(id)["status"], "running");

  // Calls come: they hardly feel the job, and it crawls while they last.
  const auto begin = std::chrono::steady_clock::now();
  const int before = job(id)["x_qanat"]["step"];
  EXPECT_EQ(ask("POST", "/v1/chat/completions", chat_body(200, false)).status, 200);
  const double busy_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  const double step_s = job(id)["x_qanat"]["step_ms"].get<double>() / 1e3;
  EXPECT_LT(job(id)["x_qanat"]["step"].get<int>() - before, 2 + 0.5 * busy_s / step_s);

  // A card falls off: the steps since the last checkpoint are done again.
  wait_for_step(before + 3);
  operate("POST", "/qanat/v1/faults", {{"kind", "card_lost"}, {"cards", 1}, {"outage_ms", 100}});
  for (int i = 0; i < 1500 && job(id)["status"] == "running"; ++i)
    std::this_thread::sleep_for(milliseconds(20));
  const json done = job(id);
  EXPECT_EQ(done["status"], "succeeded") << done;
  EXPECT_LE(done["x_qanat"]["steps_lost"], 5) << "five when it strikes while the checkpoint is being written";
  EXPECT_EQ(done["x_qanat"]["step"], 30);
  const json events = json::parse(ask("GET", "/v1/fine_tuning/jobs/" + id + "/events").body)["data"];
  const auto said = [&](const char* text) {
    for (const json& e : events)
      if (e["message"].get<std::string>().find(text) != std::string::npos) return true;
    return false;
  };
  EXPECT_TRUE(said("again from the checkpoint"));
  EXPECT_TRUE(said("has succeeded"));
  const json checkpoints =
      json::parse(ask("GET", "/v1/fine_tuning/jobs/" + id + "/checkpoints").body)["data"];
  EXPECT_EQ(checkpoints[0]["step_number"], 30);
  EXPECT_LT(checkpoints[0]["metrics"]["train_loss"], checkpoints.back()["metrics"]["train_loss"]);
  EXPECT_EQ(ask("POST", "/v1/fine_tuning/jobs", {{"model", "nobody"}, {"training_file", "f"}}).status, 404);
  EXPECT_EQ(ask("POST", "/v1/fine_tuning/jobs", {{"model", kModel}}).status, 400);
}

}  // namespace
}  // namespace qanat::e2e
