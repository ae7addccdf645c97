// The request scan and splice, and the chunk scan: what is found, what passes untouched, what is refused.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "gateway/relay/chunk_scan.hh"
#include "gateway/relay/request_scan.hh"

namespace qanat::relay {
namespace {

RequestScan scanned(std::string body) {
  auto scan = scan_request(body);
  EXPECT_TRUE(scan.has_value()) << body << ": " << (scan.has_value() ? "" : scan.error().message);
  return scan.has_value() ? *scan : RequestScan{};
}

BadRequest refused(std::string body) {
  auto scan = scan_request(body);
  EXPECT_FALSE(scan.has_value()) << body;
  return scan.has_value() ? BadRequest{} : scan.error();
}

std::string spliced(std::string body, std::string_view model) {
  auto scan = scan_request(body);
  EXPECT_TRUE(scan.has_value()) << body << ": " << (scan.has_value() ? "" : scan.error().message);
  return scan.has_value() ? splice_request(body, *scan, model) : std::string();
}

TEST(RequestScan, FindsWhatTheGatewayNeeds) {
  const auto scan = scanned(R"({"messages":[{"role":"user","content":"\"model\":\"x\""}], "max_tokens": 12 ,
    "n":2, "model" : "c-url:\/\/any/infer/m", "stream":true,"stream_options":{"include_usage":true}})");
  EXPECT_EQ(scan.model, "c-url://any/infer/m");
  EXPECT_TRUE(scan.stream);
  EXPECT_TRUE(scan.include_usage);
  EXPECT_FALSE(scan.continuous_usage);
  EXPECT_EQ(scan.max_tokens, 12u);
  EXPECT_EQ(scan.n, 2u);
}

TEST(RequestScan, PrefersMaxCompletionTokens) {
  EXPECT_EQ(scanned(R"({"model":"m","max_completion_tokens":5,"max_tokens":9})").max_tokens, 5u);
  EXPECT_EQ(scanned(R"({"model":"m","max_tokens":9,"max_completion_tokens":null})").max_tokens, 9u);
  EXPECT_FALSE(scanned(R"({"model":"m","stream":null})").max_tokens.has_value());
}

TEST(RequestScan, RefusesWithTheParameterInQuestion) {
  struct Case {
    const char* body;
    Errc code;
    const char* param;
  };
  for (const Case& c : std::initializer_list<Case>{
           {"", Errc::NotJson, ""},
           {"[]", Errc::NotJson, ""},
           {"\"text\"", Errc::NotJson, ""},
           {"{", Errc::NotJson, ""},
           {R"({"model":"m")", Errc::NotJson, ""},
           {R"({"model":"m"} {})", Errc::NotJson, ""},
           {"{\"model\":\"\xff\"}", Errc::NotJson, ""},
           {R"({"messages":[]})", Errc::MissingField, "model"},
           {R"({"model":7})", Errc::WrongType, "model"},
           {R"({"model":""})", Errc::OutOfRange, "model"},
           {R"({"model":"m","stream":"yes"})", Errc::WrongType, "stream"},
           {R"({"model":"m","stream_options":true})", Errc::WrongType, "stream_options"},
           {R"({"model":"m","stream_options":{"include_usage":1}})", Errc::WrongType,
            "stream_options.include_usage"},
           {R"({"model":"m","max_tokens":0})", Errc::OutOfRange, "max_tokens"},
           {R"({"model":"m","max_tokens":-1})", Errc::WrongType, "max_tokens"},
           {R"({"model":"m","max_tokens":1.5})", Errc::WrongType, "max_tokens"},
           {R"({"model":"m","max_tokens":4294967296})", Errc::OutOfRange, "max_tokens"},
           {R"({"model":"m","n":129})", Errc::OutOfRange, "n"},
           // A pool's parser may take the last where we took the first.
           {R"({"model":"m","model":"n"})", Errc::DuplicateField, "model"},
           {R"({"model":"m","mo\u0064el":"n"})", Errc::DuplicateField, "model"},
           {R"({"model":"m","stream":false,"stream":true})", Errc::DuplicateField, "stream"},
       }) {
    const BadRequest bad = refused(c.body);
    EXPECT_EQ(bad.code, c.code) << c.body << ": " << bad.message;
    EXPECT_EQ(bad.param, c.param) << c.body;
  }
}

