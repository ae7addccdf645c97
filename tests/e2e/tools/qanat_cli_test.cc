// The `qanat` program as a person runs it: what it prints, and the exit status of every way to fail. The gateway's side
// is an HttpServer that answers as seams.md §5 says; the real gateway meets it in the lab's tests.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "base/http_server.hh"

namespace qanat::cli {
namespace {
namespace asio = boost::asio;
using base::Request;
using base::Responder;
using testing::HasSubstr;

struct Ran {
  int status = -1;
  std::string out;  // stdout and stderr together
};

std::vector<std::string> greeting() {
  std::vector<std::string> out;
  for (const char* word : {"Hello", ", ", "well"})
    out.push_back(nlohmann::json{{"choices", {{{"index", 0}, {"delta", {{"content", word}}}}}}}.dump());
  return out;
}

std::string resolved(const std::string& c_url) {
  nlohmann::json candidate{
      {"instance", "far1-h20"}, {"local", false}, {"score", 12}, {"path", "city > far1"}};
  candidate["predicted"] = {{"ttft_ms", 210.4}, {"tpot_ms", 31}};
  nlohmann::json answer{{"request", c_url}};
  answer["candidates"] = nlohmann::json::array({candidate});
  return answer.dump();
}

struct CliTest : testing::Test {
  std::string program;
  asio::io_context io{1};
  base::HttpServer server{io};
  std::string socket = "/tmp/qanat-cli-" + std::to_string(::getpid()) + ".sock";
  std::string gateway;
  std::string asked;
  std::thread loop;

  void SetUp() override {
    const char* bin = std::getenv("QANAT_BIN");
    program = std::string{bin != nullptr ? bin : "."} + "/qanat";
    if (::access(program.c_str(), X_OK) != 0) GTEST_SKIP() << program << " is not built";
    server.route("POST", "/v1/chat/completions", [this](Request& r, Responder& out) -> asio::awaitable<void> {
      asked = r.body;
      if (r.headers.value_or("authorization", "") != "Bearer sk-qanat-good") {
        co_await out.error(401, "invalid_api_key", "no such key", "`POST /v1/keys` makes one");
        co_return;
      }
      out.set_header("x-qanat-call", "call-7");
      out.set_header("x-qanat-pool", "far1-h20");
      co_await out.begin_events();
      const std::vector<std::string> chunks = greeting();
      for (const std::string& chunk : chunks) co_await out.event(chunk);
      co_await out.event(R"({"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]})");
      co_await out.event(R"({"choices":[],"usage":{"prompt_tokens":4,"completion_tokens":3}})");
      co_await out.event("[DONE]");
    });
    server.route("GET", "/qanat/v1/resolve", [](Request& r, Responder& out) -> asio::awaitable<void> {
      co_await out.json(200, resolved(*r.parameter("c_url")));
    });
    server.route("GET", "/v1/nodes", [](Request&, Responder& out) -> asio::awaitable<void> {
      co_await out.json(200, R"([{"node":"n1","name":"city","domain":1,"connected":true,"relay":false,
        "lines":[{"plane":1,"address":"10.1.0.1"}],"location":"gz.cn","version_acked":12}])");
    });
    server.listen_tcp("127.0.0.1:0");
    server.listen_unix(socket);
    gateway = "http://127.0.0.1:" + std::to_string(server.port());
    loop = std::thread{[this] { io.run(); }};
  }
  void TearDown() override {
    if (!loop.joinable()) return;
    asio::post(io, [this] { server.stop(); });
    loop.join();
  }

  Ran run(const std::string& arguments) const {
    Ran out;
    FILE* pipe = ::popen(
        ("env -u QANAT_GATEWAY -u QANAT_KEY timeout 20 " + program + " " + arguments + " 2>&1").c_str(), "r");
    std::array<char, 4096> chunk{};
    while (const std::size_t n = std::fread(chunk.data(), 1, chunk.size(), pipe))
      out.out.append(chunk.data(), n);
    const int status = ::pclose(pipe);
    out.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return out;
  }
};

