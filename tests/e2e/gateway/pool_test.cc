// qanat-pool as a process on loopback: what callers get, at what pace, and what is remembered of them whatever happens.
#include <gtest/gtest.h>
#include <signal.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/clock.hh"
#include "base/http_client.hh"
#include "gateway/pool/usage/usage_record.hh"
#include "tests/support/daemon_process.hh"
#include "tools/replay/chat_stream.hh"

namespace qanat {
namespace {

namespace asio = boost::asio;
using asio::awaitable;
using nlohmann::json;
using std::chrono::milliseconds;

const char* const kModel = "deepseek-r1-distill-qwen-32b";

json chat_body(std::uint32_t tokens, bool stream = true) {
  json body{{"model", kModel},
            {"messages", {{{"role", "user"}, {"content", "carry water under the hill"}}}},
            {"max_tokens", tokens},
            {"x_qanat_sim_output_tokens", tokens},
            {"stream", stream}};
  if (stream) body["stream_options"] = {{"include_usage", true}, {"continuous_usage_stats", true}};
  return body;
}

class PoolProcess : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!support::DaemonProcess::available("qanat-pool")) GTEST_SKIP() << "qanat-pool is not built";
  }
  // `engine`: lines of the [engine] table.
  void start(const std::string& engine = "", const std::string& keys = "") {
    port_ = support::free_port();
    const std::string config = folder_.write(
        "pool.toml",
        keys +
            "id = \"far1-h20\"\nprovider = \"pml\"\nlocation = \"guian.gz.cn\"\nsite = \"far1\"\nlisten = "
            "\"127.0.0.1:" +
            std::to_string(port_) + "\"\nsocket = \"" + folder_.file("pool.sock") + "\"\nusage_db = \"" +
            folder_.file("usage.db") + "\"\ncards = \"H20\"\ncount = 8\nmodels = [\"" + kModel +
            "\"]\n[price]\ninput = 400\noutput = 1600\n[engine]\n" + engine);
    pool_ = std::make_unique<support::DaemonProcess>(
        "qanat-pool", std::vector<std::string>{"--config", config}, folder_.file("log"));
    restart();
  }
  void restart() {
    pool_->start();
    for (int i = 0; i < 400; ++i) {
      const auto health = base::fetch_blocking(url(), {"GET", "/health", {}, ""});
      if (health && health->status == 200) return;
      std::this_thread::sleep_for(milliseconds(25));
    }
    FAIL() << "the pool does not answer:\n" << pool_->log();
  }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  base::ClientResponse get(const std::string& target) {
    auto answer = base::fetch_blocking(url(), {"GET", target, {}, ""});
    EXPECT_TRUE(answer) << target << ": " << answer.error().message();
    return answer ? *answer : base::ClientResponse{};
  }
  base::ClientResponse post(const std::string& target, const json& body) {
    auto answer =
        base::fetch_blocking(url(), {"POST", target, {{"content-type", "application/json"}}, body.dump()});
    EXPECT_TRUE(answer) << target << ": " << answer.error().message();
    return answer ? *answer : base::ClientResponse{};
  }
  json status() {
    return json::parse(
        base::fetch_blocking("unix:" + folder_.file("pool.sock"), {"GET", "/v1/status", {}, ""})
            .value()
            .body);
  }
  json usage(std::uint64_t after = 0) {
    return json::parse(get("/qanat/v1/usage?after=" + std::to_string(after)).body);
  }

  // Opens a stream and reads until `until` tokens have come (0: to its end).
  awaitable<std::uint64_t> stream(base::HttpClient& client, std::uint32_t tokens, std::uint64_t until,
                                  std::string call, replay::ChatStream& chat) {
    base::ClientRequest request{"POST", "/v1/chat/completions", {}, chat_body(tokens).dump()};
    request.headers.add("x-qanat-call", call);
    auto opened = co_await client.open(url(), std::move(request));
    if (!opened) {
      ADD_FAILURE() << opened.error().message();
      co_return 0;
    }
    EXPECT_EQ(opened->status(), 200);
    EXPECT_EQ(opened->headers().value_or("x-qanat-pool", ""), "far1-h20");
    while (until == 0 || chat.tokens() < until) {
      const auto bytes = co_await opened->read_some();
      if (!bytes || bytes->empty()) break;
      chat.feed(*bytes);
    }
    co_return chat.tokens();
  }

  support::TempFolder folder_{"pool"};
  unsigned port_ = 0;
  std::unique_ptr<support::DaemonProcess> pool_;
};

