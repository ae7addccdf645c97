// Completions and embeddings: what is understood, what is refused and how, and what goes back.
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "gateway/pool/serve/completion_api.hh"
#include "gateway/pool/serve/embeddings_api.hh"

namespace qanat::pool {
namespace {

using nlohmann::json;

ApiError refusal(const json& body, bool embeddings) {
  if (embeddings) {
    const auto result = parse_embeddings(body.dump());
    return result ? ApiError{} : result.error();
  }
  const auto result = parse_completion(body.dump());
  return result ? ApiError{} : result.error();
}

TEST(Completion, CountsItsPromptAndStopsAtSixteen) {
  const auto request =
      parse_completion(json{{"model", "m"}, {"prompt", "dig a well"}, {"stop", "river"}}.dump());
  ASSERT_TRUE(request);
  EXPECT_EQ(request->prompt_tokens, 3u) << "no template around it";
  EXPECT_EQ(request->max_tokens, kCompletionTokens);
  EXPECT_EQ(request->stop.front(), "river");
  EXPECT_EQ(parse_completion(R"({"model":"m","prompt":["dig a well"]})")->prompt_hash, request->prompt_hash);
  EXPECT_EQ(parse_completion(R"({"model":"m","prompt":""})")->prompt_tokens, 1u);
}

TEST(Completion, RefusesByNameWhatAPoolCannotDo) {
  const auto with = [](const char* key, const json& value) {
    json body{{"model", "m"}, {"prompt", "a"}};
    body[key] = value;
    return refusal(body, false);
  };
  for (const auto& [key, value] : std::map<const char*, json>{{"n", 2},
                                                              {"best_of", 2},
                                                              {"logprobs", 0},
                                                              {"suffix", "b"},
                                                              {"echo", true},
                                                              {"prompt", {"a", "b"}}}) {
    EXPECT_EQ(with(key, value).param, key);
    EXPECT_EQ(with(key, value).code, "unsupported_parameter") << key;
  }
  EXPECT_EQ(with("prompt", {1, 2}).code, "unsupported_parameter");
  EXPECT_EQ(with("prompt", 7).code, "invalid_value");
  EXPECT_EQ(with("max_tokens", 0).param, "max_tokens");
}

TEST(Completion, IsWrittenAsText) {
  const auto request = parse_completion(R"({"model":"m","prompt":"a"})");
  const ChatWriter writer("cmpl-1", "m", 1, *request);
  std::string token, end;
  writer.append_token(token, " water", 1);
  writer.append_end(end, Finish::Length, 1);
  const json chunk = json::parse(token.substr(6)), last = json::parse(end.substr(6, end.find("\n\n") - 6));
  EXPECT_EQ(chunk["object"], "text_completion");
  EXPECT_EQ(chunk["choices"][0]["text"], " water");
  EXPECT_FALSE(chunk["choices"][0].contains("delta"));
  EXPECT_EQ(last["choices"][0]["finish_reason"], "length");
  const json whole = json::parse(writer.whole("water", Finish::Stop, 1));
  EXPECT_EQ(whole["object"], "text_completion");
  EXPECT_EQ(whole["choices"][0]["text"], "water");
}

TEST(Embeddings, TheSameTextHasTheSameVectorOfLengthOne) {
  const auto a = embed("m", "water", 64), b = embed("m", "stone", 64), other = embed("n", "water", 64);
  EXPECT_EQ(a, embed("m", "water", 64));
  EXPECT_NE(a, b);
  EXPECT_NE(a, other);
  double squares = 0, fewer = 0;
  for (const float x : a) squares += double(x) * x;
  EXPECT_NEAR(squares, 1, 1e-5);
  const auto few = embed("m", "water", 8);
  for (const float x : few) fewer += double(x) * x;
  EXPECT_NEAR(fewer, 1, 1e-5);
  EXPECT_NEAR(few[0] / few[1], a[0] / a[1], 1e-3 * std::abs(a[0] / a[1]))
      << "the beginning of the longer one";
}

TEST(Embeddings, NumbersAndBase64SayTheSame) {
  json body{{"model", "m"}, {"input", {"dig", "a well"}}, {"dimensions", 3}};
  auto request = parse_embeddings(body.dump());
  ASSERT_TRUE(request);
  const json numbers = json::parse(embeddings_json(*request, "m", 64));
  EXPECT_EQ(numbers["usage"], (json{{"prompt_tokens", 3}, {"total_tokens", 3}}));
  ASSERT_EQ(numbers["data"].size(), 2u);
  EXPECT_EQ(numbers["data"][1]["index"], 1);
  EXPECT_EQ(numbers["data"][0]["embedding"].get<std::vector<float>>(), embed("m", "dig", 3));
  body["encoding_format"] = "base64";
  request = parse_embeddings(body.dump());
  EXPECT_EQ(json::parse(embeddings_json(*request, "m", 64))["data"][0]["embedding"].get<std::string>().size(),
            16u);
}

TEST(Embeddings, RefuseByNameWhatAPoolCannotDo) {
  const auto param = [](json body) {
    body["model"] = "m";
    return refusal(body, true).param;
  };
  EXPECT_EQ(param({}), "input");
  EXPECT_EQ(param({{"input", ""}}), "input");
  EXPECT_EQ(param({{"input", json::array()}}), "input");
  EXPECT_EQ(param({{"input", {"a", ""}}}), "input");
  EXPECT_EQ(param({{"input", {1, 2}}}), "input");
  EXPECT_EQ(param({{"input", "a"}, {"dimensions", 0}}), "dimensions");
  EXPECT_EQ(param({{"input", "a"}, {"encoding_format", "hex"}}), "encoding_format");
  const auto wide = parse_embeddings(R"({"model":"m","input":"a","dimensions":65})");
  EXPECT_EQ(check_dimensions(*wide, 64)->param, "dimensions");
  EXPECT_FALSE(check_dimensions(*wide, 65));
  EmbeddingsRequest many;
  many.texts.assign(2000, "a");
  EXPECT_EQ(check_dimensions(many, 4096)->param, "input");
}

TEST(TextApi, BadBodiesAreErrors) {
  for (const char* body : {"", "[]", "{", "{}", "\xff", R"({"model":1,"prompt":"a","input":"a"})"}) {
    EXPECT_FALSE(parse_completion(body)) << body;
    EXPECT_FALSE(parse_embeddings(body)) << body;
  }
}

}  // namespace
}  // namespace qanat::pool
