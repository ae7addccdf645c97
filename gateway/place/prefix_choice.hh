// choose_by_prefix: which of several equal pools a prompt goes to, when some hold its beginning. Warm blocks are work
// saved, but a pool that everybody's favourite prefix sits on must not drown: a load gate comes first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace qanat::place {

// One pool as a candidate. Work is in tokens, of any consistent weighting.
struct PrefixOption {
  double in_flight = 0;   // work dispatched to it and not finished
  double placed = 0;      // work ever placed there, faded as the caller likes: what the gate balances
  std::size_t known = 0;  // leading blocks of the prompt it is taken to hold
};

struct PrefixGate {
  double load_over_mean =
      1.15;          // beyond this share of the mean placed work, a pool gets nothing for its prefix
  double slack = 0;  // work above the mean that is always allowed: lets the first calls settle anywhere
  // What a token in flight counts against a token to compute: queues move at the pace of all cards together, and only a
  // long one outweighs a warm prefix.
  double queue_weight = 0.03;
  double tokens_per_block = 512;
};

// Among the pools inside the gate (those below the mean always are): least work: what of the prompt would have to be
// computed there, and by its weight what is in flight. Ties go to the lower index. `options` is not empty.
std::size_t choose_by_prefix(std::span<const PrefixOption> options, double prompt_tokens,
                             const PrefixGate& gate);

}  // namespace qanat::place