TEST_F(PoolProcess, AnswersWholeAndStreamed) {
  start("time_scale = 10");
  const json models = json::parse(get("/v1/models").body);
  EXPECT_EQ(models["data"][0]["id"], kModel);

  auto answer = post("/v1/chat/completions", chat_body(12, false));
  EXPECT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.headers.value_or("x-qanat-pool", ""), "far1-h20");
  const json whole = json::parse(answer.body);
  EXPECT_EQ(whole["usage"]["completion_tokens"], 12);
  EXPECT_EQ(whole["choices"][0]["finish_reason"], "stop");

  json cut = chat_body(12, false);
  cut["max_tokens"] = 5;
  const json shorter = json::parse(post("/v1/chat/completions", cut).body);
  EXPECT_EQ(shorter["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(shorter["usage"]["completion_tokens"], 5);

  answer = post("/v1/chat/completions", chat_body(12));
  EXPECT_EQ(answer.headers.value_or("content-type", ""), "text/event-stream");
  replay::ChatStream chat;
  chat.feed(answer.body);
  EXPECT_EQ(chat.failure(true), "");
  EXPECT_EQ(chat.tokens(), 12u);
  EXPECT_EQ(chat.prompt_tokens(), whole["usage"]["prompt_tokens"].get<std::uint64_t>());

  const json descriptor = json::parse(get("/qanat/v1/descriptor").body);
  EXPECT_EQ(descriptor["id"], "far1-h20");
  EXPECT_LT(descriptor["state"]["generation"],
            json::parse(get("/qanat/v1/descriptor").body)["state"]["generation"]);
  const std::string metrics = get("/metrics").body;
  EXPECT_NE(metrics.find("vllm:generation_tokens_total{"), std::string::npos) << metrics;
  EXPECT_NE(metrics.find("vllm:num_requests_running{"), std::string::npos);
}

TEST_F(PoolProcess, RefusesInTheClientsTerms) {
  start();
  json body = chat_body(5, false);
  body["model"] = "gpt-0";
  auto answer = post("/v1/chat/completions", body);
  EXPECT_EQ(answer.status, 404);
  EXPECT_EQ(json::parse(answer.body)["error"]["code"], "model_not_found");
  body = chat_body(5, false);
  body["tools"] = {{{"type", "function"}}};
  answer = post("/v1/chat/completions", body);
  EXPECT_EQ(answer.status, 400);
  EXPECT_EQ(json::parse(answer.body)["error"]["param"], "tools");
  answer = post("/v1/chat/completions", chat_body(200000, false));
  EXPECT_EQ(answer.status, 400);
  EXPECT_EQ(json::parse(answer.body)["error"]["code"], "context_length_exceeded");
  EXPECT_TRUE(usage().empty()) << "nothing was generated, nothing is charged";
}

TEST_F(PoolProcess, FullQueueSaysWhenToComeBack) {
  start("max_num_seqs = 1\nmax_waiting = 1");
  asio::io_context io;
  base::HttpClient client(io);
  std::vector<replay::ChatStream> chats(2);
  for (int i = 0; i < 2; ++i)
    asio::co_spawn(
        io,
        [&, i]() -> awaitable<void> { co_await stream(client, 2000, 0, "c" + std::to_string(i), chats[i]); },
        asio::detached);
  asio::co_spawn(
      io,
      [&]() -> awaitable<void> {
        asio::steady_timer wait(io, milliseconds(500));
        co_await wait.async_wait(asio::use_awaitable);
        base::ClientRequest request{"POST", "/v1/chat/completions", {}, chat_body(5).dump()};
        auto refused = co_await client.fetch(url(), std::move(request));
        EXPECT_TRUE(refused);
        EXPECT_EQ(refused->status, 503);
        EXPECT_EQ(json::parse(refused->body)["error"]["code"], "queue_full");
        EXPECT_GE(std::stoi(std::string(refused->headers.value_or("retry-after", "0"))), 1);
        io.stop();
      },
      asio::detached);
  io.run_for(std::chrono::seconds(20));
}

// 200 streams at once: every token arrives, and each leaves close to the instant that the engine planned for it.
TEST_F(PoolProcess, TwoHundredStreamsKeepThePace) {
  start();
  asio::io_context io;
  base::HttpClientOptions options;
  options.idle_per_origin = 256;
  base::HttpClient client(io, options);
  std::vector<replay::ChatStream> chats(200);
  std::size_t complete = 0, over = 0;
  for (std::size_t i = 0; i < chats.size(); ++i)
    asio::co_spawn(
        io,
        [&, i]() -> awaitable<void> {
          co_await stream(client, 40, 0, "s" + std::to_string(i), chats[i]);
          complete += chats[i].failure(true).empty() && chats[i].tokens() == 40;
          if (++over == chats.size()) io.stop();
        },
        asio::detached);
  io.run_for(std::chrono::seconds(60));
  EXPECT_EQ(complete, chats.size());
  // Buckets of the pool's own measure: due instant to bytes taken by the socket.
  const std::string metrics = get("/metrics").body;
  const auto bucket = [&](const std::string& bound) {
    const auto at =
        metrics.find("le=\"" + bound + "\"", metrics.find("qanat_pool_token_lateness_seconds_bucket"));
    return at == std::string::npos ? 0.0 : std::stod(metrics.substr(metrics.find(' ', at)));
  };
  const double all = bucket("+Inf");
  std::printf("lateness of %.0f writes: %.1f %% within 5 ms, %.1f %% within 20 ms, %.1f %% within 100 ms\n",
              all, 100 * bucket("0.005") / all, 100 * bucket("0.02") / all, 100 * bucket("0.1") / all);
  EXPECT_GT(all, 2000);
  EXPECT_GT(bucket("0.5") / all, 0.95)
      << "even a sanitised build on a busy machine keeps within half a second";
}

// The tenant's program against this pool alone: what it counts is what the trace asked for.
TEST_F(PoolProcess, ReplayCountsWhatTheTraceAskedFor) {
  if (!support::DaemonProcess::available("qanat-replay")) GTEST_SKIP() << "qanat-replay is not built";
  start("time_scale = 4");
  std::string trace = "TIMESTAMP,ContextTokens,GeneratedTokens\n";
  std::uint64_t prompt = 0, output = 0;
  for (int i = 0; i < 30; ++i) {
    trace += "2023-11-16 18:15:" + std::to_string(10 + i) + ".5000000," + std::to_string(100 + i) + "," +
             std::to_string(5 + i) + "\n";
    prompt += 100 + static_cast<std::uint64_t>(i);
    output += 5 + static_cast<std::uint64_t>(i);
  }
  const std::string out = folder_.file("replay.json");
  support::DaemonProcess replay("qanat-replay",
                                {"--trace", folder_.write("trace.csv", trace), "--gateway", url(), "--model",
                                 kModel, "--compress", "20", "--local-pool", "far1-h20", "--json", out},
                                folder_.file("replay.log"));
  replay.start();
  for (int i = 0; i < 600 && replay.running(); ++i) std::this_thread::sleep_for(milliseconds(50));
  std::ifstream file(out);
  ASSERT_TRUE(file) << replay.log();
  const json summary = json::parse(file);
  EXPECT_EQ(summary["requests_total"], 30) << replay.log();
  EXPECT_EQ(summary["requests_failed"], 0) << replay.log();
  EXPECT_EQ(summary["tokens_delivered"], output);
  EXPECT_EQ(summary["prompt_tokens"], prompt)
      << "prompts have the trace's token counts by the pool's tokenizer";
  EXPECT_EQ(summary["overflow_share"], 0);
  EXPECT_EQ(summary["ttft_ms"]["local"]["count"], 30);
}

TEST_F(PoolProcess, ALeavingClientEndsTheSequenceAndIsRecorded) {
  start();
  asio::io_context io;
  replay::ChatStream chat;
  {
    base::HttpClient client(io);
    asio::co_spawn(
        io, [&]() -> awaitable<void> { co_await stream(client, 3000, 5, "leaver", chat); }, asio::detached);
    io.run_for(std::chrono::seconds(20));
  }
  EXPECT_GE(chat.tokens(), 5u);
  json records;
  for (int i = 0; i < 100 && (records = usage()).empty(); ++i) std::this_thread::sleep_for(milliseconds(50));
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0]["call"], "leaver");
  EXPECT_EQ(records[0]["finish"], "cancelled");
  EXPECT_GE(records[0]["completion_tokens"], chat.tokens());
  EXPECT_LT(records[0]["completion_tokens"], 3000);
  EXPECT_EQ(status()["models"][0]["running"], 0);
}

