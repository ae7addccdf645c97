// qanat-gateway and qanat-pool as processes: where calls go, what they cost, and books that stay exact whatever dies.
#include <signal.h>

#include <gmock/gmock.h>

#include <algorithm>
#include <thread>

#include "tests/e2e/gateway/gateway_lab.hh"

namespace qanat::e2e {
namespace {

using nlohmann::json;

std::uint64_t sum_tokens(const std::vector<Seen>& seen) {
  std::uint64_t tokens = 0;
  for (const Seen& s : seen) tokens += s.chat.tokens();
  return tokens;
}

// Billed for what their socket took, held for while under way, and as the pool's own signed records have it.
TEST_F(GatewayLab, CompletionsAndEmbeddingsAreOnTheBooks) {
  start_pools();
  start_gateway();
  const json completion{{"model", kModel}, {"prompt", "Where does the"}, {"max_tokens", 6}};
  const auto text = tenant("POST", "/v1/completions", completion.dump());
  ASSERT_EQ(text.status, 200) << text.body;
  const std::int64_t read = json::parse(text.body)["usage"]["prompt_tokens"];
  json vectors{{"model", kModel}, {"input", {"Where does the water go?", "Who dug it?"}}, {"dimensions", 4}};
  const auto embedded = tenant("POST", "/v1/embeddings", vectors.dump());
  ASSERT_EQ(embedded.status, 200) << embedded.body;
  const std::int64_t embeds = json::parse(embedded.body)["usage"]["prompt_tokens"];
  EXPECT_EQ(embedded.headers.value_or("x-qanat-pool", ""), "local");
  EXPECT_GT(embeds, read);

  const json bill = json::parse(tenant("GET", "/qanat/v1/bill").body);
  ASSERT_EQ(bill["lines"].size(), 2u);
  EXPECT_EQ(bill["lines"][0]["tokens_in"], read);
  EXPECT_EQ(bill["lines"][0]["tokens_out"], 6);
  EXPECT_EQ(bill["lines"][1]["tokens_in"], embeds);
  EXPECT_EQ(bill["lines"][1]["tokens_cached"], 0);
  EXPECT_EQ(bill["lines"][1]["tokens_out"], 0);
  EXPECT_EQ(bill["lines"][1]["amount_nano"], embeds * 400);
  EXPECT_EQ(bill["total_nano"], (read + embeds) * 400 + 6 * 1600);
  const std::string call(embedded.headers.value_or("x-qanat-call", ""));
  const json explained = json::parse(tenant("GET", "/qanat/v1/calls/" + call).body);
  EXPECT_EQ(explained["outcome"], "completed");
  EXPECT_EQ(explained["tokens_in"], embeds);
  settled([](const json& t) { return t["records_waiting"] == 0; });
  for (int i = 0; i < 100 && !admin_json("/v1/calls/" + call).at("reconciled").get<bool>(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(admin_json("/v1/calls/" + call)["reconciled"], true);
  const json books = totals();
  EXPECT_EQ(books["sum_nano"], 0);
  EXPECT_EQ(books["tokens_undelivered"], 0) << "an embedding generates nothing";

  // A key for chats may make them, one for models may not.
  const auto key_with = [&](const std::string& endpoint) {
    const std::string wish = R"({"tenant":"scoped","endpoints":[")" + endpoint + "\"]}";
    return json::parse(admin("POST", "/v1/keys", wish).body).at("key").get<std::string>();
  };
  const std::string chats = key_with("chat"), models = key_with("models");
  for (const auto& [path, body] : {std::pair{"/v1/completions", completion}, {"/v1/embeddings", vectors}}) {
    EXPECT_EQ(tenant("POST", path, body.dump(), chats).status, 200) << path;
    EXPECT_EQ(tenant("POST", path, body.dump(), models).status, 403) << path;
  }
}

TEST_F(GatewayLab, AQuoteSaysWhatTheCallThenComesTo) {
  start_pools();
  start_gateway();
  const std::string body = chat_body(6, false).dump();
  const auto asked = tenant("POST", "/qanat/v1/quote", body);
  ASSERT_EQ(asked.status, 200) << asked.body;
  const json quote = json::parse(asked.body);
  EXPECT_EQ(quote["pool"], "local");
  EXPECT_EQ(quote["at_most"]["output_tokens"], 6);
  EXPECT_EQ(quote["at_most_nano"], quote["at_most"]["prompt_tokens"].get<std::int64_t>() * 400 + 6 * 1600);
  EXPECT_EQ(quote["decision"]["demand"]["output_tokens"], 6);
  EXPECT_EQ(quote["decision"]["candidates"][0]["cost_nano"], quote["expected_nano"]);
  EXPECT_EQ(json::parse(tenant("GET", "/qanat/v1/bill").body)["lines"].size(), 0u) << "it is no call";
  ASSERT_EQ(tenant("POST", "/v1/chat/completions", body).status, 200);
  const json bill = json::parse(tenant("GET", "/qanat/v1/bill").body);
  EXPECT_LE(bill["total_nano"], quote["at_most_nano"]);
  EXPECT_EQ(bill["lines"][0]["pool"], quote["pool"]);

  const json vectors{{"model", kModel}, {"input", "water"}};
  const json embedding = json::parse(tenant("POST", "/qanat/v1/quote?of=embeddings", vectors.dump()).body);
  EXPECT_EQ(embedding["at_most"]["output_tokens"], 0);
  json nowhere = chat_body(6, false, "c-url://any/infer/" + std::string(kModel) + "?accel=b200");
  EXPECT_TRUE(json::parse(tenant("POST", "/qanat/v1/quote", nowhere.dump()).body)["pool"].is_null());
  EXPECT_EQ(tenant("POST", "/qanat/v1/quote?of=images", body).status, 400);
  EXPECT_EQ(tenant("POST", "/qanat/v1/quote", "{}").status, 400);
}

TEST_F(GatewayLab, AnswersWithBooksAndExplanation) {
  start_pools();
  start_gateway();
  const auto answer = tenant("POST", "/v1/chat/completions", chat_body(6, false, "c-url://any/infer").dump());
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(json::parse(answer.body)["usage"]["completion_tokens"], 6);
  EXPECT_EQ(answer.headers.value_or("x-qanat-pool", ""), "local");
  EXPECT_EQ(answer.headers.value_or("x-qanat-price", ""), "CNY:400:1600");
  const std::string call(answer.headers.value_or("x-qanat-call", ""));

  const json bill = json::parse(tenant("GET", "/qanat/v1/bill").body);
  ASSERT_EQ(bill["lines"].size(), 1u);
  EXPECT_EQ(bill["lines"][0]["call"], call);
  EXPECT_EQ(bill["tokens_out"], 6);
  const std::int64_t prompt = bill["tokens_in"];
  EXPECT_GT(prompt, 0);
  EXPECT_EQ(bill["total_nano"], prompt * 400 + 6 * 1600);

  const json explained = json::parse(tenant("GET", "/qanat/v1/calls/" + call).body);
  EXPECT_EQ(explained["decision"]["reason"], "local");
  EXPECT_EQ(explained["decision"]["candidates"].size(), 2u);
  EXPECT_EQ(explained["decision"]["tries"][0]["result"], "completed");
  const std::string other =
      json::parse(admin("POST", "/v1/keys", R"({"tenant":"other"})").body).at("key").get<std::string>();
  EXPECT_EQ(tenant("GET", "/qanat/v1/calls/" + call, "", other).status, 404) << "another tenant's call";

  const json resolved = json::parse(tenant("GET", "/qanat/v1/resolve?c_url=c-url%3A%2F%2Fany%2Finfer%2F" +
                                                      std::string(kModel) + "%3Faccel%3Dh20")
                                        .body);
  EXPECT_EQ(resolved["candidates"][0]["filtered_by"], "spec");
  EXPECT_EQ(resolved["order"], json::array({"far"}));
  // Graded: that one kept its SLA, and one that wants its first token at once does not.
  const std::string hasty = "c-url://any/infer/" + std::string(kModel) + "?ttft=1ms";
  ASSERT_EQ(tenant("POST", "/v1/chat/completions", chat_body(3, true, hasty).dump()).status, 200);
  json grade;
  for (int i = 0; i < 100; ++i) {
    grade = json::parse(tenant("GET", "/qanat/v1/grades").body);
    if (!grade["grades"].empty() && grade["grades"][0]["calls"] == 2) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  ASSERT_EQ(grade["grades"].size(), 1u) << grade;
  EXPECT_EQ(grade["grades"][0]["calls"], 2);
  EXPECT_EQ(grade["grades"][0]["availability"], 1.0);
  EXPECT_LE(grade["grades"][0]["kept"], 1);
  EXPECT_GT(grade["grades"][0]["ttft_ms"]["p50"], 1.0);
  ASSERT_FALSE(grade["misses"].empty()) << grade;
  EXPECT_EQ(grade["misses"][0]["wished_ttft_ms"], 1.0);
  // Predicted, and taken all the same; where the machine is slow, another pool was asked too.
  EXPECT_THAT(grade["misses"][0]["cause"].get<std::string>(), testing::AnyOf("full", "retried"));
  EXPECT_TRUE(json::parse(tenant("GET", "/qanat/v1/grades", "", other).body)["grades"].empty());
  // The pools' signed records agree.
  settled([](const json& t) { return t["records_waiting"] == 0; });
  for (int i = 0; i < 100 && !admin_json("/v1/calls/" + call).at("reconciled").get<bool>(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_TRUE(admin_json("/v1/calls/" + call).at("reconciled").get<bool>());
}

TEST_F(GatewayLab, OverflowsWhenTheLocalPoolWouldBeLate) {
  start_pools("max_num_seqs = 2");
  start_gateway();
  const std::string c_url = "c-url://any/infer/" + std::string(kModel) + "?ttft=1500ms";
  const auto seen = streams(16, chat_body(40, true, c_url));
  std::size_t local = 0, far = 0;
  for (const Seen& s : seen) {
    EXPECT_EQ(s.status, 200) << s.body;
    EXPECT_EQ(s.chat.failure(true), "");
    EXPECT_EQ(s.chat.tokens(), 40u);
    (s.pool == "local" ? local : far) += 1;
  }
  // Counted at dispatch: the burst does not pile up on a pool whose sample is still idle.
  EXPECT_GE(local, 2u);
  EXPECT_GE(far, 8u);
  const auto overflowed =
      std::find_if(seen.begin(), seen.end(), [](const Seen& s) { return s.pool == "far"; });
  ASSERT_NE(overflowed, seen.end());
  const json explained = json::parse(tenant("GET", "/qanat/v1/calls/" + overflowed->call).body);
  EXPECT_EQ(explained["decision"]["reason"], "overflow");
  EXPECT_GT(explained["decision"]["candidates"][0]["predicted"]["ttft_ms"], 1500);
  const json books = settled([](const json& t) { return t["calls"] == 16; });
  EXPECT_EQ(books["tokens_delivered"], 640);
  EXPECT_EQ(books["tokens_billed"], 640);
  EXPECT_EQ(books["sum_nano"], 0);
}

TEST_F(GatewayLab, ClientsThatLeavePayForWhatTheirSocketTook) {
  start_pools();
  start_gateway();
  // Before the first token, in the middle, and after the end.
  const auto during = streams(4, chat_body(2000), 10);
  for (const Seen& s : during) EXPECT_GE(s.chat.tokens(), 10u);
  const auto after = streams(1, chat_body(12));
  EXPECT_EQ(after[0].chat.tokens(), 12u);
  json books = settled([](const json& t) { return t["calls"] == 5; });
  EXPECT_GE(books["tokens_billed"], sum_tokens(during) + 12);
  EXPECT_LT(books["tokens_billed"], 4 * 200) << "a client that left is not served to the end";
  EXPECT_EQ(books["tokens_billed"], books["tokens_delivered"]);

  const std::uint64_t before = books["tokens_billed"];
  leave_before_the_answer();
  books = settled([](const json& t) { return t["calls"] == 6; });
  EXPECT_EQ(books["tokens_billed"], before) << "nothing delivered, nothing billed";
  const json last = admin_json("/v1/calls?limit=1").at(0);
  EXPECT_EQ(last["outcome"], "client_gone");
  EXPECT_EQ(last["amount_nano"], 0);
  // The pools' records agree with every call that had tokens: none says less than was delivered.
  const auto agreed = [&] {
    const json calls = admin_json("/v1/calls");
    return std::all_of(calls.begin(), calls.end(), [](const json& call) {
      return call["tokens_out"] == 0 || call["reconciled"].get<bool>();
    });
  };
  for (int i = 0; i < 100 && !agreed(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_TRUE(agreed()) << admin_json("/v1/calls");
  books = totals();
  EXPECT_EQ(books["tokens_billed"], before);
  EXPECT_EQ(books["sum_nano"], 0);
  EXPECT_EQ(books["records_disputed"], 0);
}

TEST_F(GatewayLab, APoolKilledInTheMiddleIsAnErrorWithAnExactBill) {
  start_pools();
  start_gateway();
  bool killed = false;
  const auto seen = streams(3, chat_body(3000), 0, [&](std::uint64_t tokens) {
    if (killed || tokens < 30) return;
    killed = true;
    local_->end(SIGKILL);
  });
  ASSERT_TRUE(killed);
  for (const Seen& s : seen) {
    EXPECT_EQ(s.pool, "local");
    EXPECT_NE(s.chat.failure(true).find("pool_failed"), std::string::npos) << s.chat.failure(true);
  }
  json books = settled([](const json& t) { return t["calls"] == 3; });
  EXPECT_EQ(books["tokens_billed"], sum_tokens(seen));
  EXPECT_EQ(books["tokens_delivered"], sum_tokens(seen));

  // While it is gone, calls go elsewhere, before a byte was sent: nobody notices.
  const auto elsewhere = streams(1, chat_body(5));
  EXPECT_EQ(elsewhere[0].status, 200) << elsewhere[0].body;
  EXPECT_EQ(elsewhere[0].pool, "far");
  EXPECT_EQ(elsewhere[0].chat.tokens(), 5u);

  local_->start();
  wait_for_pools(2);
  bool back = false;
  for (int i = 0; i < 100 && !back; ++i) {
    const auto again = streams(1, chat_body(2));
    EXPECT_EQ(again[0].chat.tokens(), 2u);
    back = again[0].pool == "local";
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  EXPECT_TRUE(back) << "a restarted pool takes part again";
  books = settled([](const json& t) { return t["records_waiting"] == 0; });
  EXPECT_EQ(books["tokens_billed"], books["tokens_delivered"]);
  EXPECT_EQ(books["sum_nano"], 0);
}

TEST_F(GatewayLab, KilledItselfItSettlesEveryCallOnceAtTheNextStart) {
  start_pools();
  start_gateway();
  const auto finished = streams(2, chat_body(10));
  EXPECT_EQ(sum_tokens(finished), 20u);
  bool killed = false;
  const auto cut = streams(4, chat_body(3000), 0, [&](std::uint64_t tokens) {
    if (killed || tokens < 60) return;
    killed = true;
    gateway_->end(SIGKILL);
  });
  ASSERT_TRUE(killed);
  const std::uint64_t received = sum_tokens(cut);

  start_gateway();
  EXPECT_GE(admin_json("/v1/status").at("recovered_calls"), 4);
  json books = settled([](const json& t) { return t["calls"] == 6; });
  EXPECT_EQ(books["tokens_billed"], books["tokens_delivered"]);
  // Each of the four may have had one frame in doubt, which is the tenant's.
  EXPECT_LE(books["tokens_billed"], received + 20);
  EXPECT_GE(books["tokens_billed"], received + 20 - 4);
  const json bill = json::parse(tenant("GET", "/qanat/v1/bill").body);  // the key is still good
  EXPECT_EQ(bill["lines"].size(), 6u);
  EXPECT_EQ(bill["tokens_out"], books["tokens_billed"]);

  // Killed again with nothing open: nothing is billed twice.
  gateway_->end(SIGKILL);
  start_gateway();
  books = settled([](const json& t) { return t["records_waiting"] == 0; });
  EXPECT_EQ(books["calls"], 6);
  EXPECT_EQ(books["tokens_billed"], bill["tokens_out"]);
  EXPECT_EQ(books["sum_nano"], 0);
  EXPECT_EQ(books["records_disputed"], 0);
  const auto again = streams(1, chat_body(3));
  EXPECT_EQ(again[0].chat.tokens(), 3u);
}

TEST_F(GatewayLab, RefusesInTheClientsTerms) {
  start_pools();
  start_gateway();
  const auto refused = [&](const std::string& body, const std::string& key = "") {
    const auto answer = tenant("POST", "/v1/chat/completions", body, key);
    const json error = json::parse(answer.body).at("error");
    return std::to_string(answer.status) + " " + error.at("code").get<std::string>();
  };
  EXPECT_EQ(refused(chat_body(5).dump(), "sk-qanat-wrong"), "401 invalid_api_key");
  EXPECT_EQ(refused("{"), "400 invalid_json");
  EXPECT_EQ(refused("{}"), "400 missing_required_parameter");
  EXPECT_EQ(refused(R"({"model":"m","model":"n"})"), "400 duplicate_parameter");
  EXPECT_EQ(refused(chat_body(5, true, "none").dump()), "404 model_not_found");
  EXPECT_EQ(refused(chat_body(5, true, "c-url://any/infer?accel=b200").dump()), "503 nothing_fits");
  json tools = chat_body(5);
  tools["tools"] = {{{"type", "function"}}};
  EXPECT_EQ(refused(tools.dump()), "400 unsupported_parameter") << "the pool's own word";
  const auto malformed =
      tenant("POST", "/v1/chat/completions", chat_body(5, true, "c-url://any/infer/m?ttff=2s").dump());
  EXPECT_EQ(malformed.status, 400);
  EXPECT_NE(malformed.body.find("at character 21"), std::string::npos) << malformed.body;
  const auto oversized = tenant("POST", "/v1/chat/completions", std::string(17 * 1024 * 1024, ' '));
  EXPECT_EQ(oversized.status, 413);

  const json made = json::parse(admin("POST", "/v1/keys", R"({"tenant":"poor","max_calls":1})").body);
  const std::string key = made.at("key");
  EXPECT_EQ(admin("PUT", "/v1/budgets", R"({"account":"poor","limit_nano":20000})").status, 200);
  EXPECT_EQ(refused(chat_body(4000).dump(), key), "429 insufficient_quota");
  EXPECT_EQ(admin("DELETE", "/v1/keys/" + made.at("id").get<std::string>()).status, 200);
  EXPECT_EQ(refused(chat_body(5).dump(), key), "401 invalid_api_key");
  EXPECT_EQ(admin("POST", "/v1/keys", R"({"tenant":"Not/Plain","colour":1})").status, 400);

  const json slow = json::parse(
      admin("POST", "/v1/keys", R"({"tenant":"slow","max_calls_per_minute":2,"max_tokens_per_minute":1000})")
          .body);
  EXPECT_EQ(refused(chat_body(4000).dump(), slow.at("key")), "429 rate_limit_exceeded")
      << "larger than a minute";
  for (const char* expected :
       {"400 unsupported_parameter", "400 unsupported_parameter", "429 rate_limit_exceeded"})
    EXPECT_EQ(refused(tools.dump(), slow.at("key")), expected) << "two a minute";
  const auto limited = tenant("POST", "/v1/chat/completions", chat_body(5).dump(), slow.at("key"));
  EXPECT_EQ(limited.headers.value_or("x-ratelimit-limit-requests", ""), "2");
  EXPECT_EQ(limited.headers.value_or("retry-after", "").size(), 2u) << "half a minute each";
  EXPECT_EQ(totals()["tokens_billed"], 0);
}

TEST_F(GatewayLab, NoPoolLeftSaysWhenToComeBack) {
  start_pools();
  start_gateway();
  local_->end(SIGKILL);
  far_->end(SIGKILL);
  for (int i = 0; i < 4; ++i) {
    const auto answer = tenant("POST", "/v1/chat/completions", chat_body(5).dump());
    EXPECT_TRUE(answer.status == 502 || answer.status == 503) << answer.status << answer.body;
    EXPECT_NE(answer.headers.find("retry-after"), nullptr);
  }
  const json books = settled([](const json&) { return true; });
  EXPECT_EQ(books["tokens_billed"], 0);
  const json grade = admin_json(
      "/v1/grades?tenant=" + json::parse(tenant("GET", "/qanat/v1/usage").body)["tenant"].get<std::string>());
  ASSERT_EQ(grade["grades"].size(), 1u) << grade;
  EXPECT_EQ(grade["grades"][0]["calls"], 4);
  EXPECT_EQ(grade["grades"][0]["availability"], 0.0);
  EXPECT_EQ(grade["grades"][0]["kept"], 0);
}

}  // namespace
}  // namespace qanat::e2e
