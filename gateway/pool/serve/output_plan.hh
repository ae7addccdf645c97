// OutputPlan: what a simulated model will say, decided when the call arrives: how many tokens, which, and why it ends.
// The engine then decides only when. Deterministic: the same prompt and seed give the same answer.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace qanat::pool {

struct OutputRequest {
  std::uint64_t seed = 0;                       // the caller's seed mixed with a hash of the prompt
  std::optional<std::uint32_t> max_tokens;      // the client's bound
  std::optional<std::uint32_t> natural_length;  // where the model would stop: trace replay states it
  bool ignore_stop = false;                     // "ignore_eos": run to max_tokens
  std::vector<std::string> stop;                // stop sequences, not part of the output
  std::uint32_t room = 0;                       // what the context leaves, at least 1
};

// Why the output ends, as in the OpenAI API's finish_reason.
enum class Finish : std::uint8_t { Stop, Length };
std::string_view to_string(Finish finish);

struct OutputPlan {
  std::vector<std::string>
      tokens;  // the text of each; generated but unsaid parts of a stop sequence are empty
  Finish finish = Finish::Stop;
};

// Without natural_length the model stops where a seeded draw says: a log-normal with median kMedianTokens and shape
// kLengthShape, the spread of chat answers in public traces.
inline constexpr double kMedianTokens = 180;
inline constexpr double kLengthShape = 0.9;
OutputPlan plan_output(const OutputRequest& request);

// FNV-1a, 64 bits: mixes a prompt into a seed.
std::uint64_t hash_text(std::string_view text, std::uint64_t seed = 0xcbf29ce484222325);

}  // namespace qanat::pool
