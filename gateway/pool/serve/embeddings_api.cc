#include "gateway/pool/serve/embeddings_api.hh"

#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>

#include "base/hex.hh"
#include "gateway/pool/serve/body.hh"
#include "gateway/pool/tokenizer.hh"

namespace qanat::pool {
namespace {

using body::find, body::invalid;
using nlohmann::json;
constexpr std::size_t kMaxTexts = 2048;

void take_texts(EmbeddingsRequest& request, const json& call) {
  const json* input = find(call, "input");
  if (!input || !(input->is_string() || input->is_array()) || input->empty())
    invalid("input", "'input' must be a string, or a list of strings.");
  if (input->is_string()) {
    request.texts.push_back(input->get<std::string>());
  } else {
    if (input->size() > kMaxTexts) invalid("input", fmt::format("'input' has at most {} texts.", kMaxTexts));
    for (const json& text : *input) {
      if (text.is_number() || text.is_array())
        body::unsupported("input", "inputs of token ids: its tokenizer has none");
      if (!text.is_string()) invalid("input", "'input' must be a string, or a list of strings.");
      request.texts.push_back(text.get<std::string>());
    }
  }
  for (const std::string& text : request.texts) {
    if (text.empty()) invalid("input", "'input' must not have an empty text.");
    request.call.prompt_tokens += count_tokens(text);
  }
}

EmbeddingsRequest take_embeddings(const json& call) {
  EmbeddingsRequest request;
  request.call.dialect = Dialect::Embeddings;
  request.call.model = body::model_of(call);
  take_texts(request, call);
  request.call.max_tokens = 1;  // the step that ends the prefill
  request.dimensions = body::positive(call, "dimensions");
  if (const json* format = find(call, "encoding_format")) {
    if (*format != "float" && *format != "base64")
      invalid("encoding_format", "'encoding_format' is \"float\" or \"base64\".");
    request.base64 = *format == "base64";
  }
  return request;
}

std::string as_base64(const std::vector<float>& vector) {
  std::vector<std::uint8_t> bytes;
  bytes.reserve(vector.size() * 4);
  for (const float number : vector)
    for (int shift = 0; shift < 32; shift += 8)
      bytes.push_back(static_cast<std::uint8_t>(std::bit_cast<std::uint32_t>(number) >> shift));
  return base::to_base64(bytes);
}

}  // namespace

boost::system::result<EmbeddingsRequest, ApiError> parse_embeddings(std::string_view text) {
  const json parsed = json::parse(text, nullptr, false);
  if (!parsed.is_object()) return ApiError{400, "The body must be a JSON object.", "invalid_json", ""};
  try {
    return take_embeddings(parsed);
  } catch (const body::Refusal& refusal) {
    return refusal.error;
  }
}

std::optional<ApiError> check_dimensions(const EmbeddingsRequest& request, std::uint32_t width) {
  const std::uint32_t dimensions = request.dimensions.value_or(width);
  if (dimensions > width)
    return ApiError{400, fmt::format("'dimensions' must be at most {} for this model.", width),
                    "invalid_value", "dimensions"};
  if (request.texts.size() * std::uint64_t{dimensions} > kMaxNumbers)
    return ApiError{400,
                    fmt::format("{} texts of {} dimensions are more than {} numbers; send fewer at once.",
                                request.texts.size(), dimensions, kMaxNumbers),
                    "invalid_value", "input"};
  return std::nullopt;
}

std::vector<float> embed(std::string_view model, std::string_view text, std::uint32_t dimensions) {
  std::uint64_t state = hash_text(text, hash_text(model));
  std::vector<float> vector(dimensions);
  double squares = 0;
  for (float& number : vector) {
    number = static_cast<float>(double(draw(state) >> 11) * 0x1p-52 - 1);
    squares += double(number) * number;
  }
  const double length = std::sqrt(squares);
  if (length > 0)
    for (float& number : vector) number = static_cast<float>(number / length);
  return vector;
}

std::string embeddings_json(const EmbeddingsRequest& request, std::string_view model, std::uint32_t width) {
  std::string out = R"({"object":"list","data":[)";
  for (std::size_t i = 0; i < request.texts.size(); ++i) {
    const std::vector<float> vector = embed(model, request.texts[i], request.dimensions.value_or(width));
    fmt::format_to(std::back_inserter(out), R"({}{{"object":"embedding","index":{},"embedding":)",
                   i == 0 ? "" : ",", i);
    if (request.base64)
      out += '"' + as_base64(vector) + '"';
    else
      fmt::format_to(std::back_inserter(out), "[{}]", fmt::join(vector, ","));
    out += '}';
  }
  return out + fmt::format(R"(],"model":{},"usage":{{"prompt_tokens":{},"total_tokens":{}}}}})",
                           body::json_text(model), request.call.prompt_tokens, request.call.prompt_tokens);
}

}  // namespace qanat::pool
