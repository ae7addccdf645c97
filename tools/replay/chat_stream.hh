// ChatStream: one streamed chat completion as a client sees it. Sans-I/O: bytes of the body in, what they mean out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/sse.hh"

namespace qanat::replay {

class ChatStream {
 public:
  // Returns how many content chunks (tokens) these bytes completed.
  std::uint64_t feed(std::string_view bytes);

  std::uint64_t tokens() const { return tokens_; }
  bool done() const { return done_; }  // [DONE] has come
  // What went wrong so far: an error event, bytes that are no events, a usage that disagrees with the chunks, the end
  // without [DONE] or finish_reason. Empty: nothing. Call it with `ended` once the body is over.
  std::string failure(bool ended) const;
  std::optional<std::uint64_t> prompt_tokens() const { return prompt_tokens_; }
  const std::string& finish_reason() const { return finish_reason_; }

 private:
  bool take(const std::string& data);

  base::SseParser parser_;
  std::uint64_t tokens_ = 0;
  std::optional<std::uint64_t> prompt_tokens_, completion_tokens_;
  std::string finish_reason_, failure_;
  bool done_ = false;
};

// "code: message" of an OpenAI error body, or its first bytes.
std::string error_text(std::string_view body);

}  // namespace qanat::replay
