// Adopting a foreign server: its pace learned from outside, its counts made up where it leaves them out.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>

#include "gateway/pool/adopt/dialect.hh"
#include "gateway/pool/adopt/pace_meter.hh"
#include "gateway/pool/tokenizer.hh"

namespace qanat::pool {
namespace {

using nlohmann::json;

base::Duration ms(double v) { return base::Duration(static_cast<std::int64_t>(v * 1e6)); }

TEST(PaceMeter, LearnsTheTwoLinesAndFollowsWhenTheyMove) {
  PaceMeter meter;
  EXPECT_FALSE(meter.measured());
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> noise(0.9, 1.1);
  for (int i = 0; i < 200; ++i) {
    const auto prompt = 100 + random() % 4000;
    meter.on_first(prompt, ms((50 + 0.1 * double(prompt)) * noise(random)));
    const double calls = 1 + double(random() % 16);
    meter.on_end(calls, ms((20 + 2 * calls) * noise(random)));
  }
  EXPECT_NEAR(meter.prefill().time_us(2000), 250e3, 30e3);
  EXPECT_NEAR(meter.decode().step_us(8, 0), 36e3, 4e3);
  for (int i = 0; i < 200; ++i) meter.on_end(1 + double(random() % 16), ms(100));
  EXPECT_NEAR(meter.decode().step_us(8, 0), 100e3, 10e3) << "the past fades";
}

TEST(PaceMeter, EqualSamplesGiveALevelLineNotAWildOne) {
  PaceMeter meter;
  for (int i = 0; i < 3; ++i) meter.on_first(12, ms(40 + i));
  EXPECT_NEAR(meter.prefill().time_us(4000), 41e3, 3e3);
}

ForeignRequest request(bool include, bool continuous) {
  const json body{{"model", "gpt"},
                  {"messages", {{{"role", "user"}, {"content", "carry water under the hill"}}}},
                  {"stream", true},
                  {"x_qanat_sim_output_tokens", 5},
                  {"stream_options", {{"include_usage", include}, {"continuous_usage_stats", continuous}}}};
  return *parse_request(Dialect::Chat, body.dump());
}

TEST(ForeignRequest, IsPassedOnWithoutWhatOthersDoNotKnow) {
  const auto r = request(true, true);
  EXPECT_EQ(r.model, "gpt");
  EXPECT_TRUE(r.stream && r.include_usage && r.continuous_usage);
  EXPECT_EQ(r.prompt_tokens,
            count_tokens("carry water under the hill") + kTokensPerMessage + kTokensPerReply);
  const json sent = json::parse(r.body);
  EXPECT_FALSE(sent.contains("x_qanat_sim_output_tokens"));
  EXPECT_FALSE(sent["stream_options"].contains("continuous_usage_stats"));
  for (const char* bad : {"", "[]", "{}", R"({"model":"m"})", R"({"model":"m","messages":[1]})", "\xff"})
    EXPECT_FALSE(parse_request(Dialect::Chat, bad)) << bad;
}

json data_of(const std::string& event) { return json::parse(event.substr(6, event.find("\n\n") - 6)); }

TEST(AnswerReader, CountsWhatTheServerDoesNot) {
  AnswerReader reader(request(true, true));
  const auto chunk = [](const char* text) {
    return json{{"id", "x"}, {"choices", {{{"index", 0}, {"delta", {{"content", text}}}}}}}.dump();
  };
  EXPECT_EQ(data_of(reader.on_data(chunk("water flows")))["usage"]["completion_tokens"], 2);
  EXPECT_EQ(data_of(reader.on_data(chunk(" north")))["usage"]["completion_tokens"], 3);
  const std::string end = reader.on_data("[DONE]");
  EXPECT_EQ(data_of(end)["usage"]["completion_tokens"], 3);
  EXPECT_TRUE(data_of(end)["choices"].empty());
  EXPECT_TRUE(end.ends_with("data: [DONE]\n\n"));
  EXPECT_TRUE(reader.done() && !reader.failed());
}

TEST(AnswerReader, BelievesTheServerThatCounts) {
  AnswerReader reader(request(true, false));
  const std::string chunk = R"({"id":"x","choices":[{"index":0,"delta":{"content":"a b c"}}],"usage":null})";
  EXPECT_EQ(reader.on_data(chunk), "data: " + chunk + "\n\n") << "verbatim";
  const std::string last = R"({"id":"x","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":7}})";
  reader.on_data(last);
  EXPECT_EQ(reader.on_data("[DONE]"), "data: [DONE]\n\n") << "no second usage";
  EXPECT_EQ(reader.completion_tokens(), 7u);
  EXPECT_EQ(reader.prompt_tokens(), 9u);
  AnswerReader failing(request(false, false));
  EXPECT_FALSE(failing.on_data(R"({"error":{"message":"no"}})").empty());
  EXPECT_TRUE(failing.failed());
  AnswerReader garbled(request(false, false));
  EXPECT_TRUE(garbled.on_data("not json").empty());
  EXPECT_TRUE(garbled.failed());
}

TEST(ForeignRequest, SuitsItsServer) {
  const auto models = parse_models(
      R"({"data":[{"id":"A/B","owned_by":"qanat"},{"id":"c","owned_by":"vllm"},{"id":"d","owned_by":"openai"}]})");
  ASSERT_TRUE(models);
  const auto sent = [&](std::size_t i, bool continuous) {
    ForeignRequest r = request(true, continuous);
    suit(r, (*models)[i], 4096);
    return json::parse(r.body);
  };
  EXPECT_EQ(sent(0, true)["model"], "A/B");
  EXPECT_TRUE(sent(0, true)["stream_options"]["continuous_usage_stats"]);
  EXPECT_TRUE(sent(1, true)["stream_options"]["continuous_usage_stats"]);
  EXPECT_FALSE(sent(2, true)["stream_options"].contains("continuous_usage_stats")) << "others refuse it";
  EXPECT_FALSE(sent(0, false)["stream_options"].contains("continuous_usage_stats")) << "nobody asked";
  // Without usage a gateway counts chunks, and so is its answer counted here.
  ForeignRequest r = request(true, true);
  suit(r, (*models)[0], 4096);
  AnswerReader reader(r);
  for (const char* text : {"several words in a chunk", "", "more"})
    reader.on_data(json{{"id", "x"}, {"choices", {{{"index", 0}, {"delta", {{"content", text}}}}}}}.dump());
  EXPECT_EQ(reader.completion_tokens(), 2u);
}

ForeignRequest parsed(Dialect dialect, const json& body) {
  auto request = parse_request(dialect, body.dump());
  EXPECT_TRUE(request) << body;
  if (request) suit(*request, {"m", 1000}, 1000);
  return request.value_or(ForeignRequest{});
}

TEST(ForeignRequest, PromptsAreTextsOrTokenIdsOneOrMany) {
  const auto tokens = [](Dialect dialect, const char* key, const json& prompt) {
    return parsed(dialect, {{"model", "m"}, {key, prompt}}).prompt_tokens;
  };
  for (const auto& [dialect, key] :
       {std::pair{Dialect::Completion, "prompt"}, {Dialect::Embeddings, "input"}}) {
    EXPECT_EQ(tokens(dialect, key, "carry water"), count_tokens("carry water"));
    EXPECT_EQ(tokens(dialect, key, ""), 1u);
    EXPECT_EQ(tokens(dialect, key, {7, 8, 9}), 3u);
    EXPECT_EQ(tokens(dialect, key, {"carry", "water"}), 2u);
    EXPECT_EQ(tokens(dialect, key, json::array({{7, 8, 9}, {7}})), 4u);
    for (const char* bad : {"", "[]", "{}", "1", R"({"model":"m"})", "\xff"})
      EXPECT_FALSE(parse_request(dialect, bad)) << bad;
    for (const json& bad : {json(), json(1), json::object(), json::array(), json::array({1.5}),
                            json::array({json::array()}), json::array({1, "a"})})
      EXPECT_FALSE(parse_request(dialect, json{{"model", "m"}, {key, bad}}.dump())) << bad;
  }
  const auto r = parsed(Dialect::Completion, {{"model", "m"},
                                              {"prompt", {"a b", "c"}},
                                              {"n", 2},
                                              {"best_of", 3},
                                              {"max_tokens", 10},
                                              {"echo", true}});
  EXPECT_EQ(r.most_completion, 60u) << "of each prompt three, of which it shows two";
  EXPECT_EQ(r.echoed_tokens, 6u);
  EXPECT_EQ(parsed(Dialect::Completion, {{"model", "m"}, {"prompt", "a"}}).most_completion, 1000u)
      << "the context";
}

TEST(AnswerReader, CountsACompletionsTextAndNotWhatItEchoes) {
  json body{{"model", "m"},
            {"prompt", "carry water"},
            {"echo", true},
            {"stream", true},
            {"stream_options", {{"include_usage", true}}}};
  AnswerReader reader(parsed(Dialect::Completion, body));
  const auto chunk = [](const char* text) {
    return json{{"id", "x"}, {"choices", {{{"index", 0}, {"text", text}, {"finish_reason", nullptr}}}}}
        .dump();
  };
  reader.on_data(chunk("carry water"));
  EXPECT_EQ(reader.completion_tokens(), 0u) << "its own prompt";
  reader.on_data(chunk(" under the hill"));
  EXPECT_EQ(reader.completion_tokens(), 3u);
  const json usage = data_of(reader.on_data("[DONE]"));
  EXPECT_EQ(usage["object"], "text_completion");
  EXPECT_EQ(usage["usage"]["completion_tokens"], 3);
  EXPECT_EQ(usage["usage"]["prompt_tokens"], 2);

  body["stream"] = body["echo"] = false;
  AnswerReader whole(parsed(Dialect::Completion, body));
  const json answer = json::parse(whole.on_whole(
      R"({"choices":[{"text":"far from the wells","finish_reason":"length"},{"text":" and"}]})"));
  EXPECT_EQ(answer["usage"]["completion_tokens"], 5);
  EXPECT_EQ(whole.finish(), "length");
}

TEST(AnswerReader, AServerThatLiesIsBelievedUpToWhatTheRequestAllows) {
  const std::string usage = R"("usage":{"prompt_tokens":1000000000,"completion_tokens":1000000000}})";
  const json body{{"model", "m"}, {"prompt", "carry water"}, {"input", "carry water"}, {"max_tokens", 5}};
  AnswerReader completion(parsed(Dialect::Completion, body));
  completion.on_whole(R"({"choices":[{"text":"a"}],)" + usage);
  EXPECT_EQ(completion.completion_tokens(), 5u);
  EXPECT_LE(completion.prompt_tokens(), body.dump().size() + 64);
  AnswerReader stream(parsed(Dialect::Completion, body));
  stream.on_data(R"({"choices":[],)" + usage);
  EXPECT_EQ(stream.completion_tokens(), 5u);
  AnswerReader talkative(parsed(Dialect::Completion, body));
  for (int i = 0; i < 9; ++i) talkative.on_data(R"({"choices":[{"text":" word word"}]})");
  EXPECT_EQ(talkative.completion_tokens(), 5u) << "nor what it sends beyond";
  AnswerReader vectors(parsed(Dialect::Embeddings, body));
  vectors.on_whole(R"({"data":[{"embedding":[1]}],)" + usage);
  EXPECT_EQ(vectors.completion_tokens(), 0u);
  EXPECT_LE(vectors.prompt_tokens(), body.dump().size() + 64);
}

TEST(AnswerReader, VectorsHaveAPromptAndNothingElse) {
  const json body{{"model", "m"}, {"input", {"carry water", "home"}}};
  AnswerReader reader(parsed(Dialect::Embeddings, body));
  const json answer =
      json::parse(reader.on_whole(R"({"object":"list","data":[{"embedding":[1]},{"embedding":[2]}]})"));
  EXPECT_EQ(answer["usage"], (json{{"prompt_tokens", 3}, {"total_tokens", 3}})) << "the server counted none";
  EXPECT_TRUE(reader.done() && !reader.failed());
  for (const char* none : {"", "[]", "{}", R"({"data":[]})", R"({"error":{"message":"no"}})"}) {
    AnswerReader failing(parsed(Dialect::Embeddings, body));
    failing.on_whole(none);
    EXPECT_TRUE(failing.failed()) << none;
  }
}

TEST(AnswerReader, AWholeAnswerGetsItsUsage) {
  AnswerReader reader(request(false, false));
  const json answer = json::parse(reader.on_whole(
      R"({"id":"x","choices":[{"message":{"role":"assistant","content":"water flows"},"finish_reason":"stop"}]})"));
  EXPECT_EQ(answer["usage"]["completion_tokens"], 2);
  EXPECT_EQ(reader.finish(), "stop");
}

TEST(ForeignModels, AreWhatTheServerLists) {
  const auto models =
      parse_models(R"({"object":"list","data":[{"id":"Qwen3","max_model_len":4096},{"id":"b"}]})");
  ASSERT_TRUE(models);
  EXPECT_EQ((*models)[0].name, "Qwen3");
  EXPECT_EQ((*models)[0].max_context, 4096u);
  EXPECT_EQ((*models)[1].max_context, 0u);
  for (const char* bad : {"", "[]", "{}", R"({"data":[1]})", R"({"data":[{"id":""}]})"})
    EXPECT_FALSE(parse_models(bad)) << bad;
}

}  // namespace
}  // namespace qanat::pool
