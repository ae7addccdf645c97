// Golden runs: per-request times of real vLLM servers, replayed through the engine at their own arrival times.
// They hold the scheduler and the roofline to what really happened, request by request.
#pragma once

#include <string>
#include <vector>

#include "gateway/pool/data/catalogue.hh"
#include "gateway/pool/engine/engine.hh"

namespace qanat::pool {

// One request's times. Counted from when the engine takes the request up: at the end of the step during which it
// arrived, as vLLM's queued_ts does.
struct CallTimes {
  double ttft_ms = 0;
  double tpot_ms = 0;  // mean gap between tokens; 0 for a single token
  double e2e_ms = 0;
};

struct GoldenRun {
  std::string name;         // of its folder
  std::string card, model;  // catalogue names
  std::uint32_t cards = 1;  // tensor parallel
  EngineLimits limits;      // as the run's server was started
  struct Request {
    base::Time arrival{};
    std::uint32_t input = 0, output = 0;
    CallTimes real;
  };
  std::vector<Request> requests;  // in order of arrival
};

// `folder` holds requests.jsonl, meta.json and config.json. Throws std::system_error naming the file, or
// std::runtime_error when the catalogue lacks the run's card or model.
GoldenRun read_golden_run(const std::string& folder, const Catalogue& catalogue);

// The same requests through the engine: their times, in the run's order.
std::vector<CallTimes> replay(const GoldenRun& run, const Card& card, const Model& model);

// One statistic of one metric, real and simulated, ms.
struct Compared {
  double real = 0, simulated = 0;
  double error_pct() const { return 100 * (simulated / real - 1); }
};
struct GoldenScore {
  static constexpr int kStatistics = 4;  // mean, p50, p90, p99
  Compared ttft[kStatistics], tpot[kStatistics], e2e[kStatistics];
  double request_tpot_mape_pct = 0;  // mean over requests of |error| of each one's TPOT
  Compared first20_ttft;             // mean over the first 20 requests: the server is not yet full
};
GoldenScore score(const GoldenRun& run, const std::vector<CallTimes>& simulated);

}  // namespace qanat::pool
