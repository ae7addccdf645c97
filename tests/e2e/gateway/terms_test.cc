// What a key is good for, and what an operator's content filter lets pass.
#include <algorithm>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/http_server.hh"
#include "tests/e2e/gateway/metering_lab.hh"

namespace qanat::e2e {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;

TEST_F(Metering, KeysHaveTermsAndBillsALineEach) {
  const auto made = [&](const json& terms) {
    return json::parse(admin("POST", "/v1/keys", terms.dump()).body);
  };
  const auto call = [&](const std::string& key) {
    return tenant("POST", "/v1/chat/completions", body("", false).dump(), key).status;
  };
  const json one = made({{"tenant", "terms"}, {"models", {kModel}}});
  EXPECT_EQ(call(one["key"]), 200);
  EXPECT_EQ(json::parse(tenant("GET", "/v1/models", "", one["key"]).body)["data"].size(), 1u);
  const json other = made({{"tenant", "terms"}, {"models", {"another"}}});
  EXPECT_EQ(call(other["key"]), 403);
  EXPECT_EQ(json::parse(tenant("GET", "/v1/models", "", other["key"]).body)["data"].size(), 0u);
  EXPECT_EQ(call(made({{"tenant", "terms"}, {"expires_unix_ms", 1}})["key"]), 401);
  EXPECT_EQ(admin("POST", "/v1/keys", R"({"tenant":"terms","models":[""]})").status, 400);
  // Another secret, the old one for a second more; what a restart keeps.
  const std::string rotate = "/v1/keys/" + one["id"].get<std::string>() + "/rotate";
  const json next = json::parse(admin("POST", rotate, R"({"grace_s":1})").body);
  EXPECT_EQ(next["replaces"], one["id"]);
  EXPECT_EQ(call(one["key"]), 200);
  EXPECT_EQ(call(next["key"]), 200);
  gateway_->end(SIGKILL);
  start_gateway();
  std::this_thread::sleep_for(milliseconds(1000));
  EXPECT_EQ(call(one["key"]), 401);
  EXPECT_EQ(call(next["key"]), 200);
  EXPECT_EQ(admin("POST", rotate, "").status, 404) << "it has ended";
  books(4);
  const std::string csv = tenant("GET", "/qanat/v1/bill?format=csv", "", next["key"]).body;
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 5) << csv;
  // 10 fresh at 400, 30 cached at 100, 5 generated at 1600.
  EXPECT_NE(csv.find(",40,30,5,15000,"), std::string::npos) << csv;
  EXPECT_EQ(tenant("GET", "/qanat/v1/bill?format=xml", "", next["key"]).status, 400);
  // One call's worth is left, and no second one's.
  const std::int64_t most = static_cast<std::int64_t>(body("", false, 5).dump().size() + 64) * 400 + 5 * 1600;
  const std::int64_t spent = admin_json("/v1/ledger/totals")["total_nano"];
  admin("PUT", "/v1/budgets", json{{"account", "terms"}, {"limit_nano", spent + most}}.dump());
  EXPECT_EQ(tenant("POST", "/v1/chat/completions", body("", false, 5).dump(), next["key"]).status, 200);
  settled([](const json& totals) { return totals["calls"] == 5; });
  const auto budget_of = [&] {
    return json::parse(tenant("GET", "/qanat/v1/usage", "", next["key"]).body)["budgets"];
  };
  EXPECT_TRUE(budget_of()["tenant"]["alert"].is_null());
  const auto refused = tenant("POST", "/v1/chat/completions", body("", false, 5).dump(), next["key"]);
  EXPECT_EQ(refused.status, 429);
  ASSERT_TRUE(refused.headers.find("x-qanat-budget"));
  EXPECT_EQ(*refused.headers.find("x-qanat-budget"), "100;account=\"terms\"");
  EXPECT_EQ(budget_of()["tenant"]["alert"], 100);
  EXPECT_TRUE(budget_of()["project"]["alert"].is_null()) << "it has no limit";
  const std::string metrics = admin("GET", "/metrics").body;
  EXPECT_NE(metrics.find("qanat_gateway_budget_alerts_total{percent=\"100\"} 1"), std::string::npos)
      << metrics;
  EXPECT_NE(metrics.find("qanat_gateway_budget_used{account=\"terms\"} 0."), std::string::npos);
}

