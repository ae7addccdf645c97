// The OpenAI dialect: what is understood, what is refused and how, and what goes back.
#include "gateway/pool/serve/chat_api.hh"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>

#include "gateway/pool/tokenizer.hh"

namespace qanat::pool {
namespace {

using nlohmann::json;

json base_request() {
  return {{"model", "llama-3.1-8b"}, {"messages", {{{"role", "user"}, {"content", "dig a well"}}}}};
}
ChatRequest parsed(const json& body) {
  auto request = parse_chat(body.dump());
  EXPECT_TRUE(request) << (request ? "" : request.error().message);
  return request ? *request : ChatRequest{};
}

std::string token(const ChatWriter& writer, std::string_view text, std::uint64_t index) {
  std::string out;
  writer.append_token(out, text, index);
  return out;
}
std::string ending(const ChatWriter& writer, Finish finish, std::uint64_t completion) {
  std::string out;
  writer.append_end(out, finish, completion);
  return out;
}

TEST(ParseChat, CountsThePromptByTheTokenizer) {
  json body = base_request();
  EXPECT_EQ(parsed(body).prompt_tokens, kTokensPerReply + kTokensPerMessage + 3);
  body["messages"].insert(body["messages"].begin(),
                          json{{"role", "system"}, {"content", {{{"type", "text"}, {"text", "be brief"}}}}});
  EXPECT_EQ(parsed(body).prompt_tokens, kTokensPerReply + 2 * kTokensPerMessage + 5);
}

TEST(ParseChat, ReadsLengthsAndStreaming) {
  json body = base_request();
  body["stream"] = true;
  body["stream_options"] = {{"include_usage", true}, {"continuous_usage_stats", true}};
  body["max_tokens"] = 7;
  EXPECT_EQ(parsed(body).max_tokens, 7u);
  body["max_completion_tokens"] = 9;
  body["x_qanat_sim_output_tokens"] = 5;
  body["stop"] = "river";
  body["temperature"] = 0.2;
  body["a_field_of_tomorrow"] = {1, 2};
  const auto request = parsed(body);
  EXPECT_EQ(request.max_tokens, 9u);
  EXPECT_EQ(request.natural_length, 5u);
  EXPECT_TRUE(request.stream && request.include_usage && request.continuous_usage);
  EXPECT_EQ(request.stop, std::vector<std::string>{"river"});
}

TEST(ParseChat, RefusesByNameWhatItCannotDo) {
  struct Case {
    const char* key;
    json value;
    const char* param;
    const char* code;
  };
  const std::vector<Case> cases{
      {"tools", {{{"type", "function"}}}, "tools", "unsupported_parameter"},
      {"functions", {{{"name", "f"}}}, "functions", "unsupported_parameter"},
      {"tool_choice", "required", "tool_choice", "unsupported_parameter"},
      {"n", 2, "n", "unsupported_parameter"},
      {"logprobs", true, "logprobs", "unsupported_parameter"},
      {"top_logprobs", 3, "top_logprobs", "unsupported_parameter"},
      {"response_format", {{"type", "json_schema"}}, "response_format", "unsupported_parameter"},
      {"response_format", {{"type", "json_object"}}, "response_format", "unsupported_parameter"},
      {"modalities", {"text", "audio"}, "modalities", "unsupported_parameter"},
      {"stream_options", {{"include_usage", true}}, "stream_options", "invalid_value"},
      {"max_tokens", 0, "max_tokens", "invalid_value"},
      {"max_tokens", -4, "max_tokens", "invalid_value"},
      {"max_tokens", 1.5, "max_tokens", "invalid_value"},
      {"max_tokens", 18446744073709551615ull, "max_tokens", "invalid_value"},
      {"stream", "yes", "stream", "invalid_value"},
      {"model", 3, "model", "invalid_value"},
      {"messages", json::array(), "messages", "invalid_value"},
      {"messages", {{{"role", "user"}}}, "messages[0].content", "invalid_value"},
      {"messages",
       {{{"role", "user"}, {"content", {{{"type", "image_url"}}}}}},
       "messages[0].content",
       "unsupported_parameter"},
      {"messages", {3}, "messages[0]", "invalid_value"},
      {"stop", {{"a", 1}}, "stop", "invalid_value"},
  };
  for (const auto& c : cases) {
    json body = base_request();
    body[c.key] = c.value;
    const auto result = parse_chat(body.dump());
    ASSERT_FALSE(result) << c.key << " = " << c.value;
    EXPECT_EQ(result.error().status, 400);
    EXPECT_EQ(result.error().param, c.param) << c.key;
    EXPECT_EQ(result.error().code, c.code) << c.key;
    const json error = json::parse(to_json(result.error()))["error"];
    EXPECT_EQ(error["param"], c.param);
    EXPECT_EQ(error["type"], "invalid_request_error");
  }
}

TEST(ParseChat, HarmlessDefaultsPass) {
  json body = base_request();
  body["n"] = 1;
  body["logprobs"] = false;
  body["tools"] = json::array();
  body["tool_choice"] = "none";
  body["response_format"] = {{"type", "text"}};
  body["max_tokens"] = nullptr;
  EXPECT_FALSE(parsed(body).max_tokens);
}

TEST(ParseChat, TotalOnAnyBytes) {
  const std::string good = base_request().dump();
  std::mt19937 random(3);
  for (int i = 0; i < 3000; ++i) {
    std::string bytes = good.substr(0, random() % (good.size() + 1));
    for (int flips = random() % 4; flips > 0 && !bytes.empty(); --flips)
      bytes[random() % bytes.size()] = static_cast<char>(random());
    const auto result = parse_chat(bytes);
    if (!result) {
      EXPECT_EQ(result.error().status, 400);
    }
  }
}

json data_of(const std::string& event) {
  EXPECT_TRUE(event.starts_with("data: ") && event.ends_with("\n\n")) << event;
  return json::parse(event.substr(6));
}

TEST(ChatWriter, OneEventATokenAndTheEndInOrder) {
  json body = base_request();
  body["stream"] = true;
  body["stream_options"] = {{"include_usage", true}};
  const ChatWriter writer("chatcmpl-1", "a \"model\"", 1700000000, parsed(body));
  const json first = data_of(token(writer, "water", 1)), second = data_of(token(writer, " flows", 2));
  EXPECT_EQ(first["object"], "chat.completion.chunk");
  EXPECT_EQ(first["model"], "a \"model\"");
  EXPECT_EQ(first["choices"][0]["delta"], (json{{"role", "assistant"}, {"content", "water"}}));
  EXPECT_EQ(second["choices"][0]["delta"], (json{{"content", " flows"}}));
  EXPECT_TRUE(second["choices"][0]["finish_reason"].is_null());
  EXPECT_TRUE(second["usage"].is_null());

  const std::string end = ending(writer, Finish::Length, 2);
  const auto cut1 = end.find("\n\n") + 2, cut2 = end.find("\n\n", cut1) + 2;
  EXPECT_EQ(data_of(end.substr(0, cut1))["choices"][0]["finish_reason"], "length");
  const json usage = data_of(end.substr(cut1, cut2 - cut1));
  EXPECT_TRUE(usage["choices"].empty());
  EXPECT_EQ(usage["usage"]["completion_tokens"], 2);
  EXPECT_EQ(usage["usage"]["total_tokens"], 2 + usage["usage"]["prompt_tokens"].get<int>());
  EXPECT_EQ(end.substr(cut2), "data: [DONE]\n\n");
}

TEST(ChatWriter, ContinuousUsageIsOnEveryChunk) {
  json body = base_request();
  body["stream"] = true;
  body["stream_options"] = {{"continuous_usage_stats", true}};
  const ChatWriter writer("x", "m", 1, parsed(body));
  EXPECT_EQ(data_of(token(writer, " a", 17))["usage"]["completion_tokens"], 17);
}

TEST(ChatWriter, WholeAnswer) {
  const ChatWriter writer("x", "m", 1, parsed(base_request()));
  const json answer = json::parse(writer.whole("water flows", Finish::Stop, 2));
  EXPECT_EQ(answer["object"], "chat.completion");
  EXPECT_EQ(answer["choices"][0]["message"]["content"], "water flows");
  EXPECT_EQ(answer["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(answer["usage"]["completion_tokens"], 2);
}

TEST(ChatApi, PromptsThatBeginAlikeShareBlocksUntilTheyPart) {
  const auto blocks = [](const std::string& text, const char* salt = "") {
    const json body{
        {"model", "m"}, {"cache_salt", salt}, {"messages", {{{"role", "user"}, {"content", text}}}}};
    return parse_chat(body.dump())->blocks;
  };
  std::string same;
  for (int i = 0; i < 100; ++i) same += " water" + std::to_string(i);
  const auto a = blocks(same + " flows north"), b = blocks(same + " stands still"),
             c = blocks(same, "tenant-b");
  ASSERT_GE(a.size(), 5u);
  const auto parts = std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin();
  EXPECT_GE(parts, 5);
  EXPECT_NE(a.front(), c.front()) << "another salt, another cache";
  EXPECT_EQ(a, blocks(same + " flows north"));
}

}  // namespace
}  // namespace qanat::pool