TEST_F(PoolProcess, Kill9LosesNoUsageAndRecordsNoneTwice) {
  start();
  ASSERT_EQ(post("/v1/chat/completions", chat_body(3, false)).status, 200);
  asio::io_context io;
  std::vector<replay::ChatStream> chats(6);
  base::HttpClient client(io);
  for (std::size_t i = 0; i < chats.size(); ++i)
    asio::co_spawn(
        io,
        [&, i]() -> awaitable<void> { co_await stream(client, 3000, 0, "k" + std::to_string(i), chats[i]); },
        asio::detached);
  io.run_for(std::chrono::seconds(2));
  pool_->end(SIGKILL);
  io.run_for(std::chrono::seconds(1));  // what was in the sockets
  restart();

  const json records = usage();
  ASSERT_EQ(records.size(), 1 + chats.size());
  const std::string key = json::parse(get("/qanat/v1/usage/key").body)["public_key"];
  std::uint64_t sequence = 0;
  for (const auto& r : records) {
    EXPECT_EQ(r["sequence"], ++sequence);
    const pool::UsageRecord record{r["sequence"],
                                   r["pool"],
                                   r["call"],
                                   r["model"],
                                   r["prompt_tokens"],
                                   r["completion_tokens"],
                                   r["started_unix_ms"],
                                   r["ended_unix_ms"],
                                   r["finish"],
                                   ""};
    EXPECT_TRUE(pool::verify(pool::signed_text(record), r["signature"].get<std::string>(), key));
  }
  for (std::size_t i = 0; i < chats.size(); ++i) {
    EXPECT_GT(chats[i].tokens(), 0u);
    for (const auto& r : records) {
      if (r["call"] != "k" + std::to_string(i)) continue;
      EXPECT_EQ(r["finish"], "interrupted");
      EXPECT_GE(r["completion_tokens"], chats[i].tokens()) << "delivered but not recorded";
      EXPECT_LE(r["completion_tokens"], chats[i].tokens() + 20) << "recorded far more than was delivered";
    }
  }
  // Killed again, nothing is recorded anew; what is acknowledged is gone, and numbers go on.
  pool_->end(SIGKILL);
  restart();
  EXPECT_EQ(usage().size(), records.size());
  EXPECT_EQ(json::parse(post("/qanat/v1/usage/ack", {{"through", sequence}}).body)["acknowledged"],
            records.size());
  EXPECT_TRUE(usage().empty());
  ASSERT_EQ(post("/v1/chat/completions", chat_body(3, false)).status, 200);
  json later;
  for (int i = 0; i < 100 && (later = usage()).empty(); ++i) std::this_thread::sleep_for(milliseconds(20));
  ASSERT_EQ(later.size(), 1u);
  EXPECT_EQ(later[0]["sequence"], sequence + 1);
}

