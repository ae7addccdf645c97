// A server that is not ours (npm: @dwmkerr/mock-llm) becomes a pool: found in resolve, measured, called, billed, gone.
//
//   tenant ── http ──> qanat-gateway ──> qanat-pool "foreign" (adopts) ──> node mock-llm
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <thread>

#include "tests/e2e/gateway/gateway_lab.hh"

namespace qanat::e2e {
namespace {

using nlohmann::json;

// The foreign server as a child process, gone with its owner.
class ForeignServer {
 public:
  ForeignServer(const std::filesystem::path& folder, unsigned port, const std::string& log) {
    pid_ = ::fork();
    if (pid_ != 0) return;
    const int out = ::open(log.c_str(), O_CREAT | O_WRONLY | O_TRUNC, 0600);
    ::dup2(out, 1);
    ::dup2(out, 2);
    ::setenv("PORT", std::to_string(port).c_str(), 1);
    ::setenv("HOST", "127.0.0.1", 1);
    if (::chdir(folder.c_str()) == 0)
      ::execlp("node", "node", "node_modules/@dwmkerr/mock-llm/dist/main.js", nullptr);
    ::_exit(127);
  }
  ~ForeignServer() { end(); }
  ForeignServer(const ForeignServer&) = delete;
  ForeignServer& operator=(const ForeignServer&) = delete;
  void end() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }

 private:
  pid_t pid_ = 0;
};

class AdoptedPoolLab : public GatewayLab {
 protected:
  // Into a folder of the build, from the lock file. Empty: it cannot be had here.
  static std::filesystem::path installed() {
    const std::filesystem::path source = "tests/e2e/gateway/adopted_server";
    const char* bin = std::getenv("QANAT_BIN");
    const auto folder =
        std::filesystem::absolute(std::filesystem::path(bin ? bin : ".") / ".." / "adopted_server");
    if (std::system("node --version >/dev/null 2>&1") != 0) return {};
    std::filesystem::create_directories(folder);
    for (const char* file : {"package.json", "package-lock.json", "mock-llm.yaml"})
      std::filesystem::copy_file(source / file, folder / file,
                                 std::filesystem::copy_options::overwrite_existing);
    const auto main = folder / "node_modules/@dwmkerr/mock-llm/dist/main.js";
    const std::string install =
        "cd '" + folder.string() + "' && npm ci --no-audit --no-fund --ignore-scripts >npm.log 2>&1";
    if (!std::filesystem::exists(main) && std::system(install.c_str()) != 0) return {};
    return folder;
  }

