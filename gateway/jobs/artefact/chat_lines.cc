#include "gateway/jobs/artefact/chat_lines.hh"

#include <nlohmann/json.hpp>

namespace qanat::jobs {
namespace {

using nlohmann::json;

// What is wrong with one example; empty: nothing.
std::string judge_example(const json& example, std::uint64_t& messages, std::uint64_t& bytes) {
  if (!example.is_object()) return "is not a JSON object";
  const auto list = example.find("messages");
  if (list == example.end() || !list->is_array() || list->empty()) return "has no 'messages'";
  bool answer = false;
  for (const json& message : *list) {
    if (!message.is_object()) return "has a message that is not an object";
    const auto role = message.find("role"), content = message.find("content");
    if (role == message.end() || !role->is_string()) return "has a message without a 'role'";
    const auto& name = role->get_ref<const std::string&>();
    if (name != "system" && name != "developer" && name != "user" && name != "assistant" && name != "tool")
      return "has a message whose 'role' is '" + name + "'";
    const bool said = content != message.end() && content->is_string();
    if (!said && !message.contains("tool_calls")) return "has a message without 'content'";
    answer |= name == "assistant";
    ++messages;
    if (said) bytes += content->get_ref<const std::string&>().size();
  }
  return answer ? "" : "has no message of the assistant to learn from";
}

}  // namespace

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
  const json example = json::parse(text, nullptr, false);
  const std::string wrong =
      example.is_discarded() ? "is not JSON" : judge_example(example, messages_, content_bytes_);
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
