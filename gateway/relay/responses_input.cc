#include "gateway/relay/responses_input.hh"

#include <array>
#include <utility>

namespace qanat::relay {
namespace dom = simdjson::dom;

void ResponsesInput::say(const std::string& message) {
  if (!messages_.empty()) messages_ += ",";
  messages_ += message;
}
// A message of the assistant's and the calls that follow it are one message of a chat.
void ResponsesInput::flush() {
  if (!assistant_ && calls_.empty()) return;
  std::string message = R"({"role":"assistant","content":)" + assistant_.value_or("null");
  if (!calls_.empty()) message += ",\"tool_calls\":[" + calls_ + "]";
  say(message + "}");
  assistant_.reset();
  calls_.clear();
}

bool ResponsesInput::read(const Given& instructions, const Given& input) {
  if (instructions) {
    if (!instructions->is_string()) return wrong("instructions", "a string");
    say(R"({"role":"system","content":)" + raw(*instructions) + "}");
  }
  if (!input) return fail(Errc::MissingField, "input", "is required");
  if (input->is_string()) {
    say(R"({"role":"user","content":)" + raw(*input) + "}");
    return true;
  }
  dom::array items;
  if (input->get_array().get(items)) return wrong("input", "a string or a list of items");
  std::size_t at = 0;
  for (const dom::element each : items) {
    const std::string where = "input[" + std::to_string(at++) + "]";
    dom::object item;
    if (each.get_object().get(item)) return wrong(where, "an object");
    if (!item_of(item, where)) return false;
  }
  flush();
  return !messages_.empty() || fail(Errc::OutOfRange, "input", "must not be empty");
}

bool ResponsesInput::item_of(dom::object item, const std::string& where) {
  const Given type = in(item, "type");
  const std::string_view is = type ? string_of(type) : "message";
  if (is == "message") return message(item, where);
  if (is == "function_call") return call(item, where);
  if (is == "function_call_output") return output(item, where);
  if (is == "reasoning") return true;  // a chat has no place for what was thought in an earlier turn
  return unsupported(
      where + ".type",
      "message, function_call, function_call_output and reasoning are; nothing is stored here");
}

bool ResponsesInput::message(dom::object item, const std::string& where) {
  const Given role = in(item, "role"), said = in(item, "content");
  const std::string_view who = string_of(role);
  if (who != "user" && who != "assistant" && who != "system" && who != "developer")
    return fail(Errc::OutOfRange, where + ".role", "must be user, assistant, system or developer");
  if (!said) return fail(Errc::MissingField, where + ".content", "is required");
  std::string content;
  if (!content_of(*said, where + ".content", content)) return false;
  flush();
  if (who == "assistant")
    assistant_ = std::move(content);
  else
    say("{\"role\":" + raw(*role) + ",\"content\":" + content + "}");
  return true;
}

bool ResponsesInput::call(dom::object item, const std::string& where) {
  std::array<std::string, 3> values;
  for (std::size_t i = 0; const char* key : {"call_id", "name", "arguments"}) {
    const Given value = in(item, key);
    if (!value || !value->is_string()) return wrong(where + "." + key, "a string");
    values[i++] = raw(*value);
  }
  if (!calls_.empty()) calls_ += ",";
  calls_ += "{\"id\":" + values[0] + R"(,"type":"function","function":{"name":)" + values[1] +
            ",\"arguments\":" + values[2] + "}}";
  return true;
}

bool ResponsesInput::output(dom::object item, const std::string& where) {
  const Given id = in(item, "call_id"), output = in(item, "output");
  if (!id || !id->is_string()) return wrong(where + ".call_id", "a string");
  if (!output) return fail(Errc::MissingField, where + ".output", "is required");
  std::string content;
  if (!content_of(*output, where + ".output", content)) return false;
  flush();
  say(R"({"role":"tool","tool_call_id":)" + raw(*id) + ",\"content\":" + content + "}");
  return true;
}

// A text, or a list of parts; one part of text alone is a text.
bool ResponsesInput::content_of(dom::element value, const std::string& where, std::string& out) {
  if (value.is_string()) {
    out = raw(value);
    return true;
  }
  dom::array parts;
  if (value.get_array().get(parts)) return wrong(where, "a string or a list of parts");
  if (parts.size() == 0) out = "\"\"";
  std::string list;
  std::size_t at = 0;
  for (const dom::element each : parts) {
    const std::string place = where + "[" + std::to_string(at++) + "]";
    dom::object part;
    if (each.get_object().get(part)) return wrong(place, "an object");
    const std::string_view type = string_of(in(part, "type"));
    const char* const member = type == "refusal" ? "refusal" : "text";
    if (type == "input_text" || type == "output_text" || type == "text" || type == "refusal") {
      const Given text = in(part, member);
      if (!text || !text->is_string()) return wrong(place + "." + member, "a string");
      if (parts.size() == 1) out = raw(*text);
      list += std::string(list.empty() ? "" : ",") + R"({"type":")" + member + R"(",")" + member +
              "\":" + raw(*text) + "}";
    } else if (type == "input_image") {
      const Given url = in(part, "image_url"), detail = in(part, "detail");
      if (!url) return unsupported(place + ".file_id", "images come by image_url");
      list += std::string(list.empty() ? "" : ",") + R"({"type":"image_url","image_url":{"url":)" +
              raw(*url) + (detail ? ",\"detail\":" + raw(*detail) : "") + "}}";
    } else {
      return unsupported(place + ".type", "input_text, output_text, refusal and input_image are");
    }
  }
  if (out.empty()) out = "[" + list + "]";
  return true;
}

}  // namespace qanat::relay
