#include "gateway/place/prefix_choice.hh"

#include <algorithm>

namespace qanat::place {

std::size_t choose_by_prefix(std::span<const PrefixOption> options, double prompt_tokens,
                             const PrefixGate& gate) {
  double mean = 0;
  for (const auto& option : options) mean += option.placed / double(options.size());
  const double limit = std::max(mean * gate.load_over_mean, mean + gate.slack);
  std::size_t best = 0;
  double best_cost = 0;
  bool found = false;
  for (std::size_t i = 0; i < options.size(); ++i) {
    const PrefixOption& option = options[i];
    if (option.placed > mean && option.placed > limit) continue;
    const double warm = std::min(prompt_tokens, double(option.known) * gate.tokens_per_block);
    const double cost = gate.queue_weight * option.in_flight + prompt_tokens - warm;
    if (found && cost >= best_cost) continue;
    best = i;
    best_cost = cost;
    found = true;
  }
  return best;
}

}  // namespace qanat::place
