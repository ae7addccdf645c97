// Requests to /v1/responses as chats, and chats' answers as responses.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "gateway/relay/responses_answer.hh"
#include "gateway/relay/responses_request.hh"

namespace qanat::relay {
namespace {

using Json = nlohmann::json;

Json chat_of(const Json& body) {
  const auto found = to_chat(body.dump());
  if (!found.has_value()) {
    ADD_FAILURE() << found.error().param << ": " << found.error().message;
    return {};
  }
  return Json::parse(found->chat);
}

Json echo_of(const Json& body) {
  const auto found = to_chat(body.dump());
  return found.has_value() ? Json::parse("{" + found->echo + "}") : Json();
}

TEST(ResponsesRequest, ATextIsWhatTheUserSays) {
  EXPECT_EQ(chat_of({{"model", "m"}, {"input", "So \"it\" is\n?"}}),
            Json::parse(R"({"model":"m","messages":[{"role":"user","content":"So \"it\" is\n?"}]})"));
  EXPECT_EQ(chat_of(Json::parse(R"({"model":"m","input":"a","instructions":"Be brief.","max_output_tokens":7,
      "temperature":0.5,"top_p":0.9,"stream":true,"stream_options":{"include_obfuscation":false},"store":true,
      "metadata":{"k":"v"},"user":"u","seed":4,"tools":[],"include":[],"tool_choice":"auto",
      "parallel_tool_calls":false,"reasoning":{"effort":"low","summary":null},"text":{"verbosity":"low"}})")),
            Json::parse(R"({"model":"m","messages":[{"role":"system","content":"Be brief."},
      {"role":"user","content":"a"}],"max_completion_tokens":7,"temperature":0.5,"top_p":0.9,"stream":true,"user":"u",
      "seed":4,"reasoning_effort":"low","verbosity":"low"})"));
}

TEST(ResponsesRequest, ItemsBecomeMessages) {
  EXPECT_EQ(chat_of(Json::parse(R"({"model":"m","input":[
      {"role":"developer","content":"D"},
      {"type":"message","role":"user","content":[{"type":"input_text","text":"one"},
        {"type":"input_image","image_url":"http://x/y.png","detail":"low"}]},
      {"type":"reasoning","id":"rs_1","summary":[]},
      {"type":"message","id":"msg_1","status":"completed","role":"assistant",
        "content":[{"type":"output_text","text":"let me see","annotations":[],"logprobs":[]}]},
      {"type":"function_call","call_id":"c1","name":"f","arguments":"{\"a\":1}"},
      {"type":"function_call","call_id":"c2","name":"g","arguments":"{}"},
      {"type":"function_call_output","call_id":"c1","output":"42"},
      {"type":"function_call_output","call_id":"c2","output":[{"type":"input_text","text":"43"}]},
      {"role":"assistant","content":[{"type":"refusal","refusal":"no"}]},
      {"role":"user","content":[]}]})"))["messages"],
            Json::parse(R"([
      {"role":"developer","content":"D"},
      {"role":"user","content":[{"type":"text","text":"one"},
        {"type":"image_url","image_url":{"url":"http://x/y.png","detail":"low"}}]},
      {"role":"assistant","content":"let me see","tool_calls":[
        {"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}},
        {"id":"c2","type":"function","function":{"name":"g","arguments":"{}"}}]},
      {"role":"tool","tool_call_id":"c1","content":"42"},
      {"role":"tool","tool_call_id":"c2","content":"43"},
      {"role":"assistant","content":"no"},
      {"role":"user","content":""}])"));
  EXPECT_EQ(chat_of(Json::parse(R"({"model":"m","input":[
      {"type":"function_call","call_id":"c","name":"f","arguments":""}]})"))["messages"][0]["content"],
            Json());
}