TEST_F(PoolProcess, LetsCallsEndAfterSigtermAndTakesNoMore) {
  start();
  asio::io_context io;
  replay::ChatStream chat;
  base::HttpClient client(io);
  asio::co_spawn(
      io, [&]() -> awaitable<void> { co_await stream(client, 500, 0, "last", chat); }, asio::detached);
  io.run_for(std::chrono::milliseconds(700));
  ASSERT_GT(chat.tokens(), 0u);
  ASSERT_LT(chat.tokens(), 500u);
  ::kill(pool_->pid(), SIGTERM);
  std::this_thread::sleep_for(milliseconds(100));
  EXPECT_EQ(post("/v1/chat/completions", chat_body(3)).status, 503);
  EXPECT_EQ(json::parse(get("/qanat/v1/descriptor").body)["state"]["health"], "draining");
  for (int i = 0; i < 180 && !chat.done(); ++i) io.run_for(milliseconds(100));
  EXPECT_TRUE(chat.done());
  EXPECT_EQ(chat.tokens(), 500u);
  for (int i = 0; i < 200 && pool_->running(); ++i) std::this_thread::sleep_for(milliseconds(20));
  EXPECT_FALSE(pool_->running()) << "nothing was left to wait for";
}

TEST_F(PoolProcess, EndsCleanlyAndRecordsWhatWasUnderWay) {
  start("", "drain = \"0s\"\n");
  asio::io_context io;
  replay::ChatStream chat;
  base::HttpClient client(io);
  asio::co_spawn(
      io, [&]() -> awaitable<void> { co_await stream(client, 3000, 0, "cut", chat); }, asio::detached);
  io.run_for(std::chrono::seconds(1));
  const auto before = base::monotonic_now();
  pool_->end(SIGTERM);
  EXPECT_LT(base::monotonic_now() - before, std::chrono::seconds(4));
  io.run_for(std::chrono::seconds(1));
  EXPECT_FALSE(chat.done());
  restart();
  const json records = usage();
  ASSERT_EQ(records.size(), 1u) << pool_->log();
  EXPECT_EQ(records[0]["finish"], "interrupted");
  EXPECT_GE(records[0]["completion_tokens"], chat.tokens());
}

}  // namespace
}  // namespace qanat
