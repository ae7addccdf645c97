#include "gateway/pool/serve/chat_api.hh"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>

#include "gateway/pool/tokenizer.hh"

namespace qanat::pool {
namespace {

using nlohmann::json;

// Thrown inside parse_chat only, which turns it into its result.
struct Refusal {
  ApiError error;
};

[[noreturn]] void invalid(std::string_view param, std::string message) {
  throw Refusal{{400, std::move(message), "invalid_value", std::string(param)}};
}
[[noreturn]] void unsupported(std::string_view param, std::string_view what) {
  throw Refusal{{400, fmt::format("This pool does not support {}.", what), "unsupported_parameter",
                 std::string(param)}};
}

const json* find(const json& object, const char* key) {
  const auto it = object.find(key);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}
bool flag(const json& object, const char* key) {
  const json* value = find(object, key);
  if (value && !value->is_boolean()) invalid(key, fmt::format("'{}' must be true or false.", key));
  return value && value->get<bool>();
}
std::optional<std::uint32_t> positive(const json& object, const char* key) {
  const json* value = find(object, key);
  if (!value) return std::nullopt;
  constexpr std::int64_t kMax = std::numeric_limits<std::int32_t>::max();
  if (!value->is_number_integer() || value->get<std::int64_t>() < 1 || value->get<std::int64_t>() > kMax)
    invalid(key, fmt::format("'{}' must be an integer from 1 to {}.", key, kMax));
  return value->get<std::uint32_t>();
}

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

// The prompt as the engine's prefix cache sees it: a chained hash closes with every kBlockTokens tokens.
struct PromptHasher {
  ChatRequest& request;
  std::uint64_t chain = hash_text("qanat-prefix-1");
  std::uint32_t filled = 0;

  void tokens(std::string_view bytes, std::uint64_t count) {
    chain = hash_text(bytes, chain);
    for (request.prompt_tokens += count; count > 0; --count)
      if (++filled == kBlockTokens) {
        request.blocks.push_back(chain);
        filled = 0;
      }
  }
  void text(std::string_view text) {
    request.prompt_hash = hash_text(text, request.prompt_hash);
    while (!text.empty()) {
      const std::size_t length = token_length(text);
      tokens(text.substr(0, length), 1);
      text.remove_prefix(length);
    }
  }
};

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

void take_stop(ChatRequest& request, const json& body) {
  const json* stop = find(body, "stop");
  if (!stop) return;
  if (stop->is_string()) {
    request.stop = {stop->get<std::string>()};
  } else if (stop->is_array() && stop->size() <= 4) {
    for (const auto& one : *stop) {
      if (!one.is_string()) invalid("stop", "'stop' must be a string or up to four strings.");
      request.stop.push_back(one.get<std::string>());
    }
  } else {
    invalid("stop", "'stop' must be a string or up to four strings.");
  }
}

ChatRequest take(const json& body) {
  ChatRequest request;
  const json* model = find(body, "model");
  if (!model || !model->is_string()) invalid("model", "'model' must be a string.");
  request.model = model->get<std::string>();
  refuse_what_we_cannot_do(body);
  const json* messages = find(body, "messages");
  if (!messages || !messages->is_array() || messages->empty())
    invalid("messages", "'messages' must be a list of at least one message.");
  request.prompt_hash = hash_text(request.model);
  PromptHasher prompt{request};
  // vLLM's cache_salt: prompts under different salts never meet in the cache.
  if (const json* salt = find(body, "cache_salt")) {
    if (!salt->is_string()) invalid("cache_salt", "'cache_salt' must be a string.");
    prompt.chain = hash_text(salt->get_ref<const std::string&>(), prompt.chain);
  }
  for (std::size_t i = 0; i < messages->size(); ++i) take_message(prompt, (*messages)[i], i);
  prompt.tokens("assistant", kTokensPerReply);
  request.stream = flag(body, "stream");
  if (const json* options = find(body, "stream_options")) {
    if (!request.stream || !options->is_object())
      invalid("stream_options", "'stream_options' is an object, and only allowed when 'stream' is true.");
    request.include_usage = flag(*options, "include_usage");
    request.continuous_usage = flag(*options, "continuous_usage_stats");
  }
  request.max_tokens = positive(body, "max_completion_tokens");
  if (!request.max_tokens) request.max_tokens = positive(body, "max_tokens");
  request.natural_length = positive(body, "x_qanat_sim_output_tokens");
  request.ignore_stop = flag(body, "ignore_eos");
  if (const json* priority = find(body, "priority")) {
    if (!priority->is_number_integer()) invalid("priority", "'priority' must be an integer.");
    request.priority =
        static_cast<std::uint8_t>(std::clamp<std::int64_t>(priority->get<std::int64_t>(), 0, 7));
  }
  take_stop(request, body);
  if (const json* seed = find(body, "seed")) {
    if (!seed->is_number_integer()) invalid("seed", "'seed' must be an integer.");
    request.prompt_hash = hash_text(seed->dump(), request.prompt_hash);
  }
  return request;
}

std::string json_text(std::string_view text) {
  return json(std::string(text)).dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace

std::string to_json(const ApiError& error) {
  return fmt::format(R"({{"error":{{"message":{},"type":{},"param":{},"code":{}}}}})",
                     json_text(error.message), json_text(error.type),
                     error.param.empty() ? "null" : json_text(error.param), json_text(error.code));
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
      model_json_(json_text(model)),
      created_(created),
      prompt_tokens_(request.prompt_tokens),
      include_usage_(request.include_usage),
      continuous_usage_(request.continuous_usage) {
  head_ =
      fmt::format(R"(data: {{"id":"{}","object":"chat.completion.chunk","created":{},"model":{},"choices":[)",
                  id_, created_, model_json_);
}

void ChatWriter::append_usage(std::string& out, std::uint64_t completion) const {
  fmt::format_to(
      std::back_inserter(out),
      R"({{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{},"prompt_tokens_details":{{"cached_tokens":{}}}}})",
      prompt_tokens_, completion, prompt_tokens_ + completion, cached_tokens_);
}

void ChatWriter::append_token(std::string& out, std::string_view text, std::uint64_t index) const {
  out += head_;
  out += R"({"index":0,"delta":{)";
  if (index == 1) out += R"("role":"assistant",)";
  out += R"("content":")";
  out += text;
  out += R"("},"logprobs":null,"finish_reason":null}])";
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
  out +=
      fmt::format(R"({{"index":0,"delta":{{}},"logprobs":null,"finish_reason":"{}"}}])", to_string(finish));
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
  std::string out = fmt::format(
      R"({{"id":"{}","object":"chat.completion","created":{},"model":{},"choices":[{{"index":0,"message":{{"role":"assistant","content":"{}","refusal":null}},"logprobs":null,"finish_reason":"{}"}}],"usage":)",
      id_, created_, model_json_, text, to_string(finish));
  append_usage(out, completion);
  return out + "}";
}

std::string ChatWriter::broken(const ApiError& error) { return "data: " + to_json(error) + "\n\n"; }

std::string models_json(const std::vector<std::string>& names, std::string_view owner,
                        std::uint64_t created) {
  std::string data;
  for (const auto& name : names)
    data += fmt::format(R"({}{{"id":{},"object":"model","created":{},"owned_by":{}}})",
                        data.empty() ? "" : ",", json_text(name), created, json_text(owner));
  return R"({"object":"list","data":[)" + data + "]}";
}

}  // namespace qanat::pool
