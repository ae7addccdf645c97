// Forecast: what a call would see at a pool, from the pool's last sample and what was dispatched since.
// Analytic, per pool: heterogeneous cards are compared by their own step times, never by a shared queue
// length.
#pragma once

#include <cstdint>

#include "base/time.hh"
#include "identifiers/descriptor/descriptor.hh"

namespace qanat::place {

// The size of a call. Prompt tokens are an estimate (the pool has the tokenizer).
struct Demand {
  std::uint64_t prompt_tokens = 0;
  std::uint64_t output_tokens = 0;
};

// What this gateway knows that the sample does not.
struct Unseen {
  std::uint32_t started = 0;          // calls dispatched after the sample was asked for, still in flight
  std::uint64_t started_prompt = 0;   // their prompt tokens
  std::uint32_t ended = 0;            // calls in the sample that have ended since
  double mean_output_tokens = 256.0;  // of this pool's recent calls
  double mean_prompt_tokens = 0;      // of the same; 0: none yet, taken to be like the call at hand
};

struct Forecast {
  base::Duration wait{};  // for a place in the batch
  base::Duration ttft{};  // wait, path round trip, prefill, first step
  base::Duration tpot{};  // per further token
  base::Duration total(std::uint64_t output_tokens) const {
    return ttft + tpot * static_cast<std::int64_t>(output_tokens > 1 ? output_tokens - 1 : 0);
  }
};

// Total for any engine that descriptor::validate accepts; results are capped at an hour.
Forecast forecast(const descriptor::EngineState& engine, const Unseen& unseen, const Demand& demand,
                  base::Duration path_rtt);

}  // namespace qanat::place
