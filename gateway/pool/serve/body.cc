#include "gateway/pool/serve/body.hh"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "gateway/pool/tokenizer.hh"

namespace qanat::pool::body {
using nlohmann::json;
namespace {

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

}  // namespace

void invalid(std::string_view param, std::string message) {
  throw Refusal{{400, std::move(message), "invalid_value", std::string(param)}};
}
void unsupported(std::string_view param, std::string_view what) {
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

std::string model_of(const json& body) {
  const json* model = find(body, "model");
  if (!model || !model->is_string()) invalid("model", "'model' must be a string.");
  return model->get<std::string>();
}

PromptHasher::PromptHasher(ChatRequest& r, const json& body)
    : request(r), chain(hash_text("qanat-prefix-1")) {
  const json* salt = find(body, "cache_salt");
  if (!salt) return;
  if (!salt->is_string()) invalid("cache_salt", "'cache_salt' must be a string.");
  chain = hash_text(salt->get_ref<const std::string&>(), chain);
}

void PromptHasher::tokens(std::string_view bytes, std::uint64_t count) {
  chain = hash_text(bytes, chain);
  for (request.prompt_tokens += count; count > 0; --count)
    if (++filled == kBlockTokens) {
      request.blocks.push_back(chain);
      filled = 0;
    }
}

void PromptHasher::text(std::string_view text) {
  request.prompt_hash = hash_text(text, request.prompt_hash);
  while (!text.empty()) {
    const std::size_t length = token_length(text);
    tokens(text.substr(0, length), 1);
    text.remove_prefix(length);
  }
}

void take_generation(ChatRequest& request, const json& body) {
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
}

std::string json_text(std::string_view text) {
  return json(std::string(text)).dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace qanat::pool::body
