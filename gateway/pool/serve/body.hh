// What the bodies of all calls to a model have in common: members read with their types checked, what of them says how an
// answer is generated, and the prompt as the prefix cache sees it.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/pool/serve/chat_api.hh"

namespace qanat::pool::body {

// Thrown while a body is read; whoever parses it turns it into its result.
struct Refusal {
  ApiError error;
};
[[noreturn]] void invalid(std::string_view param, std::string message);
[[noreturn]] void unsupported(std::string_view param, std::string_view what);

// Null where it is missing or null.
const nlohmann::json* find(const nlohmann::json& object, const char* key);
bool flag(const nlohmann::json& object, const char* key);
std::optional<std::uint32_t> positive(const nlohmann::json& object, const char* key);
std::string model_of(const nlohmann::json& body);

// The prompt as the engine's prefix cache sees it: a chained hash closes with every kBlockTokens tokens.
struct PromptHasher {
  ChatRequest& request;
  std::uint64_t chain;
  std::uint32_t filled = 0;
  // Under the body's cache_salt, as vLLM's: prompts under different salts never meet in the cache.
  PromptHasher(ChatRequest& r, const nlohmann::json& body);
  void tokens(std::string_view bytes, std::uint64_t count);
  void text(std::string_view text);
};

// stream, lengths, stop, priority, seed.
void take_generation(ChatRequest& request, const nlohmann::json& body);

std::string json_text(std::string_view text);

}  // namespace qanat::pool::body
