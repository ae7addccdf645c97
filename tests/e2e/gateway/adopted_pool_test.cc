// A server that is not ours (npm: @dwmkerr/mock-llm) becomes a pool: found in resolve, measured, called, billed, gone.
//
//   tenant ── http ──> qanat-gateway ──> qanat-pool "foreign" (adopts) ──> node mock-llm
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "base/http_server.hh"
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

// A server that knows completions and embeddings and no chats, counts no tokens, and does what the text asks for: "lies"
// claims a milliard of them, "cut" breaks off.
class PlainServer {
 public:
  explicit PlainServer(unsigned port) {
    server_.route("GET", "/v1/models", [](base::Request&, base::Responder& out) -> Done {
      co_await out.json(200, R"({"object":"list","data":[{"id":"Plain","object":"model"}]})");
    });
    server_.route("POST", "/v1/completions", completion);
    server_.route("POST", "/v1/embeddings", embedding);
    server_.listen_tcp("127.0.0.1:" + std::to_string(port));
    thread_ = std::thread([this] { io_.run(); });
  }
  ~PlainServer() {
    io_.stop();
    thread_.join();
  }

 private:
  using Done = boost::asio::awaitable<void>;
  static constexpr const char* kLie =
      R"("usage":{"prompt_tokens":1000000000,"completion_tokens":1000000000})";
  static bool asks(const base::Request& in, const char* what) {
    return in.body.find(what) != std::string::npos;
  }
  static Done completion(base::Request& in, base::Responder& out) {
    const std::string lie = asks(in, "lies") ? std::string(",") + kLie : std::string();
    if (!json::parse(in.body).value("stream", false)) {
      std::string whole =
          R"({"id":"c","object":"text_completion","choices":[{"index":0,"text":"one two three",)"
          R"("finish_reason":"stop"}])" +
          lie + "}";
      co_await out.json(200, std::move(whole));
      co_return;
    }
    co_await out.begin_events();
    for (const char* word : {"one", " two", " three"})
      co_await out.event(json{{"id", "c"}, {"choices", {{{"index", 0}, {"text", word}}}}}.dump());
    if (asks(in, "cut")) co_return out.abort();
    if (!lie.empty()) co_await out.event(R"({"id":"c","choices":[])" + lie + "}");
    co_await out.event("[DONE]");
    co_await out.finish();
  }
  static Done embedding(base::Request& in, base::Responder& out) {
    if (asks(in, "cut")) {
      co_await out.begin_stream(200, "application/json");
      co_await out.write(R"({"object":"list","data":[{"object":"embedding",)");
      co_return out.abort();
    }
    std::string whole =
        R"({"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5,0.25]}])";
    if (asks(in, "lies")) whole += std::string(",") + kLie;
    co_await out.json(200, whole + "}");
  }

  boost::asio::io_context io_;
  base::HttpServer server_{io_};
  std::thread thread_;
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

  // Completions and embeddings likewise.
  const json text{{"model", "gpt-5.2"}, {"prompt", "carry water"}};
  const auto completed = tenant("POST", "/v1/completions", text.dump());
  ASSERT_EQ(completed.status, 200) << completed.body;
  EXPECT_EQ(json::parse(completed.body)["choices"][0]["text"], "carry water");
  EXPECT_EQ(json::parse(completed.body)["usage"]["completion_tokens"], 2);
  const json input{{"model", "gpt-5.2"}, {"input", {"carry water", "home"}}};
  const auto embedded = tenant("POST", "/v1/embeddings", input.dump());
  ASSERT_EQ(embedded.status, 200) << embedded.body;
  EXPECT_EQ(json::parse(embedded.body)["data"].size(), 1u);
  EXPECT_EQ(json::parse(embedded.body)["usage"]["prompt_tokens"], 3);

  // Billed once, and its signed records square with the gateway's books.
  const json books = settled([](const json& t) { return t["calls"] == 7 && t["records_waiting"] == 0; });
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

TEST_F(AdoptedPoolLab, CompletionsAndEmbeddingsAreMeteredAsChatsAre) {
  start_pools("time_scale = 10\n");
  far_->end(SIGTERM);
  foreign_port_ = support::free_port();
  start_gateway(1);  // first: it would inherit the server's connections, and hold them open
  PlainServer server(foreign_port_);
  start_adopter("schedulable");
  ASSERT_TRUE(wait_for_health("serving")) << "measured, though it knows no chats: " << far_->log();
  wait_for_pools(2);

  std::uint64_t calls = 0;
  const auto line_of = [&](const base::ClientResponse& answer) {
    settled([n = ++calls](const json& t) { return t["calls"] == n; });
    const std::string* call = answer.headers.find("x-qanat-call");
    return call ? admin_json("/v1/calls/" + *call) : json();
  };
  const auto complete = [&](const std::string& prompt, bool stream) {
    const json body{{"model", "plain"}, {"prompt", prompt}, {"max_tokens", 5}, {"stream", stream}};
    return tenant("POST", "/v1/completions", body.dump());
  };
  const auto embed = [&](const json& input) {
    return tenant("POST", "/v1/embeddings", json{{"model", "plain"}, {"input", input}}.dump());
  };
  for (const bool stream : {false, true}) {
    const auto honest = complete("carry water", stream);
    ASSERT_EQ(honest.status, 200) << honest.body;
    json line = line_of(honest);
    EXPECT_EQ(line["pool"], "foreign");
    EXPECT_EQ(line["tokens_in"], 2) << stream;
    EXPECT_EQ(line["tokens_out"], 3) << "it counted none: " << honest.body;
    EXPECT_EQ(line["outcome"], "completed");

    line = line_of(complete("this one lies", stream));
    EXPECT_EQ(line["tokens_out"], 5) << "what was asked for, and no more";
    EXPECT_LT(line["tokens_in"], 300);
  }
  const auto broken = complete("it is cut", true);
  EXPECT_NE(broken.body.find("\"error\""), std::string::npos) << broken.body;
  json line = line_of(broken);
  EXPECT_EQ(line["outcome"], "upstream_failed");
  EXPECT_EQ(line["tokens_out"], 3) << "what came";
  EXPECT_EQ(line["tokens_in"], 3);

  const auto vectors = embed({"carry water", "home"});
  ASSERT_EQ(vectors.status, 200) << vectors.body;
  EXPECT_EQ(json::parse(vectors.body)["usage"]["prompt_tokens"], 3);
  line = line_of(vectors);
  EXPECT_EQ(line["tokens_in"], 3);
  EXPECT_EQ(line["tokens_out"], 0);
  EXPECT_EQ(line["amount_nano"], 300);
  line = line_of(embed("this one lies"));
  EXPECT_LT(line["tokens_in"], 300);
  EXPECT_EQ(line["tokens_out"], 0);
  const auto nothing = embed("it is cut");
  EXPECT_GE(nothing.status, 500);
  line = line_of(nothing);
  EXPECT_EQ(line["amount_nano"], 0) << line;

  // The pool's signed records say what was billed.
  const json books = settled([](const json& t) { return t["records_waiting"] == 0; });
  EXPECT_EQ(books["sum_nano"], 0);
  EXPECT_EQ(books["tokens_billed"], books["tokens_delivered"]);
  EXPECT_EQ(books["records_disputed"], 0) << books;
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
