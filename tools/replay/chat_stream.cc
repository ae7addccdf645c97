#include "tools/replay/chat_stream.hh"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace qanat::replay {

using nlohmann::json;

std::uint64_t ChatStream::feed(std::string_view bytes) {
  const std::uint64_t before = tokens_;
  std::vector<base::SseEvent> events;
  if (!parser_.feed(bytes, events)) failure_ = "an event is too large";
  for (const auto& event : events) {
    if (event.data == "[DONE]")
      done_ = true;
    else if (failure_.empty())
      take(event.data);
  }
  return tokens_ - before;
}

bool ChatStream::take(const std::string& data) {
  const json chunk = json::parse(data, nullptr, false);
  if (!chunk.is_object()) {
    failure_ = "a chunk is not a JSON object";
    return false;
  }
  if (chunk.contains("error")) {
    failure_ = error_text(data);
    return false;
  }
  if (const auto usage = chunk.find("usage"); usage != chunk.end() && usage->is_object()) {
    if (usage->contains("prompt_tokens")) prompt_tokens_ = usage->value("prompt_tokens", std::uint64_t{0});
    if (usage->contains("completion_tokens"))
      completion_tokens_ = usage->value("completion_tokens", std::uint64_t{0});
  }
  const auto choices = chunk.find("choices");
  if (choices == chunk.end() || !choices->is_array() || choices->empty()) return true;
  const json& choice = (*choices)[0];
  if (!choice.is_object()) return true;
  if (const auto delta = choice.find("delta"); delta != choice.end() && delta->is_object()) {
    const auto content = delta->find("content");
    if (content != delta->end() && content->is_string() && !content->get_ref<const std::string&>().empty())
      ++tokens_;
  }
  if (const auto reason = choice.find("finish_reason"); reason != choice.end() && reason->is_string())
    finish_reason_ = reason->get<std::string>();
  return true;
}

std::string ChatStream::failure(bool ended) const {
  if (!failure_.empty() || !ended) return failure_;
  if (!done_) return "the stream ended without [DONE]";
  if (finish_reason_.empty()) return "the stream ended without a finish_reason";
  if (completion_tokens_ && *completion_tokens_ != tokens_)
    return "the usage disagrees with the tokens delivered";
  return {};
}

std::string error_text(std::string_view body) {
  const json parsed = json::parse(body, nullptr, false);
  if (parsed.is_object() && parsed.contains("error") && parsed["error"].is_object()) {
    const json& error = parsed["error"];
    const auto text = [&](const char* key) {
      const auto it = error.find(key);
      return it != error.end() && it->is_string() ? it->get<std::string>() : std::string();
    };
    return fmt::format("{}: {}", text("code"), text("message"));
  }
  return std::string(body.substr(0, 120));
}

}  // namespace qanat::replay
