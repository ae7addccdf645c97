#include "gateway/place/prefix_router.hh"

#include <algorithm>

namespace qanat::place {
namespace {

// What was placed long ago says nothing of today's balance: after about this many calls a third of it is left.
constexpr double kMemoryCalls = 1000;

}  // namespace

PrefixRouter::Pool& PrefixRouter::at(std::size_t pool) {
  while (pools_.size() <= pool) pools_.push_back({PrefixHistory(blocks_)});
  return pools_[pool];
}

PrefixRouter::Choice PrefixRouter::choose(std::span<const std::size_t> equal,
                                          std::span<const PrefixHash> prompt, double prompt_tokens) const {
  std::vector<PrefixOption> options;
  for (const std::size_t pool : equal) {
    if (pool >= pools_.size())
      options.push_back({});
    else
      options.push_back({pools_[pool].in_flight, pools_[pool].placed, pools_[pool].history.known(prompt)});
  }
  PrefixGate gate;
  gate.slack = 2 * prompt_tokens;
  // Blocks are bytes; what they are in tokens follows from the prompt itself.
  gate.tokens_per_block = prompt.empty() ? 0 : prompt_tokens / static_cast<double>(prompt.size());
  const std::size_t chosen = choose_by_prefix(options, prompt_tokens, gate);
  return {chosen, options[chosen].known};
}

void PrefixRouter::dispatch(std::size_t pool, std::span<const PrefixHash> prompt, double tokens) {
  Pool& p = at(pool);
  p.history.note(prompt);
  p.in_flight += tokens;
  for (Pool& each : pools_) each.placed *= 1 - 1 / kMemoryCalls;
  p.placed += tokens;
}

void PrefixRouter::finish(std::size_t pool, double tokens) {
  Pool& p = at(pool);
  p.in_flight = std::max(0.0, p.in_flight - tokens);
}

void PrefixRouter::forget(std::size_t pool) { at(pool).history.forget(); }

}  // namespace qanat::place