TEST_F(Metering, AnswersSayThatABudgetIsNearItsEndWhileItIs) {
  const json made = json::parse(admin("POST", "/v1/keys", R"({"tenant":"near","project":"rain"})").body);
  const std::string key = made["key"], account = "near/rain";
  const auto header = [&](const base::ClientResponse& answer) {
    EXPECT_EQ(answer.status, 200) << answer.body;
    const std::string* text = answer.headers.find("x-qanat-budget");
    return text ? *text : std::string();
  };
  const auto call = [&](bool stream) {
    return tenant("POST", "/v1/chat/completions", body("", stream, 5).dump(), key);
  };
  const auto limit = [&](std::int64_t nano) {
    admin("PUT", "/v1/budgets", json{{"account", account}, {"limit_nano", nano}}.dump());
  };
  limit(1'000'000);
  EXPECT_EQ(header(call(false)), "");
  settled([](const json& totals) { return totals["calls"] == 1; });
  const std::int64_t cost = admin_json("/v1/ledger/totals")["total_nano"];
  limit(cost * 100);
  for (int calls = 1; calls < 80; ++calls) EXPECT_EQ(header(call(false)), "") << calls << " of 100";
  settled([](const json& totals) { return totals["calls"] == 80; });
  EXPECT_EQ(header(call(true)), "80;account=\"near/rain\"");
  settled([](const json& totals) { return totals["calls"] == 81; });
  const std::string metrics = admin("GET", "/metrics").body;
  EXPECT_NE(metrics.find("qanat_gateway_budget_alerts_total{percent=\"80\"} 1"), std::string::npos)
      << metrics;
  EXPECT_NE(gateway_->log().find("budget of near/rain"), std::string::npos);
  gateway_->end(SIGKILL);
  start_gateway();
  EXPECT_EQ(header(call(false)), "80;account=\"near/rain\"") << "it stands, and is no news";
  EXPECT_EQ(admin("GET", "/metrics").body.find("qanat_gateway_budget_alerts_total{"), std::string::npos);
  EXPECT_EQ(admin_json("/v1/budgets").at(0)["alert"], 80);
  limit(cost * 200);
  EXPECT_EQ(header(call(false)), "");
}

TEST_F(Metering, AKeyIsWorthItsScope) {
  const auto key = [&](const json& scope) {
    json terms = scope;
    terms["tenant"] = "narrow";
    return json::parse(admin("POST", "/v1/keys", terms.dump()).body).at("key").get<std::string>();
  };
  const auto refusal = [&](const base::ClientResponse& answer) {
    const json error = json::parse(answer.body).at("error");
    EXPECT_EQ(error.at("code"), "scope_exceeded");
    EXPECT_EQ(answer.status, 403);
    return error.at("message").get<std::string>();
  };
  const std::string chat = "/v1/chat/completions", any = body("", false).dump();
  const std::string reader = key({{"endpoints", {"models", "account"}}});
  EXPECT_EQ(tenant("GET", "/v1/models", "", reader).status, 200);
  EXPECT_EQ(tenant("GET", "/qanat/v1/bill", "", reader).status, 200);
  EXPECT_EQ(refusal(tenant("POST", chat, any, reader)),
            "this key may not do that: scope 'endpoints' has 'models', 'account', and not 'chat'");
  EXPECT_EQ(refusal(tenant("POST", chat, any, key({{"models", {"another"}}}))),
            "this key may not call it: scope 'models' has 'another', and not '" + std::string(kModel) + "'");
  // Of two pools a C-URL allows one, and the other stands in the decision with its reason.
  const std::string there = key({{"c_urls", {"c-url://us/infer", "c-url://pml@gz.cn/infer?within=cn"}}});
  EXPECT_NE(refusal(tenant("POST", chat, any, there)).find("scope 'c_urls' wants provider"),
            std::string::npos);
  const std::string here = key({{"c_urls", {"c-url://us/infer", "c-url://test@gz.cn/infer?within=cn"}}});
  EXPECT_EQ(tenant("POST", chat, any, here).status, 200);
  EXPECT_EQ(admin("POST", "/v1/keys", R"({"tenant":"narrow","endpoints":["chats"]})").status, 400);
  EXPECT_EQ(admin("POST", "/v1/keys", R"({"tenant":"narrow","c_urls":["gz.cn"]})").status, 400);
  gateway_->end(SIGKILL);
  start_gateway();
  refusal(tenant("POST", chat, any, reader));
  refusal(tenant("POST", chat, any, there));
  books(1);
}

