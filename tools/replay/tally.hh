// Tally: what a replay saw, request by request, and its summary. Latencies count from the intended send time, so that a
// generator or a gateway that falls behind cannot hide it (coordinated omission).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/time.hh"

namespace qanat::replay {

struct Outcome {
  std::string failure;  // empty: it went well
  std::string pool;     // x-qanat-pool
  bool local = false;
  std::uint64_t tokens = 0;         // content chunks that arrived
  std::uint64_t prompt_tokens = 0;  // from the usage
  base::Duration ttft{};            // intended send time to first content
  base::Duration tpot{};            // mean gap of the further tokens; 0 with fewer than two
  base::Duration total{};
};

struct Spread {
  std::uint64_t count = 0;
  double p50 = 0, p99 = 0;
};
// Nearest rank; sorts its argument.
Spread spread_ms(std::vector<base::Duration> values);

class Tally {
 public:
  void started() { ++started_; }
  void sent_late(base::Duration by) { late_.push_back(by); }
  void token() { ++tokens_; }
  void finished(Outcome outcome);

  std::uint64_t started_count() const { return started_; }
  std::uint64_t finished_count() const { return outcomes_.size(); }
  std::uint64_t failed_count() const { return failed_; }

  // One line, once a second; `json` for machines.
  std::string progress(base::Duration since_start, bool json);
  std::string summary_json(base::Duration wall) const;
  std::string summary_text(base::Duration wall) const;

 private:
  struct Numbers;
  Numbers numbers() const;

  std::uint64_t started_ = 0, failed_ = 0, tokens_ = 0, tokens_before_ = 0, local_ = 0, overflow_ = 0;
  base::Duration progress_before_{};
  std::vector<Outcome> outcomes_;
  std::vector<base::Duration> late_;
};

}  // namespace qanat::replay
