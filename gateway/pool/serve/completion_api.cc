#include "gateway/pool/serve/completion_api.hh"

#include <nlohmann/json.hpp>

#include "gateway/pool/serve/body.hh"

namespace qanat::pool {
namespace {

using body::find, body::unsupported;
using nlohmann::json;

void refuse_what_completions_lack(const json& call) {
  for (const char* key : {"n", "best_of"})
    if (const json* value = find(call, key); value && *value != 1) unsupported(key, "more than one choice");
  if (find(call, "logprobs")) unsupported("logprobs", "log probabilities");
  if (const json* suffix = find(call, "suffix"); suffix && *suffix != "") unsupported("suffix", "insertion");
  if (body::flag(call, "echo")) unsupported("echo", "echoing the prompt");
  if (const json* bias = find(call, "logit_bias"); bias && !(bias->is_object() && bias->empty()))
    unsupported("logit_bias", "logit bias");
}

const std::string& prompt_of(const json& call) {
  const json* prompt = find(call, "prompt");
  if (!prompt) body::invalid("prompt", "'prompt' must be a string.");
  if (prompt->is_array() && prompt->size() > 1 && prompt->front().is_string())
    unsupported("prompt", "more than one prompt in a call");
  if (prompt->is_array() && prompt->size() == 1 && prompt->front().is_string()) prompt = &prompt->front();
  if (prompt->is_array()) unsupported("prompt", "prompts of token ids: its tokenizer has none");
  if (!prompt->is_string()) body::invalid("prompt", "'prompt' must be a string.");
  return prompt->get_ref<const std::string&>();
}

ChatRequest take_completion(const json& call) {
  ChatRequest request;
  request.dialect = Dialect::Completion;
  request.model = body::model_of(call);
  refuse_what_completions_lack(call);
  request.prompt_hash = hash_text(request.model);
  body::PromptHasher prompt(request, call);
  prompt.text(prompt_of(call));
  // A model has to begin somewhere: its own first token stands before a text that has none.
  if (request.prompt_tokens == 0) prompt.tokens("", 1);
  body::take_generation(request, call);
  if (!request.max_tokens) request.max_tokens = kCompletionTokens;
  return request;
}

}  // namespace

boost::system::result<ChatRequest, ApiError> parse_completion(std::string_view text) {
  const json parsed = json::parse(text, nullptr, false);
  if (!parsed.is_object()) return ApiError{400, "The body must be a JSON object.", "invalid_json", ""};
  try {
    return take_completion(parsed);
  } catch (const body::Refusal& refusal) {
    return refusal.error;
  }
}

}  // namespace qanat::pool