TEST(RequestSplice, LeavesEverythingElseByteForByte) {
  EXPECT_EQ(spliced(R"({ "x" : [1, 2.50] , "model":"c-url://any/infer/m" , "y":"é\u00e9" })", "m"),
            R"({ "x" : [1, 2.50] , "model":"m" , "y":"é\u00e9" })");
}

TEST(RequestSplice, AsksForUsageWhenItStreams) {
  EXPECT_EQ(
      spliced(R"({"model":"a","stream":true})", "b"),
      R"({"stream_options":{"include_usage":true,"continuous_usage_stats":true},"model":"b","stream":true})");
  // On either side of the model; what else the caller set there stays.
  EXPECT_EQ(
      spliced(R"({"stream_options":{ "x" : {"y":[1 ]} , "include_usage":false },"model":"a","stream":true})",
              "b"),
      R"({"stream_options":{"include_usage":true,"continuous_usage_stats":true,"x" : {"y":[1 ]}},"model":"b","stream":true})");
  EXPECT_EQ(
      spliced(R"({"model":"a","stream":true,"stream_options":null})", "b"),
      R"({"model":"b","stream":true,"stream_options":{"include_usage":true,"continuous_usage_stats":true}})");
  EXPECT_EQ(
      spliced(R"({"model":"a","stream":true,"stream_options":{}})", "b"),
      R"({"model":"b","stream":true,"stream_options":{"include_usage":true,"continuous_usage_stats":true}})");
}

TEST(RequestSplice, ResultIsTheSameRequestOtherwise) {
  const std::string body =
      R"({"stream":true,"messages":[{"role":"user","content":"{\"model\":1}"}],"model":"a\"b","seed":1})";
  const auto before = nlohmann::json::parse(body);
  auto after = nlohmann::json::parse(spliced(body, "q\"\n"));
  EXPECT_EQ(after["model"], "q\"\n");
  EXPECT_EQ(after["stream_options"]["include_usage"], true);
  after["model"] = before["model"];
  after.erase("stream_options");
  EXPECT_EQ(after, before);
}

RequestScan scanned_as(Endpoint endpoint, std::string body) {
  auto scan = scan_request(body, endpoint);
  EXPECT_TRUE(scan.has_value()) << body << ": " << (scan.has_value() ? "" : scan.error().message);
  return scan.has_value() ? *scan : RequestScan{};
}

TEST(RequestScan, CompletionsMayGenerateTheirBestOfForEachPrompt) {
  const auto n = [](const std::string& more) {
    return scanned_as(Endpoint::Completions, R"({"model":"m","max_tokens":7,)" + more + "}").n;
  };
  EXPECT_EQ(n(R"("prompt":"a")"), 1u);
  EXPECT_EQ(n(R"("prompt":["a","b","c"],"n":2)"), 6u);
  EXPECT_EQ(n(R"("n":2,"best_of":5,"prompt":["a","b"])"), 10u);
  EXPECT_EQ(n(R"("prompt":[1,2,3])"), 1u) << "one prompt of tokens";
  EXPECT_EQ(n(R"("prompt":[[1,2],[3]])"), 2u);
  std::string body = R"({"model":"m","prompt":"a","prompt":["a","b"]})";
  EXPECT_EQ(scan_request(body, Endpoint::Completions).error().code, Errc::DuplicateField);
  body = R"({"model":"m","prompt":"a","best_of":129})";
  EXPECT_EQ(scan_request(body, Endpoint::Completions).error().param, "best_of");
  std::string texts = R"({"model":"m","prompt":[)";
  for (int i = 0; i < 2049; ++i) texts += i ? R"(,"a")" : R"("a")";
  texts += "]}";
  EXPECT_EQ(scan_request(texts, Endpoint::Completions).error().code, Errc::OutOfRange);
}

TEST(RequestScan, EmbeddingsGenerateNothingAndNeverStream) {
  std::string body = R"({"model":"m","input":["a","b"],"stream":true,"max_tokens":9})";
  const auto scan = scanned_as(Endpoint::Embeddings, body);
  EXPECT_EQ(scan.max_tokens, 0u);
  EXPECT_FALSE(scan.stream);
  EXPECT_EQ(splice_request(body, scan, "x"),
            R"({"model":"x","input":["a","b"],"stream":true,"max_tokens":9})");
}