TEST(ResponsesRequest, ToolsAndFormsHaveTheirPlaceInAChat) {
  const Json body =
      Json::parse(R"({"model":"m","input":"a","tools":[{"type":"function","name":"f","description":"d",
      "parameters":{"type":"object"},"strict":true},{"type":"function","name":"g"}],
      "tool_choice":{"type":"function","name":"g"},"parallel_tool_calls":true,
      "text":{"format":{"type":"json_schema","name":"s","schema":{"type":"object"},"strict":true}}})");
  const Json chat = chat_of(body);
  EXPECT_EQ(chat["tools"], Json::parse(R"([{"type":"function","function":{"name":"f","description":"d",
      "parameters":{"type":"object"},"strict":true}},{"type":"function","function":{"name":"g"}}])"));
  EXPECT_EQ(chat["tool_choice"], Json::parse(R"({"type":"function","function":{"name":"g"}})"));
  EXPECT_EQ(chat["parallel_tool_calls"], true);
  EXPECT_EQ(chat["response_format"], Json::parse(R"({"type":"json_schema","json_schema":{"name":"s",
      "schema":{"type":"object"},"strict":true}})"));
  const Json echo = echo_of(body);
  EXPECT_EQ(echo["tools"][1],
            Json::parse(R"({"type":"function","name":"g","description":null,"parameters":null,
      "strict":null})"));
  EXPECT_EQ(echo["tool_choice"], body["tool_choice"]);
  EXPECT_EQ(echo["text"], body["text"]);
}

TEST(ResponsesRequest, WhatIsRepeatedIsWhatWasAskedOrTheUsual) {
  EXPECT_EQ(
      echo_of({{"model", "m"}, {"input", "a"}}),
      Json::parse(R"({"background":false,"previous_response_id":null,"store":false,"truncation":"disabled",
      "instructions":null,"temperature":1,"top_p":1,"max_output_tokens":null,"metadata":{},"tools":[],
      "parallel_tool_calls":true,"tool_choice":"auto","text":{"format":{"type":"text"}}})"));
}

TEST(ResponsesRequest, WhatIsNotDoneHereIsNamed) {
  const auto refused = [](const std::string& more, const std::string& input = R"("a")") {
    const auto found = to_chat(R"({"model":"m","input":)" + input + more + "}");
    return found.has_value() ? "taken"
                             : std::string(to_string(found.error().code)) + " " + found.error().param;
  };
  for (const char* name : {"previous_response_id", "conversation"})
    EXPECT_EQ(refused(",\"" + std::string(name) + "\":\"x\""), "unsupported_parameter " + std::string(name));
  EXPECT_EQ(refused(R"(,"background":true)"), "unsupported_parameter background");
  EXPECT_EQ(refused(R"(,"background":null,"previous_response_id":null,"store":true)"), "taken");
  EXPECT_EQ(refused(R"(,"store":"yes")"), "invalid_type store");
  EXPECT_EQ(refused(R"(,"truncation":"auto")"), "unsupported_parameter truncation");
  EXPECT_EQ(refused(R"(,"top_logprobs":3)"), "unsupported_parameter top_logprobs");
  EXPECT_EQ(refused(R"(,"include":["reasoning.encrypted_content"])"), "taken");
  EXPECT_EQ(refused(R"(,"include":["reasoning.encrypted_content","message.output_text.logprobs"])"),
            "unsupported_parameter include[1]");
  EXPECT_EQ(refused(R"(,"tools":[{"type":"function","name":"f"},{"type":"web_search"}])"),
            "unsupported_parameter tools[1].type");
  EXPECT_EQ(refused(R"(,"tools":[{"type":"function"}])"), "invalid_type tools[0].name");
  EXPECT_EQ(refused(R"(,"tool_choice":"any")"), "invalid_value tool_choice");
  EXPECT_EQ(refused(R"(,"reasoning":{"summary":"auto"})"), "unsupported_parameter reasoning.summary");
  EXPECT_EQ(refused(R"(,"max_output_tokens":0)"), "invalid_value max_output_tokens");
  EXPECT_EQ(refused(R"(,"max_output_tokens":-1)"), "invalid_type max_output_tokens");
  EXPECT_EQ(refused(R"(,"temperature":"hot")"), "invalid_type temperature");
  EXPECT_EQ(refused(R"(,"temperature":1,"temperature":1)"), "duplicate_parameter temperature");
  EXPECT_EQ(refused(R"(,"messages":[])"), "unsupported_parameter messages") << "the pool might read that one";
  EXPECT_EQ(refused("", "5"), "invalid_type input");
  EXPECT_EQ(refused("", "[]"), "invalid_value input");
  EXPECT_EQ(refused("", "[7]"), "invalid_type input[0]");
  EXPECT_EQ(refused("", R"([{"role":"user","content":"a"},{"type":"item_reference","id":"x"}])"),
            "unsupported_parameter input[1].type");
  EXPECT_EQ(refused("", R"([{"role":"user","content":[{"type":"input_audio"}]}])"),
            "unsupported_parameter input[0].content[0].type");
  EXPECT_EQ(refused("", R"([{"role":"robot","content":"a"}])"), "invalid_value input[0].role");
  EXPECT_EQ(refused("", R"([{"type":"function_call","call_id":"c","name":"f"}])"),
            "invalid_type input[0].arguments");
  EXPECT_EQ(std::string(to_string(to_chat(R"({"model":"m"})").error().code)), "missing_required_parameter");
  for (const char* text : {"", "[]", "{", R"({"model":"m","input":"a"}{})", "{\"input\":\"\xff\"}"})
    EXPECT_EQ(std::string(to_string(to_chat(text).error().code)), "invalid_json") << text;
}

