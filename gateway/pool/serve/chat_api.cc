#include "gateway/pool/serve/chat_api.hh"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

#include "gateway/pool/serve/body.hh"
#include "gateway/pool/tokenizer.hh"

namespace qanat::pool {
namespace {

using body::find, body::flag, body::invalid, body::positive, body::PromptHasher, body::Refusal,
    body::unsupported;
using nlohmann::json;

void refuse_what_we_cannot_do(const json& body) {
  for (const char* key : {"tools", "functions"})
    if (const json* value = find(body, key); value && !(value->is_array() && value->empty()))
      unsupported(key, "tools");
  if (const json* value = find(body, "tool_choice"); value && *value != "none" && *value != "auto")
    unsupported("tool_choice", "tools");
  if (find(body, "function_call")) unsupported("function_call", "tools");
  if (const json* n = find(body, "n"); n && *n != 1) unsupported("n", "more than one choice (n)");
  if (flag(body, "logprobs")) unsupported("logprobs", "log probabilities");
  if (find(body, "top_logprobs")) unsupported("top_logprobs", "log probabilities");
  if (const json* bias = find(body, "logit_bias"); bias && !(bias->is_object() && bias->empty()))
    unsupported("logit_bias", "logit bias");
  if (const json* format = find(body, "response_format");
      format && !(format->is_object() && format->value("type", json()) == "text"))
    unsupported("response_format", "output formats other than text");
  if (find(body, "audio")) unsupported("audio", "audio");
  if (const json* modalities = find(body, "modalities"); modalities && *modalities != json::array({"text"}))
    unsupported("modalities", "output other than text");
}

void take_message(PromptHasher& prompt, const json& message, std::size_t index) {
  const std::string where = fmt::format("messages[{}]", index);
  if (!message.is_object()) invalid(where, "A message must be an object.");
  const json* role = find(message, "role");
  if (!role || !role->is_string()) invalid(where + ".role", "A message needs a role.");
  const std::string& who = role->get_ref<const std::string&>();
  prompt.tokens(who, kTokensPerMessage);
  prompt.request.prompt_hash = hash_text(who, prompt.request.prompt_hash);
  const json* content = find(message, "content");
  if (!content) {
    if (*role != "assistant") invalid(where + ".content", "A message needs content.");
    return;
  }
  if (content->is_string()) return prompt.text(content->get_ref<const std::string&>());
  if (!content->is_array()) invalid(where + ".content", "Content must be a string or a list of parts.");
  for (const auto& part : *content) {
    const json* type = part.is_object() ? find(part, "type") : nullptr;
    if (!type || !type->is_string()) invalid(where + ".content", "A content part needs a type.");
    if (*type != "text") unsupported(where + ".content", "content parts other than text");
    const json* text = find(part, "text");
    if (!text || !text->is_string()) invalid(where + ".content", "A text part needs its text.");
    prompt.text(text->get_ref<const std::string&>());
  }
}

ChatRequest take(const json& call) {
  ChatRequest request;
  request.model = body::model_of(call);
  refuse_what_we_cannot_do(call);
  const json* messages = find(call, "messages");
  if (!messages || !messages->is_array() || messages->empty())
    invalid("messages", "'messages' must be a list of at least one message.");
  request.prompt_hash = hash_text(request.model);
  PromptHasher prompt(request, call);
  for (std::size_t i = 0; i < messages->size(); ++i) take_message(prompt, (*messages)[i], i);
  prompt.tokens("assistant", kTokensPerReply);
  body::take_generation(request, call);
  return request;
}

}  // namespace

std::string to_json(const ApiError& error) {
  return fmt::format(R"({{"error":{{"message":{},"type":{},"param":{},"code":{}}}}})",
                     body::json_text(error.message), body::json_text(error.type),
                     error.param.empty() ? "null" : body::json_text(error.param),
                     body::json_text(error.code));
}

boost::system::result<ChatRequest, ApiError> parse_chat(std::string_view body) {
  const json parsed = json::parse(body, nullptr, false);
  if (!parsed.is_object()) return ApiError{400, "The body must be a JSON object.", "invalid_json", ""};
  try {
    return take(parsed);
  } catch (const Refusal& refusal) {
    return refusal.error;
  }
}

ChatWriter::ChatWriter(std::string id, std::string_view model, std::uint64_t created,
                       const ChatRequest& request)
    : id_(std::move(id)),
      model_json_(body::json_text(model)),
      created_(created),
      prompt_tokens_(request.prompt_tokens),
      text_(request.dialect == Dialect::Completion),
      include_usage_(request.include_usage),
      continuous_usage_(request.continuous_usage) {
  head_ = fmt::format(R"(data: {{"id":"{}","object":"{}","created":{},"model":{},"choices":[)", id_,
                      text_ ? "text_completion" : "chat.completion.chunk", created_, model_json_);
}

void ChatWriter::append_usage(std::string& out, std::uint64_t completion) const {
  fmt::format_to(
      std::back_inserter(out),
      R"({{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{},"prompt_tokens_details":{{"cached_tokens":{}}}}})",
      prompt_tokens_, completion, prompt_tokens_ + completion, cached_tokens_);
}

void ChatWriter::append_token(std::string& out, std::string_view text, std::uint64_t index) const {
  out += head_;
  if (text_) {
    out += R"({"index":0,"text":")";
    out += text;
    out += '"';
  } else {
    out += R"({"index":0,"delta":{)";
    if (index == 1) out += R"("role":"assistant",)";
    out += R"("content":")";
    out += text;
    out += R"("})";
  }
  out += R"(,"logprobs":null,"finish_reason":null}])";
  if (continuous_usage_) {
    out += R"(,"usage":)";
    append_usage(out, index);
  } else if (include_usage_) {
    out += R"(,"usage":null)";
  }
  out += "}\n\n";
}

