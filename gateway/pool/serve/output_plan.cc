#include "gateway/pool/serve/output_plan.hh"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "gateway/pool/tokenizer.hh"

namespace qanat::pool {
namespace {

std::uint32_t drawn_length(std::uint64_t& state) {
  // Box–Muller over two uniform draws in (0, 1].
  const double u = (double(draw(state) >> 11) + 1) * 0x1p-53;
  const double v = (double(draw(state) >> 11) + 1) * 0x1p-53;
  const double normal = std::sqrt(-2 * std::log(u)) * std::cos(2 * std::numbers::pi * v);
  return static_cast<std::uint32_t>(std::clamp(kMedianTokens * std::exp(kLengthShape * normal), 1.0, 8192.0));
}

// Cuts the plan where the earliest stop sequence begins; tokens up to the one that completes it count as generated.
void apply_stop(OutputPlan& plan, const std::vector<std::string>& stops) {
  std::string text;
  for (const auto& token : plan.tokens) text += token;
  std::size_t begin = std::string::npos, end = 0;
  for (const auto& stop : stops) {
    const std::size_t at = stop.empty() ? std::string::npos : text.find(stop);
    // The earliest to be complete ends the output.
    if (at != std::string::npos && (begin == std::string::npos || at + stop.size() < end)) {
      begin = at;
      end = at + stop.size();
    }
  }
  if (begin == std::string::npos) return;
  std::size_t offset = 0, kept = 0;
  while (offset < end) {
    std::string& token = plan.tokens[kept++];
    const std::size_t size = token.size();
    token.resize(begin <= offset ? 0 : std::min(size, begin - offset));
    offset += size;
  }
  plan.tokens.resize(kept);
  plan.finish = Finish::Stop;
}

}  // namespace

std::string_view to_string(Finish finish) { return finish == Finish::Stop ? "stop" : "length"; }

OutputPlan plan_output(const OutputRequest& request) {
  std::uint64_t state = request.seed;
  const std::uint32_t drawn = drawn_length(state);
  const std::uint32_t bound = std::max(1u, std::min(request.max_tokens.value_or(request.room), request.room));
  const std::uint32_t natural =
      request.ignore_stop ? bound : std::max(1u, request.natural_length.value_or(drawn));
  OutputPlan plan;
  plan.finish = natural > bound || request.ignore_stop ? Finish::Length : Finish::Stop;
  plan.tokens.reserve(std::min(natural, bound));
  WordStream words(draw(state));
  for (std::uint32_t i = 0; i < std::min(natural, bound); ++i) plan.tokens.emplace_back(words.next());
  if (!request.stop.empty()) apply_stop(plan, request.stop);
  return plan;
}

std::uint64_t hash_text(std::string_view text, std::uint64_t seed) {
  for (const char c : text) seed = (seed ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return seed;
}

}  // namespace qanat::pool
