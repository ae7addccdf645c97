// Golden runs: per-request times of real vLLM servers, replayed through the engine at their own arrival times.
// A second check of the scheduler, on other cards and models than the table's.
#pragma once

#include <string>

#include "gateway/pool/engine/card.hh"
#include "gateway/pool/engine/engine.hh"

namespace qanat::pool {

struct MeanTimes {
  double ttft_ms = 0;  // arrival to first token
  double tpot_ms = 0;  // mean gap between a request's tokens
  double e2e_ms = 0;   // arrival to last token
};
struct GoldenScore {
  std::size_t requests = 0;
  MeanTimes real, simulated;
};

// `requests_path`: requests.jsonl of a run. Throws std::system_error naming the file.
GoldenScore replay_golden(const std::string& requests_path, const Roofline& roofline,
                          const EngineLimits& limits);

}  // namespace qanat::pool
