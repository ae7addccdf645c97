// Calls to /v1/responses are metered as the chats that they become: what is billed is what the client's socket took.
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/e2e/gateway/metering_lab.hh"

namespace qanat::e2e {
namespace {

using nlohmann::json;

std::size_t count_of(std::string_view what, std::string_view text) {
  std::size_t found = 0;
  for (std::size_t at = text.find(what); at != std::string_view::npos; at = text.find(what, at + 1)) ++found;
  return found;
}

class MeteringResponses : public Metering {
 protected:
  static constexpr std::string_view kDelta = "event: response.output_text.delta\n";
  json asked(const std::string& script, bool stream) {
    json b = body(script, stream);
    b["input"] = "Where does the water go?";
    b["max_output_tokens"] = b["max_tokens"];
    b.erase("messages");
    b.erase("max_tokens");
    return b;
  }
  // Calls, reads until so many pieces have come, and closes the connection; what was read.
  std::string leave_after(std::size_t pieces, const std::string& request) {
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(port_));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
    const std::string text = "POST /v1/responses HTTP/1.1\r\nhost: x\r\nauthorization: Bearer " + key_ +
                             "\r\ncontent-length: " + std::to_string(request.size()) + "\r\n\r\n" + request;
    EXPECT_EQ(::send(fd, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
    std::string seen;
    char buffer[4096];
    for (ssize_t n = 1; n > 0 && count_of(kDelta, seen) < pieces;) {
      n = ::recv(fd, buffer, sizeof buffer, 0);
      if (n > 0) seen.append(buffer, static_cast<std::size_t>(n));
    }
    ::close(fd);
    return seen;
  }
};

TEST_F(MeteringResponses, EveryWayAnAnswerCanGo) {
  const struct {
    const char* script;
    bool stream;
    const char* outcome;
    const char* source;
    std::uint64_t tokens;
    const char* last;  // event of a stream
  } scenarios[] = {
      {"", true, "completed", "final", 5, "response.completed"},
      {"", false, "completed", "final", 5, ""},
      {"missing_usage", true, "completed", "counted", 5, "response.completed"},
      {"missing_usage", false, "completed", "estimated", 5, ""},
      {"error_after_200", true, "upstream_failed", "counted", 3, "response.failed"},
      {"", true, "completed", "final", 5, "response.completed"},
      {"garbage", true, "upstream_failed", "counted", 3, "response.failed"},
      {"breaks_off", true, "upstream_failed", "counted", 3, "response.failed"},
      {"", true, "completed", "final", 5, "response.completed"},
      {"status_500", true, "completed", "final", 5, "response.completed"},
      {"closes", false, "completed", "final", 5, ""},
  };
  std::uint64_t calls = 0;
  for (const auto& s : scenarios) {
    SCOPED_TRACE(std::string(s.script) + (s.stream ? " (stream)" : " (whole)"));
    const auto answer = tenant("POST", "/v1/responses", asked(s.script, s.stream).dump());
    ASSERT_EQ(answer.status, 200) << answer.body;
    books(++calls);
    const json line = latest();
    EXPECT_EQ(line["outcome"], s.outcome) << line;
    EXPECT_EQ(line["usage_source"], s.source);
    EXPECT_EQ(line["tokens_out"], s.tokens);
    json told;
    if (s.stream) {
      EXPECT_EQ(count_of(kDelta, answer.body), s.tokens) << answer.body;
      const std::size_t last = answer.body.rfind("event: ");
      const std::size_t end = answer.body.find('\n', last);
      EXPECT_EQ(answer.body.substr(last + 7, end - last - 7), s.last);
      told = json::parse(answer.body.substr(end + 7))["response"];
    } else {
      told = json::parse(answer.body);
    }
    if (std::string_view(s.outcome) != "completed") {
      EXPECT_EQ(told["error"]["code"], "server_error");
      continue;
    }
    // What the client is told that it used is what it is billed.
    EXPECT_EQ(told["usage"]["output_tokens"], line["tokens_out"]);
    EXPECT_EQ(told["usage"]["input_tokens"], line["tokens_in"]);
    EXPECT_EQ(told["usage"]["input_tokens_details"]["cached_tokens"], line["tokens_cached"]);
  }
}

TEST_F(MeteringResponses, WhoLeavesInTheMiddlePaysWhatCame) {
  const std::string seen = leave_after(20, asked("slow", true).dump());
  const std::size_t got = count_of(kDelta, seen);
  ASSERT_GE(got, 20u) << seen;
  books(1);
  const json line = latest();
  EXPECT_EQ(line["outcome"], "client_gone");
  EXPECT_GE(line["tokens_out"], got);
  EXPECT_LE(line["tokens_out"], got + 20) << "what the socket took after it was closed";
}

TEST_F(MeteringResponses, AQuoteIsOfTheChatThatItBecomes) {
  const auto answer = tenant("POST", "/qanat/v1/quote?of=responses", asked("", false).dump());
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(json::parse(answer.body)["at_most"]["output_tokens"], 100);
}

}  // namespace
}  // namespace qanat::e2e
