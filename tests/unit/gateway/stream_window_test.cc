// The window on a stream: what it holds, what goes out, and that nothing of a short text goes out before it was seen whole.
#include "gateway/relay/stream_window.hh"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>

namespace qanat::relay {
namespace {

using nlohmann::json;

std::string chunk(const std::string& text, int index = 0, const json& end = nullptr) {
  const json choice = {{"index", index}, {"delta", {{"content", text}}}, {"finish_reason", end}};
  return json{{"id", "s"}, {"created", 7}, {"model", "m"}, {"choices", json::array({choice})}}.dump();
}

std::string texts(const std::vector<StreamWindow::Frame>& frames) {
  std::string all;
  for (const auto& f : frames) all += f.bytes;
  return all;
}

// A client behind a window whose filter knows one word.
struct Reader {
  StreamWindow window;
  std::string word, seen;
  bool cut = false;

  void feed(const std::string& text, std::uint64_t tokens, bool end) {
    if (cut) return;
    ASSERT_TRUE(window.hold({end ? "" : text, tokens}, end ? "[DONE]" : chunk(text)));
    if (!end && !window.due()) return;
    const auto question = json::parse(window.question());
    const std::string held = question["choices"].empty() ? "" : question["choices"][0]["text"];
    if (held.find(word) != std::string::npos) {
      cut = true;
      return;
    }
    seen += texts(window.pass(end));
  }
};

TEST(StreamWindow, AShortTextIsSeenWholeBeforeAByteOfItGoesOut) {
  std::mt19937 random(20);
  const std::string word = "0123456789";  // nothing else has a digit
  for (int round = 0; round < 250; ++round) {
    const std::size_t bytes = 20 + random() % 100;
    Reader reader{StreamWindow(bytes), word, "", false};
    std::string text(random() % 600, ' ');
    for (char& c : text) c = static_cast<char>('a' + random() % 26);
    const bool poisoned = random() % 2 == 0;
    const std::size_t at = random() % (text.size() + 1);
    if (poisoned) text.insert(at, word);
    std::uint64_t tokens = 0;
    for (std::size_t from = 0; from < text.size();) {
      const std::size_t length = std::min<std::size_t>(1 + random() % 12, text.size() - from);
      reader.feed(text.substr(from, length), ++tokens, false);
      EXPECT_LT(reader.window.held_text(), bytes + 12);
      from += length;
    }
    reader.feed("", tokens, true);
    EXPECT_EQ(reader.cut, poisoned);
    if (poisoned)
      EXPECT_LE(reader.seen.size(), at) << "bytes of the word went out";
    else
      EXPECT_EQ(reader.seen, text);
    EXPECT_EQ(reader.seen, text.substr(0, reader.seen.size()));
  }
}

TEST(StreamWindow, HoldsAtMostItsBytesAndAFrameWhateverTheFramesAre) {
  StreamWindow window(64);
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(window.hold({std::string(16'384, 'w'), 1}, chunk(std::string(16'384, 'w'))));
    ASSERT_TRUE(window.due());
    window.pass(false);
    EXPECT_LE(window.held_text(), 16'384u);
  }
  // Frames without text are bounded by what they weigh.
  StreamWindow empty(64);
  std::size_t out = 0;
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(empty.hold({std::string(100'000, ' '), 0}, chunk("")));
    if (empty.due()) out += empty.pass(false).size();
  }
  EXPECT_GE(out, 89u);
}

TEST(StreamWindow, AsksByChoiceAndAboutAllThatIsRead) {
  StreamWindow window(1000);
  ASSERT_TRUE(window.hold({"", 1}, chunk("ab", 0)));
  ASSERT_TRUE(window.hold({"", 2}, chunk("xy", 1)));
  ASSERT_TRUE(window.hold({"", 3}, chunk("cd", 0)));
  ASSERT_TRUE(window.hold({"", 4}, R"({"choices":[{"index":1,"delta":{"reasoning":"r","tool_calls":)"
                                   R"([{"function":{"name":"f","arguments":"{}"}}]}}]})"));
  EXPECT_EQ(window.question(), R"({"choices":[{"index":0,"text":"abcd"},{"index":1,"text":"xyrf{}"}]})");
  for (const char* bad : {"", "[]", "<html>", R"({"choices":[7]})", R"({"choices":[{"index":-1}]})",
                          R"({"choices":[{"index":128}]})", R"({"choices":[{"index":"0"}]})"})
    EXPECT_FALSE(window.hold({"", 5}, bad)) << bad;
}

TEST(StreamWindow, ACompletionIsCutAsText) {
  StreamWindow window(4);
  ASSERT_TRUE(window.hold(
      {"", 1},
      R"({"id":"s","object":"text_completion","choices":[{"index":0,"text":"abcdef","finish_reason":null}]})"));
  EXPECT_EQ(window.question(), R"({"choices":[{"index":0,"text":"abcdef"}]})");
  const json end = json::parse(window.cut());
  EXPECT_EQ(end["object"], "text_completion");
  EXPECT_EQ(end["choices"][0],
            (json{{"index", 0}, {"text", ""}, {"logprobs", nullptr}, {"finish_reason", "content_filter"}}));
}

TEST(StreamWindow, ACutEndsTheChoicesWhoseEndTheClientHasNotSeen) {
  StreamWindow window(4);
  ASSERT_TRUE(window.hold({"", 1}, chunk("a", 0, "stop")));
  ASSERT_TRUE(window.hold({"", 2}, chunk("bcdef", 1)));
  EXPECT_EQ(window.pass(false).size(), 1u) << "the first one's end is with the client";
  const json end = json::parse(window.cut());
  EXPECT_EQ(end["id"], "s");
  EXPECT_EQ(end["object"], "chat.completion.chunk");
  ASSERT_EQ(end["choices"].size(), 1u);
  EXPECT_EQ(end["choices"][0]["index"], 1);
  EXPECT_EQ(end["choices"][0]["finish_reason"], "content_filter");
  EXPECT_TRUE(window.pass(true).empty()) << "what was held is gone";
  EXPECT_EQ(json::parse(window.usage(40, 2))["usage"]["total_tokens"], 42);
}

}  // namespace
}  // namespace qanat::relay
