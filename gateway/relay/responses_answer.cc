#include "gateway/relay/responses_answer.hh"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "gateway/relay/request_scan.hh"

namespace qanat::relay {
namespace {

using nlohmann::json;

std::string text_at(const json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

const json* object_at(const json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_object() ? &*it : nullptr;
}

std::string member(std::string_view key, std::string_view text) {
  return "\"" + std::string(key) + "\":" + json_string(text);
}

std::string joined(const std::vector<std::string>& values) {
  std::string out = "[";
  for (const std::string& value : values) out += (&value == &values.front() ? "" : ",") + value;
  return out + "]";
}

}  // namespace

ResponsesAnswer::ResponsesAnswer(std::string_view id, std::int64_t created_unix_s, std::string model,
                                 std::string echo)
    : name_(id.substr(id.find('-') + 1)),
      model_(std::move(model)),
      echo_(std::move(echo)),
      created_(created_unix_s) {}

std::string ResponsesAnswer::item_id(std::size_t at) const {
  const Kind kind = items_[at].kind;
  return (kind == Kind::Function    ? "fc_"
          : kind == Kind::Reasoning ? "rs_"
                                    : "msg_") +
         name_ + "_" + std::to_string(at);
}

std::string ResponsesAnswer::part(const Item& item, std::string_view text) const {
  switch (item.kind) {
    case Kind::Refusal: return R"({"type":"refusal",)" + member("refusal", text) + "}";
    case Kind::Reasoning: return R"({"type":"reasoning_text",)" + member("text", text) + "}";
    default:
      return R"({"type":"output_text",)" + member("text", text) + R"(,"annotations":[],"logprobs":[]})";
  }
}

// `begun`: as it is when it is told of first, with nothing in it.
std::string ResponsesAnswer::item_json(std::size_t at, std::string_view status, bool begun) const {
  const Item& item = items_[at];
  std::string out = "{" + member("id", item_id(at)) + "," + member("status", status);
  if (item.kind == Kind::Function)
    return out + R"(,"type":"function_call",)" + member("call_id", item.call_id) + "," +
           member("name", item.name) + "," + member("arguments", begun ? "" : item.text) + "}";
  out += item.kind == Kind::Reasoning ? R"(,"type":"reasoning","summary":[])"
                                      : R"(,"type":"message","role":"assistant")";
  return out + ",\"content\":[" + (begun ? "" : part(item, item.text)) + "]}";
}

std::string ResponsesAnswer::place_of(std::size_t at) const {
  const std::string place = member("item_id", item_id(at)) + ",\"output_index\":" + std::to_string(at);
  return items_[at].kind == Kind::Function ? place : place + R"(,"content_index":0)";
}

std::string_view ResponsesAnswer::status() const {
  return finish_ == "length" || finish_ == "content_filter" ? "incomplete" : "completed";
}

std::string ResponsesAnswer::response(std::string_view status, const Usage* usage,
                                      std::string_view error) const {
  std::string out = "{" + member("id", "resp_" + name_) + R"(,"object":"response","created_at":)" +
                    std::to_string(created_) + "," + member("status", status) + "," + member("model", model_);
  out += ",\"error\":";
  out += error.empty() ? "null" : R"({"code":"server_error",)" + member("message", error) + "}";
  out += ",\"incomplete_details\":";
  out += status != "incomplete" ? "null"
                                : std::string(R"({"reason":")") +
                                      (finish_ == "length" ? "max_output_tokens" : "content_filter") + "\"}";
  std::vector<std::string> output;
  if (status != "in_progress")
    for (std::size_t at = 0; at < items_.size(); ++at)
      output.push_back(item_json(
          at, status != "completed" && at + 1 == items_.size() ? "incomplete" : "completed", false));
  out += ",\"output\":" + joined(output) + "," + echo_;
  if (usage)
    out += R"(,"usage":{"input_tokens":)" + std::to_string(usage->prompt_tokens) +
           R"(,"input_tokens_details":{"cached_tokens":)" + std::to_string(usage->cached_tokens) +
           R"(,"cache_write_tokens":0},"output_tokens":)" + std::to_string(usage->completion_tokens) +
           R"(,"output_tokens_details":{"reasoning_tokens":)" + std::to_string(reasoning_tokens_) +
           R"(},"total_tokens":)" + std::to_string(usage->prompt_tokens + usage->completion_tokens) + "}";
  return out + "}";
}

void ResponsesAnswer::event(std::string_view type, const std::string& members, std::string& events) {
  events.append("event: ").append(type).append("\ndata: {\"type\":\"").append(type);
  events.append("\",\"sequence_number\":").append(std::to_string(sequence_++)).append(",");
  events.append(members).append("}\n\n");
}

void ResponsesAnswer::begin(std::string& events) {
  if (std::exchange(begun_, true)) return;
  const std::string begun = "\"response\":" + response("in_progress", nullptr, {});
  event("response.created", begun, events);
  event("response.in_progress", begun, events);
}

std::size_t ResponsesAnswer::open(Item item, std::string& events) {
  const std::size_t at = items_.size();
  items_.push_back(std::move(item));
  event("response.output_item.added",
        "\"output_index\":" + std::to_string(at) + ",\"item\":" + item_json(at, "in_progress", true), events);
  if (items_[at].kind != Kind::Function)
    event("response.content_part.added", place_of(at) + ",\"part\":" + part(items_[at], ""), events);
  return at;
}

void ResponsesAnswer::grow(std::size_t at, const std::string& text, std::string& events) {
  if (text.empty()) return;
  Item& item = items_[at];
  item.text += text;
  const std::string members = place_of(at) + "," + member("delta", text);
  switch (item.kind) {
    case Kind::Text: return event("response.output_text.delta", members + R"(,"logprobs":[])", events);
    case Kind::Refusal: return event("response.refusal.delta", members, events);
    case Kind::Reasoning: return event("response.reasoning_text.delta", members, events);
    case Kind::Function: return event("response.function_call_arguments.delta", members, events);
  }
}

bool ResponsesAnswer::add(Kind kind, const std::string& text, std::string& events) {
  if (text.empty()) return true;
  std::size_t at = 0;
  while (at < items_.size() && items_[at].kind != kind) ++at;
  if (at == kMaxItems) return false;
  grow(at < items_.size() ? at : open({kind, {}, {}, {}}, events), text, events);
  return true;
}

bool ResponsesAnswer::read_calls(const json& calls, std::string& events) {
  int number = 0;
  for (const json& call : calls) {
    if (!call.is_object()) return false;
    const auto given = call.find("index");
    const int index = given != call.end() && given->is_number_integer() ? given->get<int>() : number;
    ++number;
    const json* const function = object_at(call, "function");
    auto found = functions_.find(index);
    if (found == functions_.end()) {
      if (items_.size() == kMaxItems) return false;
      Item item{Kind::Function, {}, text_at(call, "id"), function ? text_at(*function, "name") : ""};
      if (item.call_id.empty()) item.call_id = "call_" + name_ + "_" + std::to_string(items_.size());
      found = functions_.emplace(index, open(std::move(item), events)).first;
    }
    if (function) grow(found->second, text_at(*function, "arguments"), events);
  }
  return true;
}

// A delta of a stream, or the message of a whole answer.
bool ResponsesAnswer::read_delta(const json& delta, std::string& events) {
  for (const char* key : {"reasoning_content", "reasoning"})
    if (!add(Kind::Reasoning, text_at(delta, key), events)) return false;
  if (!add(Kind::Text, text_at(delta, "content"), events)) return false;
  if (!add(Kind::Refusal, text_at(delta, "refusal"), events)) return false;
  const auto calls = delta.find("tool_calls");
  return calls == delta.end() || !calls->is_array() || read_calls(*calls, events);
}

bool ResponsesAnswer::read(const json& chat, std::string& events) {
  if (!chat.is_object()) return false;
  if (!begun_)
    if (std::string named = text_at(chat, "model"); !named.empty()) model_ = std::move(named);
  begin(events);
  if (const json* usage = object_at(chat, "usage"))
    if (const json* details = object_at(*usage, "completion_tokens_details"))
      if (const auto told = details->find("reasoning_tokens");
          told != details->end() && told->is_number_unsigned())
        reasoning_tokens_ = told->get<std::uint64_t>();
  const auto choices = chat.find("choices");
  if (choices == chat.end() || !choices->is_array()) return true;
  for (const json& choice : *choices) {
    if (!choice.is_object()) return false;
    for (const char* key : {"delta", "message"})
      if (const json* delta = object_at(choice, key))
        if (!read_delta(*delta, events)) return false;
    if (std::string why = text_at(choice, "finish_reason"); !why.empty()) finish_ = std::move(why);
  }
  return true;
}

bool ResponsesAnswer::on_chunk(std::string_view chunk, std::string& events) {
  return read(json::parse(chunk, nullptr, false), events);
}

// Everything that is open ends, in its order.
void ResponsesAnswer::close(const Usage& usage, std::string& events) {
  begin(events);
  const std::string_view how = status();
  for (std::size_t at = 0; at < items_.size(); ++at) {
    const Item& item = items_[at];
    const std::string place = place_of(at);
    switch (item.kind) {
      case Kind::Text:
        event("response.output_text.done", place + "," + member("text", item.text) + R"(,"logprobs":[])",
              events);
        break;
      case Kind::Refusal:
        event("response.refusal.done", place + "," + member("refusal", item.text), events);
        break;
      case Kind::Reasoning:
        event("response.reasoning_text.done", place + "," + member("text", item.text), events);
        break;
      case Kind::Function:
        event("response.function_call_arguments.done",
              place + "," + member("name", item.name) + "," + member("arguments", item.text), events);
        break;
    }
    if (item.kind != Kind::Function)
      event("response.content_part.done", place + ",\"part\":" + part(item, item.text), events);
    const bool broken = how == "incomplete" && at + 1 == items_.size();
    event("response.output_item.done",
          "\"output_index\":" + std::to_string(at) +
              ",\"item\":" + item_json(at, broken ? "incomplete" : "completed", false),
          events);
  }
  event("response." + std::string(how), "\"response\":" + response(how, &usage, {}), events);
}

void ResponsesAnswer::on_end(const Usage& usage, std::string& events) { close(usage, events); }

void ResponsesAnswer::on_cut(const Usage& usage, std::string& events) {
  finish_ = "content_filter";
  close(usage, events);
}

void ResponsesAnswer::on_failure(std::string_view message, std::string& events) {
  begin(events);
  event("response.failed", "\"response\":" + response("failed", nullptr, message), events);
}

std::optional<std::string> ResponsesAnswer::whole(std::string_view chat, const Usage& usage) {
  std::string told;
  if (!read(json::parse(chat, nullptr, false), told)) return std::nullopt;
  return response(status(), &usage, {});
}

}  // namespace qanat::relay
