// Profile: how one version of an inference server schedules, as plain data (data/profiles). Same cards, same
// model: what differs between versions is who shares a step and what the host costs.
#pragma once

#include <string>

namespace qanat::pool {

struct Profile {
  std::string name = "vllm-v1";
  // Prompts are cut into chunks that share steps with decoding sequences. false: whole prompts only.
  bool chunked_prefill = true;
  // A step that can admit a waiting call holds prompts alone; those who decode wait (vLLM's V0 scheduler).
  bool prefill_first = false;
  bool prefix_cache = true;
  // A waiting call takes the seat or the blocks of a running one of lower priority.
  bool priority_preempts = false;
  double host_factor = 1;  // on the card's fitted step and sequence overheads
};

}  // namespace qanat::pool