// What an operator's filter program would be: it refuses texts with a word in them, and falls silent when told to.
class FilterProgram {
 public:
  explicit FilterProgram(unsigned port) {
    server_.route(
        "POST", "/check", [this](base::Request& in, base::Responder& out) -> boost::asio::awaitable<void> {
          ++asked_;
          const json question = json::parse(in.body, nullptr, false);
          const bool refused = question.is_discarded() ||
                               (question.at("stage") == "answer" &&
                                question.at("body").dump().find("word word") != std::string::npos) ||
                               question.at("body").dump().find("poison") != std::string::npos;
          if (broken_)
            co_await out.json(500, "{}");
          else
            co_await out.json(200, refused ? R"({"allow":false,"reason":"a rule"})" : R"({"allow":true})");
        });
    server_.listen_tcp("127.0.0.1:" + std::to_string(port));
    thread_ = std::thread([this] { io_.run(); });
  }
  ~FilterProgram() {
    io_.stop();
    thread_.join();
  }
  std::atomic<int> asked_{0};
  std::atomic<bool> broken_{false};

 private:
  boost::asio::io_context io_;
  base::HttpServer server_{io_};
  std::thread thread_;
};

TEST_F(Metering, AFilterSaysWhatPasses) {
  const unsigned port = support::free_port();
  FilterProgram filter(port);
  gateway_.reset();
  more_ = "[filter]\nurl = \"http://127.0.0.1:" + std::to_string(port) +
          "/check\"\nask = [\"request\", \"answer\"]\ntimeout = \"5s\"\n";
  start_gateway();
  const auto code = [&](const json& asked) {
    const auto answer = tenant("POST", "/v1/chat/completions", asked.dump());
    return answer.status == 200 ? "200"
                                : std::to_string(answer.status) + " " +
                                      json::parse(answer.body).at("error").at("code").get<std::string>();
  };
  json poisoned = body("");
  poisoned["messages"][0]["content"] = "poison";
  EXPECT_EQ(code(poisoned), "403 content_refused");
  EXPECT_EQ(pool_->calls(), 0u) << "it went no further";
  EXPECT_EQ(code(body("")), "200") << "a stream's answer is not asked about";
  EXPECT_EQ(code(body("", false)), "403 content_refused") << "a whole answer is";
  const json refused = latest();
  EXPECT_EQ(refused["outcome"], "refused");
  EXPECT_EQ(refused["amount_nano"], 0) << "nobody got it, nobody pays it";
  EXPECT_EQ(filter.asked_, 4);
  filter.broken_ = true;
  EXPECT_EQ(code(body("")), "503 content_filter_failed");
  const std::string metrics = admin("GET", "/metrics").body;
  EXPECT_NE(metrics.find("qanat_gateway_filter_total{verdict=\"failed\"} 1"), std::string::npos) << metrics;
  EXPECT_NE(metrics.find("qanat_gateway_filter_total{verdict=\"refused\"} 2"), std::string::npos);
  books(2);
  gateway_.reset();
  more_ += "on_failure = \"pass\"\n";
  start_gateway();
  EXPECT_EQ(code(body("")), "200") << "as configured";
}

TEST_F(Metering, PromptsAreKeptOfWhomTheOperatorNamesAlone) {
  gateway_.reset();
  const std::string folder = folder_.file("prompts");
  std::filesystem::create_directories(folder);
  std::ofstream(folder + "/prompts-1999-12-31.jsonl") << "{}\n";
  std::ofstream(folder + "/notes.txt") << "mine";
  more_ = "[prompt_log]\nfolder = \"" + folder + "\"\ntenants = [\"lab\"]\nday_mb = 1\n";
  start_gateway();
  EXPECT_FALSE(std::filesystem::exists(folder + "/prompts-1999-12-31.jsonl")) << "too old";
  EXPECT_TRUE(std::filesystem::exists(folder + "/notes.txt")) << "not ours";
  const std::string other =
      json::parse(admin("POST", "/v1/keys", R"({"tenant":"other"})").body).at("key").get<std::string>();
  json asked = body("", false);
  asked["messages"][0]["content"] = "my secret\nin two lines";
  const auto first = tenant("POST", "/v1/chat/completions", asked.dump(2));
  ASSERT_EQ(first.status, 200) << first.body;
  EXPECT_EQ(tenant("POST", "/v1/chat/completions", asked.dump(), other).status, 200);
  EXPECT_EQ(tenant("POST", "/v1/chat/completions", R"({"model":1})").status, 400);
  for (int i = 0; i < 6; ++i) {  // the day is full after five of them
    asked["messages"][0]["content"] = std::string(200'000, 'w');
    EXPECT_EQ(tenant("POST", "/v1/chat/completions", asked.dump()).status, 200);
  }
  const auto counted = [&](const std::string& result) {
    const std::string text = admin("GET", "/metrics").body,
                      name = "prompts_total{result=\"" + result + "\"} ";
    const auto at = text.find(name);
    return at == std::string::npos ? -1 : std::atoi(text.c_str() + at + name.size());
  };
  for (int i = 0; i < 100 && counted("kept") + counted("left_out") < 7; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(counted("kept"), 6);
  EXPECT_EQ(counted("left_out"), 1);
  std::vector<json> lines;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".jsonl") continue;
    EXPECT_EQ(static_cast<int>(entry.status().permissions()), 0600);
    std::ifstream in(entry.path());
    for (std::string line; std::getline(in, line);) lines.push_back(json::parse(line));
  }
  ASSERT_EQ(lines.size(), 6u);
  EXPECT_EQ(lines[0]["tenant"], "lab");
  EXPECT_EQ(lines[0]["call"], first.headers.value_or("x-qanat-call", ""));
  EXPECT_EQ(lines[0]["body"]["messages"][0]["content"], "my secret\nin two lines");
  EXPECT_EQ(gateway_->log().find("secret"), std::string::npos);
  gateway_->end(SIGTERM);
  std::ifstream ledger(folder_.file("ledger.db"), std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(ledger), {}};
  EXPECT_EQ(bytes.find("my secret"), std::string::npos) << "the books hold no texts";
}