void ChatWriter::append_end(std::string& out, Finish finish, std::uint64_t completion) const {
  out += head_;
  out += fmt::format(R"({{"index":0,{},"logprobs":null,"finish_reason":"{}"}}])",
                     text_ ? R"("text":"")" : R"("delta":{})", to_string(finish));
  if (continuous_usage_) {
    out += R"(,"usage":)";
    append_usage(out, completion);
  } else if (include_usage_) {
    out += R"(,"usage":null)";
  }
  out += "}\n\n";
  if (include_usage_) {
    out += head_ + R"(],"usage":)";
    append_usage(out, completion);
    out += "}\n\n";
  }
  out += "data: [DONE]\n\n";
}

std::string ChatWriter::whole(std::string_view text, Finish finish, std::uint64_t completion) const {
  std::string out =
      fmt::format(R"({{"id":"{}","object":"{}","created":{},"model":{},"choices":[{{"index":0,)", id_,
                  text_ ? "text_completion" : "chat.completion", created_, model_json_);
  if (text_)
    out += fmt::format(R"("text":"{}")", text);
  else
    out += fmt::format(R"("message":{{"role":"assistant","content":"{}","refusal":null}})", text);
  out += fmt::format(R"(,"logprobs":null,"finish_reason":"{}"}}],"usage":)", to_string(finish));
  append_usage(out, completion);
  return out + "}";
}

std::string ChatWriter::broken(const ApiError& error) { return "data: " + to_json(error) + "\n\n"; }

std::string models_json(const std::vector<std::string>& names, std::string_view owner,
                        std::uint64_t created) {
  std::string data;
  for (const auto& name : names)
    data += fmt::format(R"({}{{"id":{},"object":"model","created":{},"owned_by":{}}})",
                        data.empty() ? "" : ",", body::json_text(name), created, body::json_text(owner));
  return R"({"object":"list","data":[)" + data + "]}";
}

}  // namespace qanat::pool