TEST(ResponsesRequest, PoolsRefusalsNameWhatTheCallerSent) {
  const auto param = [](const std::string& said) {
    return Json::parse(in_words_of_responses(R"({"error":{"message":"no","param":")" + said +
                                             "\"}}"))["error"]["param"]
        .get<std::string>();
  };
  EXPECT_EQ(param("messages[1].content"), "input");
  EXPECT_EQ(param("response_format.type"), "text.format.type");
  EXPECT_EQ(param("max_completion_tokens"), "max_output_tokens");
  EXPECT_EQ(param("nonsense"), "nonsense");
  EXPECT_EQ(in_words_of_responses("gone"), "gone");
}

struct Event {
  std::string name;
  Json data;
};
std::vector<Event> events_in(std::string_view text) {
  std::vector<Event> out;
  while (!text.empty()) {
    const std::string_view one = text.substr(0, text.find("\n\n"));
    text.remove_prefix(std::min(text.size(), one.size() + 2));
    const std::size_t line = one.find('\n');
    out.push_back({std::string(one.substr(7, line - 7)), Json::parse(one.substr(line + 7))});
  }
  return out;
}

class Responses : public ::testing::Test {
 protected:
  ResponsesAnswer answer_{"call-0123", 1'700'000'000, "asked", R"("store":false)"};
  std::string text_;
  void chunk(const std::string& delta, const std::string& finish = "null") {
    EXPECT_TRUE(answer_.on_chunk(
        R"({"model":"m","choices":[{"index":0,"delta":)" + delta + ",\"finish_reason\":" + finish + "}]}",
        text_));
  }
  std::vector<Event> all() {
    auto out = events_in(text_);
    for (std::size_t i = 0; i < out.size(); ++i) {
      EXPECT_EQ(out[i].data["sequence_number"], i);
      EXPECT_EQ(out[i].data["type"], out[i].name);
    }
    return out;
  }
  static std::vector<std::string> names(const std::vector<Event>& events) {
    std::vector<std::string> out;
    for (const Event& event : events) out.push_back(event.name.substr(9));
    return out;
  }
};

TEST_F(Responses, ATextIsToldPieceByPiece) {
  chunk(R"({"role":"assistant"})");
  chunk(R"({"content":"Down"})");
  chunk(R"({"content":" hill\n"})", R"("stop")");
  EXPECT_TRUE(answer_.on_chunk(R"({"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2,
      "completion_tokens_details":{"reasoning_tokens":1}}})",
                               text_));
  answer_.on_end({5, 2, 3}, text_);
  const auto events = all();
  EXPECT_EQ(names(events),
            (std::vector<std::string>{"created", "in_progress", "output_item.added", "content_part.added",
                                      "output_text.delta", "output_text.delta", "output_text.done",
                                      "content_part.done", "output_item.done", "completed"}));
  EXPECT_EQ(events[0].data["response"]["id"], "resp_0123");
  EXPECT_EQ(events[0].data["response"]["status"], "in_progress");
  EXPECT_EQ(events[0].data["response"]["store"], false);
  EXPECT_EQ(events[5].data["delta"], " hill\n");
  EXPECT_EQ(events[6].data["text"], "Down hill\n");
  const Json& response = events.back().data["response"];
  EXPECT_EQ(response["model"], "m");
  EXPECT_EQ(response["output"][0]["content"][0]["text"], "Down hill\n");
  EXPECT_EQ(response["output"][0]["id"], events[4].data["item_id"]);
  EXPECT_EQ(response["usage"], Json::parse(R"({"input_tokens":5,"input_tokens_details":{"cached_tokens":3,
      "cache_write_tokens":0},"output_tokens":2,"output_tokens_details":{"reasoning_tokens":1},"total_tokens":7})"));
}