TEST_F(Metering, AFilterSeesAStreamBeforeItsClientDoes) {
  const unsigned port = support::free_port();
  FilterProgram filter(port);
  gateway_.reset();
  more_ = "[filter]\nurl = \"http://127.0.0.1:" + std::to_string(port) +
          "/check\"\nask = [\"stream\"]\nwindow_bytes = 100\ntimeout = \"5s\"\n";
  start_gateway();
  // What it has nothing against comes whole, and costs what it does without a filter.
  const Seen clean = streams(1, body("slow", true, 300)).at(0);
  EXPECT_TRUE(clean.chat.done());
  EXPECT_EQ(clean.chat.tokens(), 200u);
  EXPECT_EQ(filter.asked_, 19) << "full at 20 tokens, then at every tenth";
  books(1);
  EXPECT_EQ(latest()["tokens_out"], 200);
  // The word is the 120th and 121st token.
  const Seen cut = streams(1, body("poisoned", true, 300)).at(0);
  EXPECT_EQ(cut.chat.finish_reason(), "content_filter");
  EXPECT_EQ(cut.chat.failure(true), "");
  EXPECT_TRUE(cut.chat.done());
  EXPECT_EQ(cut.chat.tokens(), 100u) << "the window had the rest";
  books(2);
  const json line = latest();
  EXPECT_EQ(line["outcome"], "completed");
  EXPECT_EQ(line["tokens_out"], 100) << "what was delivered, and no more";
  EXPECT_EQ(line["tokens_in"], 40);
  // A response too: it tells as its text what went out, not what the window held.
  json asked = body("poisoned", true, 300);
  asked["input"] = "Where does the water go?";
  asked.erase("messages");
  asked.erase("max_tokens");
  const std::string told = tenant("POST", "/v1/responses", asked.dump()).body;
  const json response = json::parse(told.substr(told.rfind("data: ") + 6))["response"];
  EXPECT_EQ(response["incomplete_details"]["reason"], "content_filter") << told;
  EXPECT_EQ(response["output"][0]["content"][0]["text"].get<std::string>().size(), 500u) << "100 words";
  EXPECT_EQ(response["usage"]["output_tokens"], 100);
  books(3);
  EXPECT_EQ(latest()["tokens_out"], 100);
  // Silent in mid-stream: an error that the client can name; before the first byte: 503.
  const Seen left = streams(1, body("slow", true, 300), 0, [&](std::uint64_t tokens) {
                      if (tokens > 0) filter.broken_ = true;
                    }).at(0);
  EXPECT_NE(left.chat.failure(true).find("content_filter_failed"), std::string::npos)
      << left.chat.failure(true);
  EXPECT_GT(left.chat.tokens(), 0u);
  books(4);
  EXPECT_EQ(latest()["tokens_out"], left.chat.tokens());
  const Seen none = streams(1, body("")).at(0);
  EXPECT_EQ(none.status, 503) << none.body;
  books(5);
  EXPECT_EQ(latest()["amount_nano"], 0);
}

}  // namespace
}  // namespace qanat::e2e