TEST_F(CliTest, DialStreamsTheAnswerAndTellsTheAccount) {
  const Ran ran =
      run("dial c-url://any/infer/m --prompt 'Hi \"there\"' --max-tokens 9 --key sk-qanat-good --gateway " +
          gateway);
  EXPECT_EQ(ran.status, 0) << ran.out;
  EXPECT_THAT(ran.out, HasSubstr("Hello, well\n"));
  EXPECT_THAT(ran.out, HasSubstr("call call-7   pool far1-h20"));
  EXPECT_THAT(ran.out, HasSubstr("4 tokens in, 3 out (stop)"));
  const auto body = nlohmann::json::parse(asked);
  EXPECT_EQ(body["model"], "c-url://any/infer/m");
  EXPECT_EQ(body["messages"][0]["content"], "Hi \"there\"");
  EXPECT_EQ(body["max_tokens"], 9);
  EXPECT_TRUE(body["stream"]);
}

TEST_F(CliTest, DialAsJson) {
  const Ran ran = run("dial m --prompt Hi --json --key sk-qanat-good --gateway " + gateway);
  EXPECT_EQ(ran.status, 0) << ran.out;
  const auto answer = nlohmann::json::parse(ran.out);
  EXPECT_EQ(answer["text"], "Hello, well");
  EXPECT_EQ(answer["usage"]["completion_tokens"], 3);
  EXPECT_EQ(answer["call"], "call-7");
}

TEST_F(CliTest, ARefusedKeyIsStatus5WithTheGatewaysHint) {
  const Ran ran = run("dial m --prompt Hi --key wrong --gateway " + gateway);
  EXPECT_EQ(ran.status, 5);
  EXPECT_THAT(ran.out, HasSubstr("no such key"));
  EXPECT_THAT(ran.out, HasSubstr("`POST /v1/keys` makes one"));
}

TEST_F(CliTest, NobodyThereIsStatus3) {
  const Ran ran = run("resolve c-url://any/infer --gateway http://127.0.0.1:1");
  EXPECT_EQ(ran.status, 3);
  EXPECT_THAT(ran.out, HasSubstr("cannot be reached"));
}

TEST_F(CliTest, WhatIsNotThereIsStatus4) { EXPECT_EQ(run("explain nope --gateway " + gateway).status, 4); }

TEST_F(CliTest, WrongUsageIsStatus2) {
  EXPECT_EQ(run("").status, 2);
  EXPECT_EQ(run("dial").status, 2);
  EXPECT_EQ(run("paint").status, 2);
  const Ran ran = run("c-url parse 'c-url://*.cn/infer?ttff=2s'");
  EXPECT_EQ(ran.status, 2);
  EXPECT_THAT(ran.out, HasSubstr("                   ^\n"));
  EXPECT_THAT(ran.out, HasSubstr("did you mean ttft?"));
}

TEST_F(CliTest, ResolveAndNodeListAsTables) {
  const Ran resolved = run("resolve c-url://any/infer --gateway " + gateway);
  EXPECT_EQ(resolved.status, 0) << resolved.out;
  EXPECT_THAT(resolved.out, HasSubstr("far1-h20"));
  EXPECT_THAT(resolved.out, HasSubstr("210 ms"));
  const Ran nodes = run("node list --socket " + socket);
  EXPECT_EQ(nodes.status, 0) << nodes.out;
  EXPECT_THAT(nodes.out, HasSubstr("1:10.1.0.1"));
}

TEST_F(CliTest, MatchAnswersByItsStatus) {
  EXPECT_EQ(run("c-url match 'c-url://*.cn/infer?cards=2' 'c-url://pml@guian.gz.cn/infer/m?cards=2'").status,
            0);
  const Ran no = run("c-url match 'c-url://*.cn/infer?cards=4' 'c-url://pml@guian.gz.cn/infer/m?cards=2'");
  EXPECT_EQ(no.status, 1);
  EXPECT_EQ(no.out, "no: cards: wanted 4, offered 2\n");
}

}  // namespace
}  // namespace qanat::cli
