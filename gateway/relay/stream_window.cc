#include "gateway/relay/stream_window.hh"

#include <map>
#include <nlohmann/json.hpp>
#include <utility>

namespace qanat::relay {
namespace {

using nlohmann::json;

std::string string_at(const json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

// All that a reader, or a program that runs a tool, would see of it.
std::string text_of(const json& delta) {
  std::string text;
  for (const char* key : {"reasoning_content", "reasoning", "content", "refusal"})
    text += string_at(delta, key);
  const auto calls = delta.find("tool_calls");
  if (calls == delta.end() || !calls->is_array()) return text;
  for (const json& call : *calls) {
    const auto function = call.is_object() ? call.find("function") : calls->end();
    if (!call.is_object() || function == call.end() || !function->is_object()) continue;
    text += string_at(*function, "name") + string_at(*function, "arguments");
  }
  return text;
}

}  // namespace

bool StreamWindow::read(const json& chunk, Held& held) {
  if (head_.empty()) {
    json head = json::object();
    for (const char* key : {"id", "created", "model"})
      if (chunk.contains(key)) head[key] = chunk[key];
    head["object"] =
        chunk.value("object", json()) == "text_completion" ? "text_completion" : "chat.completion.chunk";
    head_ = head.dump();
  }
  const auto choices = chunk.find("choices");
  if (choices == chunk.end() || !choices->is_array()) return true;
  for (const json& choice : *choices) {
    if (!choice.is_object()) return false;
    const auto given = choice.find("index");
    if (given != choice.end() && !given->is_number_unsigned()) return false;
    const std::uint64_t number = given == choice.end() ? 0 : given->get<std::uint64_t>();
    if (number >= kMaxChoices) return false;
    const int index = static_cast<int>(number);
    open_.insert(index);
    std::string text = string_at(choice, "text");
    for (const char* key : {"delta", "message"})
      if (const auto it = choice.find(key); it != choice.end() && it->is_object()) text += text_of(*it);
    held.text += text.size();
    if (!text.empty()) held.texts.emplace_back(index, std::move(text));
    if (const auto end = choice.find("finish_reason"); end != choice.end() && !end->is_null())
      held.ends.push_back(index);
  }
  return true;
}

bool StreamWindow::hold(Frame frame, const std::string& data) {
  Held held;
  if (data != "[DONE]") {
    const json chunk = json::parse(data, nullptr, false);
    if (!chunk.is_object() || !read(chunk, held)) return false;
  }
  text_ += held.text;
  fresh_ += held.text;
  frame_bytes_ += frame.bytes.size();
  held.frame = std::move(frame);
  held_.push_back(std::move(held));
  return true;
}

bool StreamWindow::due() const { return text_ >= bytes_ || frame_bytes_ >= kMaxFrameBytes; }

std::string StreamWindow::question() const {
  std::map<int, std::string> texts;
  for (const Held& held : held_)
    for (const auto& [index, text] : held.texts) texts[index] += text;
  json choices = json::array();
  for (auto& [index, text] : texts) choices.push_back({{"index", index}, {"text", std::move(text)}});
  return json{{"choices", std::move(choices)}}.dump();
}

std::vector<StreamWindow::Frame> StreamWindow::pass(bool all) {
  fresh_ = 0;
  std::vector<Frame> out;
  while (!held_.empty()) {
    Held& oldest = held_.front();
    const bool enough_stays = text_ - oldest.text >= bytes_ / 2;
    if (!all && !enough_stays && frame_bytes_ < kMaxFrameBytes) break;
    text_ -= oldest.text;
    frame_bytes_ -= oldest.frame.bytes.size();
    for (const int index : oldest.ends) open_.erase(index);
    out.push_back(std::move(oldest.frame));
    held_.pop_front();
  }
  return out;
}

std::string StreamWindow::cut() {
  held_.clear();
  text_ = fresh_ = frame_bytes_ = 0;
  json chunk = json::parse(head_);
  chunk["choices"] = json::array();
  const bool text = chunk["object"] == "text_completion";
  for (const int index : open_) {
    json choice{{"index", index}, {"finish_reason", "content_filter"}};
    if (text)
      choice.update({{"text", ""}, {"logprobs", nullptr}});
    else
      choice["delta"] = json::object();
    chunk["choices"].push_back(std::move(choice));
  }
  return chunk.dump();
}

std::string StreamWindow::usage(std::uint64_t prompt_tokens, std::uint64_t completion_tokens) const {
  json chunk = json::parse(head_);
  chunk["choices"] = json::array();
  chunk["usage"] = {{"prompt_tokens", prompt_tokens},
                    {"completion_tokens", completion_tokens},
                    {"total_tokens", prompt_tokens + completion_tokens}};
  return chunk.dump();
}

}  // namespace qanat::relay
