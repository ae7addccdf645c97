// OpenAI's embeddings, of texts: what was asked for, and the answer. A simulated model's vectors say nothing of what a
// text means: each is drawn from the model's name and the text, the same for the same text everywhere, of length 1. What
// is real is what they cost: the prefill of their tokens. Sans-I/O.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/pool/serve/chat_api.hh"

namespace qanat::pool {

struct EmbeddingsRequest {
  ChatRequest call;  // what the engine sees: all texts as one prompt, nothing cached
  std::vector<std::string> texts;
  std::optional<std::uint32_t> dimensions;  // nullopt: the model's width
  bool base64 = false;                      // little-endian 32-bit floats, as the openai clients ask for
};

// Numbers in one answer, at most: 2048 texts of a small model, 256 of the widest.
inline constexpr std::uint64_t kMaxNumbers = 1 << 20;

// Total on any bytes.
boost::system::result<EmbeddingsRequest, ApiError> parse_embeddings(std::string_view body);
// What is wrong with it for a model of this width; nullopt: nothing.
std::optional<ApiError> check_dimensions(const EmbeddingsRequest& request, std::uint32_t width);

// `dimensions` numbers, the beginning of a longer one's turned to length 1.
std::vector<float> embed(std::string_view model, std::string_view text, std::uint32_t dimensions);
std::string embeddings_json(const EmbeddingsRequest& request, std::string_view model, std::uint32_t width);

}  // namespace qanat::pool