TEST(VectorsScan, BelievesNoTokensGenerated) {
  const auto scan = [](std::string text) { return scan_vectors(text); };
  const auto good = scan(
      R"({"data":[{"embedding":[0.5]}],"usage":{"prompt_tokens":3,"completion_tokens":9,"total_tokens":12}})");
  ASSERT_TRUE(good.valid && good.usage);
  EXPECT_EQ(good.usage->prompt_tokens, 3u);
  EXPECT_EQ(good.usage->completion_tokens, 0u);
  EXPECT_FALSE(scan(R"({"data":[]})").valid);
  EXPECT_FALSE(scan(R"({"error":{"message":"x"}})").valid);
  EXPECT_FALSE(scan(R"({"data":[{}]}})").valid);
  EXPECT_FALSE(scan(R"({"data":[{}],"usage":{"total_tokens":3}})").usage);
}

ChunkScan chunk(std::string json) { return scan_chunk(json); }

TEST(ChunkScan, TellsContentFromFrames) {
  EXPECT_TRUE(chunk(R"({"choices":[{"delta":{"content":"a"}}]})").has_content);
  EXPECT_TRUE(chunk(R"({"choices":[{"delta":{"content":null,"reasoning_content":"a"}}]})").has_content);
  EXPECT_TRUE(chunk(R"({"choices":[{"delta":{"tool_calls":[{"index":0}]}}]})").has_content);
  EXPECT_TRUE(chunk(R"({"choices":[{"delta":{}},{"delta":{"content":"b"}}]})").has_content);
  EXPECT_TRUE(chunk(R"({"choices":[{"message":{"role":"assistant","content":"a"}}]})").has_content);
  EXPECT_FALSE(chunk(R"({"choices":[{"delta":{"role":"assistant","content":""}}]})").has_content);
  EXPECT_FALSE(chunk(R"({"choices":[{"delta":{"tool_calls":[]},"finish_reason":"stop"}]})").has_content);
  EXPECT_FALSE(chunk(R"({"choices":[],"usage":null})").has_choices);
}

TEST(ChunkScan, FindsUsageWhereverItStands) {
  for (const char* json :
       {R"({"choices":[{"delta":{"content":"a"}}],"usage":{"prompt_tokens":3,"completion_tokens":4}})",
        R"({"usage" : { "completion_tokens":4, "prompt_tokens":3 , "total_tokens":7 } ,"choices":[]})"}) {
    const auto scan = chunk(json);
    ASSERT_TRUE(scan.valid) << json;
    ASSERT_TRUE(scan.usage) << json;
    EXPECT_EQ(scan.usage->prompt_tokens, 3u);
    EXPECT_EQ(scan.usage->completion_tokens, 4u);
  }
  EXPECT_FALSE(chunk(R"({"usage":null})").usage);
  EXPECT_FALSE(chunk(R"({"usage":{"completion_tokens":-1}})").usage);
}

TEST(ChunkScan, SeesErrorsAndGarbage) {
  EXPECT_TRUE(chunk(R"({"error":{"message":"x"}})").error);
  EXPECT_FALSE(chunk(R"({"error":null,"choices":[]})").error);
  EXPECT_FALSE(chunk("[DONE]").valid);
  EXPECT_FALSE(chunk("").valid);
  EXPECT_FALSE(chunk(R"({"choices":[{"delta":)").valid);
  EXPECT_TRUE(chunk("{\"usage\":{}} \r\n").valid);
  EXPECT_FALSE(chunk(R"({"usage":{}}})").valid);
  EXPECT_FALSE(chunk(std::string("{\"usage\":{}}\0\0}", 16)).valid);
}

TEST(ChunkSplice, TakesUsageOut) {
  const auto without = [](std::string json) {
    const auto scan = scan_chunk(json);
    return without_usage(json, scan);
  };
  EXPECT_EQ(without(R"({"a":1,"usage":{"completion_tokens":1},"b":2})"), R"({"a":1,"b":2})");
  EXPECT_EQ(without(R"({"usage":{"completion_tokens":1} , "b":2})"), R"({ "b":2})");
  EXPECT_EQ(without(R"({"a":1 , "usage":null})"), R"({"a":1 })");
  EXPECT_EQ(without(R"({"usage":{"completion_tokens":1}})"), "{}");
  EXPECT_EQ(without(R"({"a":"usage"})"), R"({"a":"usage"})");
  EXPECT_EQ(without(R"({"usage" :[ {} ],"b":2})"), R"({"b":2})");  // found by fuzzing
  std::string json = R"({"a":1,"usage":{"completion_tokens":1} })";
  const auto scan = scan_chunk(json);  // may move the text: it pads it
  EXPECT_EQ(with_null_usage(json, scan), R"({"a":1,"usage":null })");
}

}  // namespace
}  // namespace qanat::relay
