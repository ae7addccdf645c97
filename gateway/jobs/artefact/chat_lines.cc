#include "gateway/jobs/artefact/chat_lines.hh"

#include <simdjson.h>

namespace qanat::jobs {
namespace {

namespace dom = simdjson::dom;

// What is wrong with one example; empty: nothing.
std::string judge_example(dom::element example, std::uint64_t& messages, std::uint64_t& bytes) {
  if (!example.is_object()) return "is not a JSON object";
  dom::array list;
  if (example["messages"].get_array().get(list) != simdjson::SUCCESS || list.begin() == list.end())
    return "has no 'messages'";
  bool answer = false;
  for (const dom::element message : list) {
    if (!message.is_object()) return "has a message that is not an object";
    std::string_view name, content;
    if (message["role"].get_string().get(name) != simdjson::SUCCESS) return "has a message without a 'role'";
    if (name != "system" && name != "developer" && name != "user" && name != "assistant" && name != "tool")
      return "has a message whose 'role' is '" + std::string(name) + "'";
    const bool said = message["content"].get_string().get(content) == simdjson::SUCCESS;
    if (!said && message["tool_calls"].error() != simdjson::SUCCESS) return "has a message without 'content'";
    answer |= name == "assistant";
    ++messages;
    if (said) bytes += content.size();
  }
  return answer ? "" : "has no message of the assistant to learn from";
}

}  // namespace

struct ChatLines::Parser {
  dom::parser parser;
};

ChatLines::ChatLines() : parser_(std::make_shared<Parser>()) {}

void ChatLines::feed(std::string_view bytes) {
  while (problem_.empty() && !bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    if (end == std::string_view::npos) {
      rest_ += bytes;
      if (rest_.size() > kMaxLine) problem_ = "line " + std::to_string(number_ + 1) + " is longer than 1 MiB";
      return;
    }
    if (rest_.empty()) {
      line(bytes.substr(0, end));
    } else {
      rest_ += bytes.substr(0, end);
      line(rest_);
      rest_.clear();
    }
    bytes.remove_prefix(end + 1);
  }
}

void ChatLines::line(std::string_view text) {
  ++number_;
  if (text.ends_with('\r')) text.remove_suffix(1);
  if (text.empty()) return;
  dom::element example;
  const bool json = parser_->parser.parse(text.data(), text.size()).get(example) == simdjson::SUCCESS;
  const std::string wrong = !json ? "is not JSON" : judge_example(example, messages_, content_bytes_);
  if (!wrong.empty())
    problem_ = "line " + std::to_string(number_) + " " + wrong;
  else
    ++examples_;
}

std::string ChatLines::finish() {
  if (problem_.empty() && !rest_.empty()) line(rest_);
  rest_.clear();
  if (problem_.empty() && examples_ < kFewest)
    problem_ = "it has " + std::to_string(examples_) + " examples; at least " + std::to_string(kFewest) +
               " are needed";
  return problem_;
}

}  // namespace qanat::jobs