  void start_adopter(const std::string& level) {
    const std::string config =
        folder_.write("foreign.toml",
                      "id = \"foreign\"\nprovider = \"others\"\nlocation = \"sz.cn\"\nsite = "
                      "\"elsewhere\"\nlisten = \"127.0.0.1:" +
                          std::to_string(far_port_) + "\"\nsocket = \"" + folder_.file("foreign.sock") +
                          "\"\nusage_db = \"" + folder_.file("foreign.db") +
                          "\"\ncards = \"L20\"\ncount = 2\n[price]\ninput = 100\noutput = 300\n" +
                          "[adopt]\nurl = \"http://127.0.0.1:" + std::to_string(foreign_port_) +
                          "\"\nlevel = \"" + level + "\"\nprobe_interval = \"200ms\"\n");
    far_ = std::make_unique<support::DaemonProcess>(
        "qanat-pool", std::vector<std::string>{"--config", config}, folder_.file("foreign.log"));
    far_->start();
  }
  json descriptor() {
    const auto answer = base::fetch_blocking("http://127.0.0.1:" + std::to_string(far_port_),
                                             {"GET", "/qanat/v1/descriptor", {}, ""});
    return answer ? json::parse(answer->body) : json();
  }
  bool wait_for_health(const std::string& health) {
    for (int i = 0; i < 400; ++i) {
      const json d = descriptor();
      if (d.is_object() && d["state"]["health"] == health) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return false;
  }
  // The candidate of our foreign pool, as a tenant resolves it.
  json candidate() {
    const auto answer = tenant("GET", "/qanat/v1/resolve?c_url=c-url%3A%2F%2Fany%2Finfer%2Fgpt-5.2");
    const json parsed = json::parse(answer.body);
    for (const json& c : parsed["candidates"])
      if (c["instance"] == "foreign") return c;
    last_ = answer.body;
    return {};
  }
  json until(const std::function<bool(const json&)>& good) {
    json last;
    for (int i = 0; i < 100 && !good(last = candidate()); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    return last;
  }
  unsigned foreign_port_ = 0;
  std::string last_;  // an answer without it
};

TEST_F(AdoptedPoolLab, ARealServerIsFoundMeasuredCalledAndLeavesCleanly) {
  const auto folder = installed();
  if (folder.empty()) GTEST_SKIP() << "no node, or npm cannot install @dwmkerr/mock-llm here";
  start_pools("time_scale = 10\n");
  far_->end(SIGTERM);  // its place is taken by the foreign server
  foreign_port_ = support::free_port();
  ForeignServer server(folder, foreign_port_, folder_.file("mock-llm.log"));
  start_adopter("schedulable");
  ASSERT_TRUE(wait_for_health("serving")) << far_->log();
  start_gateway();

  // Found, with the models it lists and a pace that was measured.
  const json d = descriptor();
  EXPECT_EQ(d["models"][0]["name"], "gpt-5.2");
  EXPECT_EQ(d["card"]["model"], "l20");
  // It hands out its tokens as fast as the loop turns: a pace near nothing is what there is to measure.
  EXPECT_LT(d["state"]["engines"][0]["decode"]["base_us"], 50'000);
  const json found = until([](const json& c) { return c.is_object() && c["filtered_by"].is_null(); });
  ASSERT_TRUE(found.is_object()) << last_;
  EXPECT_LT(found["predicted"]["tpot_ms"], 50) << found.dump();
  EXPECT_GT(found["predicted"]["ttft_ms"], 0.5) << found.dump();

  // Called: streams and whole answers, under its own words.
  json body{{"model", "gpt-5.2"},
            {"messages", {{{"role", "user"}, {"content", "carry water under the hill, far from the wells"}}}},
            {"stream", true},
            {"stream_options", {{"include_usage", true}}}};
  const auto seen = streams(4, body);
  for (const Seen& s : seen) {
    EXPECT_EQ(s.status, 200) << s.body;
    EXPECT_EQ(s.pool, "foreign");
    EXPECT_TRUE(s.chat.done());
    EXPECT_GE(s.chat.tokens(), 5u);
  }
  body.erase("stream_options");
  body["stream"] = false;
  const auto whole = tenant("POST", "/v1/chat/completions", body.dump());
  ASSERT_EQ(whole.status, 200) << whole.body;
  const json answer = json::parse(whole.body);
  EXPECT_EQ(answer["choices"][0]["message"]["content"], "carry water under the hill, far from the wells");
  EXPECT_GT(answer["usage"]["completion_tokens"], 5) << "the server counts none: the pool does";

  // Billed once, and its signed records square with the gateway's books.
  const json books = settled([](const json& t) { return t["calls"] == 5 && t["records_waiting"] == 0; });
  EXPECT_EQ(books["tokens_billed"], books["tokens_delivered"]);
  EXPECT_EQ(books["records_disputed"], 0) << books.dump();

  // The server dies: nobody is sent there, and it comes back by itself.
  server.end();
  EXPECT_TRUE(wait_for_health("down"));
  const json down = until([](const json& c) { return c.is_object() && c["filtered_by"] == "health"; });
  EXPECT_EQ(down["filtered_by"], "health") << down.dump();
  ForeignServer again(folder, foreign_port_, folder_.file("mock-llm-2.log"));
  EXPECT_TRUE(wait_for_health("serving"));

  // It leaves: drained first, then gone, and nothing is left open.
  far_->end(SIGTERM);
  EXPECT_FALSE(far_->running());
  const auto after = tenant("POST", "/v1/chat/completions", body.dump());
  EXPECT_GE(after.status, 500);
  EXPECT_EQ(tenant("POST", "/v1/chat/completions", chat_body(4, false).dump()).status, 200) << "ours go on";
}

TEST_F(AdoptedPoolLab, AnObservedServerIsSeenAndNeverCalled) {
  const auto folder = installed();
  if (folder.empty()) GTEST_SKIP() << "no node, or npm cannot install @dwmkerr/mock-llm here";
  start_pools("time_scale = 10\n");
  far_->end(SIGTERM);
  foreign_port_ = support::free_port();
  ForeignServer server(folder, foreign_port_, folder_.file("mock-llm.log"));
  start_adopter("observed");
  ASSERT_TRUE(wait_for_health("serving")) << far_->log();
  start_gateway();
  const json found = until([](const json& c) { return c.is_object() && c["filtered_by"] == "service"; });
  ASSERT_TRUE(found.is_object()) << last_;
  EXPECT_EQ(found["filtered_by"], "service") << found.dump();
  const json body{{"model", "gpt-5.2"}, {"messages", {{{"role", "user"}, {"content", "hello"}}}}};
  EXPECT_GE(tenant("POST", "/v1/chat/completions", body.dump()).status, 400);
  const auto direct = base::fetch_blocking("http://127.0.0.1:" + std::to_string(far_port_),
                                           {"POST", "/v1/chat/completions", {}, body.dump()});
  ASSERT_TRUE(direct);
  EXPECT_EQ(direct->status, 403);
}

}  // namespace
}  // namespace qanat::e2e