TEST_F(Responses, CallsOfFunctionsAreItemsOfTheirOwn) {
  chunk(R"({"content":"wait"})");
  chunk(R"({"tool_calls":[{"index":0,"id":"c1","function":{"name":"f","arguments":""}}]})");
  chunk(R"({"tool_calls":[{"index":1,"id":"c2","function":{"name":"g","arguments":"{"}}]})");
  chunk(
      R"({"tool_calls":[{"index":0,"function":{"arguments":"{}"}},{"index":1,"function":{"arguments":"}"}}]})",
      R"("tool_calls")");
  answer_.on_end({}, text_);
  const Json response = all().back().data["response"];
  EXPECT_EQ(response["status"], "completed");
  ASSERT_EQ(response["output"].size(), 3u);
  EXPECT_EQ(response["output"][1],
            Json::parse(R"({"id":"fc_0123_1","type":"function_call","status":"completed",
      "call_id":"c1","name":"f","arguments":"{}"})"));
  EXPECT_EQ(response["output"][2]["arguments"], "{}");
}

TEST_F(Responses, WhatEndsEarlyIsIncompleteAndSaysWhy) {
  chunk(R"({"content":"a"})", R"("length")");
  ResponsesAnswer cut = answer_;
  std::string other;
  answer_.on_end({}, text_);
  const Json response = all().back().data["response"];
  EXPECT_EQ(all().back().name, "response.incomplete");
  EXPECT_EQ(response["incomplete_details"]["reason"], "max_output_tokens");
  EXPECT_EQ(response["output"][0]["status"], "incomplete");
  cut.on_cut({}, other);
  EXPECT_EQ(events_in(other).back().data["response"]["incomplete_details"]["reason"], "content_filter");
}

TEST_F(Responses, AFailureIsTold) {
  chunk(R"({"content":"a"})");
  answer_.on_failure("the pool is gone", text_);
  const auto events = all();
  EXPECT_EQ(events.back().name, "response.failed");
  EXPECT_EQ(events.back().data["response"]["error"],
            Json::parse(R"({"code":"server_error","message":"the pool is gone"})"));
}

TEST_F(Responses, WholeAnswersHaveTheSameItems) {
  const auto told = answer_.whole(R"({"model":"m","choices":[{"index":0,"finish_reason":"stop","message":{
      "role":"assistant","reasoning_content":"hm","content":"yes","refusal":null,
      "tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]}}]})",
                                  {1, 2, 0});
  ASSERT_TRUE(told);
  const Json response = Json::parse(*told);
  EXPECT_EQ(response["status"], "completed");
  EXPECT_EQ(response["output"][0]["content"][0], Json::parse(R"({"type":"reasoning_text","text":"hm"})"));
  EXPECT_EQ(response["output"][1]["content"][0]["text"], "yes");
  EXPECT_EQ(response["output"][2]["call_id"], "c");
  EXPECT_EQ(response["error"], Json());
}

TEST_F(Responses, NonsenseAndTooMuchAreNoAnswer) {
  for (const char* text :
       {"", "[]", "{", R"({"choices":[7]})", R"({"choices":[{"delta":{"tool_calls":[1]}}]})"})
    EXPECT_FALSE(answer_.on_chunk(text, text_)) << text;
  for (std::size_t i = 0; i < ResponsesAnswer::kMaxItems; ++i)
    EXPECT_TRUE(answer_.on_chunk(
        R"({"choices":[{"delta":{"tool_calls":[{"index":)" + std::to_string(i) + "}]}}]}", text_));
  EXPECT_FALSE(answer_.on_chunk(R"({"choices":[{"delta":{"tool_calls":[{"index":9999}]}}]})", text_));
}

}  // namespace
}  // namespace qanat::relay
