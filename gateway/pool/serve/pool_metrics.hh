// PoolMetrics: one model's series under the names that vLLM exports, so that dashboards and autoscalers need no change,
// and two of ours: how late tokens leave, and what phase of its life the model is in.
#pragma once

#include <string>

#include "base/metrics.hh"

namespace qanat::pool {

// What is sampled before each scrape, summed over a model's engines.
struct PoolSample {
  double running = 0, waiting = 0, kv_usage = 0;  // kv_usage: 1 is all
  std::uint64_t preemptions = 0, prefix_queries = 0, prefix_hits = 0, resumed = 0;
  std::uint8_t phase = 0;  // life/model_life.hh
};

class PoolMetrics {
 public:
  PoolMetrics(base::MetricsRegistry& registry, const std::string& model);
  void sample(const PoolSample& sample);

  base::Counter& prompt_tokens;
  base::Counter& generation_tokens;
  base::Counter& stopped;  // vllm:request_success_total{finished_reason="stop"}
  base::Counter& length;
  base::Counter& aborted;  // the client left, or the pool was stopped
  base::Counter& errors;   // ended by a fault
  base::Histogram& ttft_s;
  base::Histogram& tpot_s;
  base::Histogram& e2e_s;
  base::Histogram& lateness_s;  // from the engine's instant to the socket having taken the token

 private:
  base::Gauge& running_;
  base::Gauge& waiting_;
  base::Gauge& kv_usage_;
  base::Counter& preemptions_;
  base::Counter& queries_;
  base::Counter& hits_;
  base::Counter& resumed_;
  base::Gauge& phase_;
};

}  // namespace qanat::pool
