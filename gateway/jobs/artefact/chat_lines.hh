// ChatLines: checks a fine-tune's training file, JSON lines of chat messages (OpenAI's format), as its chunks come.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace qanat::jobs {

class ChatLines {
 public:
  static constexpr std::size_t kMaxLine = 1024 * 1024;  // bytes
  static constexpr std::uint64_t kFewest = 10;          // examples, as OpenAI asks

  ChatLines();
  void feed(std::string_view bytes);
  // After the last bytes. Empty: a good file; else the first thing that is wrong, with its line, for its author.
  std::string finish();

  std::uint64_t examples() const { return examples_; }
  // Of all messages, at four bytes each: what plans and prices lean on.
  std::uint64_t tokens() const { return content_bytes_ / 4 + 4 * messages_; }

 private:
  struct Parser;
  void line(std::string_view text);
  std::shared_ptr<Parser> parser_;
  std::string rest_, problem_;
  std::uint64_t number_ = 0, examples_ = 0, messages_ = 0, content_bytes_ = 0;
};

}  // namespace qanat::jobs
