#include "gateway/pool/serve/pool_metrics.hh"

namespace qanat::pool {
namespace {

// vLLM's own bucket bounds.
const std::vector<double> kTtft{0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1,  0.25,  0.5,  0.75,
                                1.0,   2.5,   5.0,  7.5,  10.0, 20.0, 40.0, 80.0, 160.0, 640.0};
const std::vector<double> kTpot{0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0};
const std::vector<double> kE2e{0.3,  0.5,  0.8,  1.0,  1.5,  2.0,   2.5,   5.0,   10.0, 15.0,
                               20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0};
const std::vector<double> kLateness{0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5};

base::Labels labels(const std::string& model) { return {{"model_name", model}, {"engine", "0"}}; }
base::Labels finished(const std::string& model, const char* reason) {
  auto result = labels(model);
  result.emplace_back("finished_reason", reason);
  return result;
}

}  // namespace

PoolMetrics::PoolMetrics(base::MetricsRegistry& r, const std::string& model)
    : prompt_tokens(r.counter("vllm:prompt_tokens_total", "Prompt tokens of accepted calls.", labels(model))),
      generation_tokens(r.counter("vllm:generation_tokens_total", "Tokens generated.", labels(model))),
      stopped(
          r.counter("vllm:request_success_total", "Calls that ended, by reason.", finished(model, "stop"))),
      length(
          r.counter("vllm:request_success_total", "Calls that ended, by reason.", finished(model, "length"))),
      aborted(
          r.counter("vllm:request_success_total", "Calls that ended, by reason.", finished(model, "abort"))),
      errors(
          r.counter("vllm:request_success_total", "Calls that ended, by reason.", finished(model, "error"))),
      ttft_s(
          r.histogram("vllm:time_to_first_token_seconds", "Arrival to first token.", kTtft, labels(model))),
      tpot_s(r.histogram("vllm:inter_token_latency_seconds", "Gap between a call's tokens.", kTpot,
                         labels(model))),
      e2e_s(r.histogram("vllm:e2e_request_latency_seconds", "Arrival to last token.", kE2e, labels(model))),
      lateness_s(r.histogram("qanat_pool_token_lateness_seconds",
                             "From the instant a token is due to its bytes in the socket.", kLateness,
                             labels(model))),
      running_(r.gauge("vllm:num_requests_running", "Sequences in the batch.", labels(model))),
      waiting_(r.gauge("vllm:num_requests_waiting", "Calls in the queue.", labels(model))),
      kv_usage_(r.gauge("vllm:kv_cache_usage_perc", "KV blocks in use, 1 is all.", labels(model))),
      preemptions_(r.counter("vllm:num_preemptions_total", "Sequences preempted for want of KV blocks.",
                             labels(model))),
      queries_(r.counter("vllm:prefix_cache_queries_total", "Prompt tokens looked up in the prefix cache.",
                         labels(model))),
      hits_(r.counter("vllm:prefix_cache_hits_total", "Of those, found.", labels(model))),
      resumed_(r.counter("qanat_pool_resumed_calls_total", "Calls that went on after their engine died.",
                         labels(model))),
      phase_(r.gauge("qanat_pool_model_phase",
                     "0 placeholder, 1 staging, 2 loading, 3 warming, 4 serving, 5 draining, 6 failed.",
                     labels(model))) {}

void PoolMetrics::sample(const PoolSample& sample) {
  const auto to = [](base::Counter& counter, std::uint64_t value) {
    if (value > counter.value()) counter.add(value - counter.value());
  };
  running_.set(sample.running);
  waiting_.set(sample.waiting);
  kv_usage_.set(sample.kv_usage);
  phase_.set(sample.phase);
  to(preemptions_, sample.preemptions);
  to(queries_, sample.prefix_queries);
  to(hits_, sample.prefix_hits);
  to(resumed_, sample.resumed);
}

}  // namespace qanat::pool
