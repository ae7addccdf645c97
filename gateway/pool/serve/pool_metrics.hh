// PoolMetrics: one model's series under the names that vLLM exports, so that dashboards and autoscalers need no change,
// and one of ours: how late tokens leave.
#pragma once

#include <string>

#include "base/metrics.hh"
#include "gateway/pool/engine/engine.hh"

namespace qanat::pool {

class PoolMetrics {
 public:
  PoolMetrics(base::MetricsRegistry& registry, const std::string& model);

  // Gauges and engine counters, before each scrape.
  void sample(const Engine& engine);

  base::Counter& prompt_tokens;
  base::Counter& generation_tokens;
  base::Counter& stopped;  // vllm:request_success_total{finished_reason="stop"}
  base::Counter& length;
  base::Counter& aborted;  // the client left, or the pool was stopped
  base::Histogram& ttft_s;
  base::Histogram& tpot_s;
  base::Histogram& e2e_s;
  base::Histogram& lateness_s;  // from the engine's instant to the socket having taken the token

 private:
  base::Gauge& running_;
  base::Gauge& waiting_;
  base::Gauge& kv_usage_;
  base::Counter& preemptions_;
};

}  // namespace qanat::pool
