#include "gateway/place/forecast.hh"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace qanat::place {
namespace {

base::Duration capped_us(double us) {
  constexpr double kHourUs = 3.6e9;
  if (!(us > 0)) return base::Duration{0};
  return std::chrono::nanoseconds(static_cast<std::int64_t>(std::min(us, kHourUs) * 1e3));
}

}  // namespace

Forecast forecast(const descriptor::EngineState& engine, const Unseen& unseen, const Demand& demand,
                  base::Duration path_rtt) {
  const double sampled = engine.running + engine.waiting;
  const double inside = std::max(0.0, sampled - unseen.ended) + unseen.started;
  const double prompt = static_cast<double>(demand.prompt_tokens);

  // 1. How many sequences fit: the batch's limit, or as many as the KV cache holds at their usual length.
  const double usual_tokens = engine.running > 0 ? static_cast<double>(engine.kv_used_tokens) / engine.running
                                                 : prompt + static_cast<double>(demand.output_tokens) / 2;
  double slots = std::max<std::uint32_t>(engine.max_num_seqs, 1);
  if (engine.kv_total_tokens > 0 && usual_tokens > 0)
    slots = std::clamp(std::floor(static_cast<double>(engine.kv_total_tokens) / usual_tokens), 1.0, slots);

  // 2. The pace of a full step once this call is in it.
  const double batch = std::min(inside + 1, slots);
  const double kv_tokens = std::min(
      static_cast<double>(engine.kv_used_tokens) + static_cast<double>(unseen.started_prompt) + prompt,
      batch * std::max(usual_tokens, 1.0) + prompt);
  const double step_us = engine.decode.step_us(batch, kv_tokens);

  // 3. Those ahead that do not fit must finish first: a full batch lets one go every output × step ÷ slots.
  const double ahead = std::max(0.0, inside + 1 - slots);
  const double wait_us = ahead * unseen.mean_output_tokens * step_us / slots;

  // 4. Prompts are computed in order; those queued come before ours.
  const double prefill_us = engine.prefill.time_us(static_cast<double>(engine.queued_prefill_tokens) +
                                                   static_cast<double>(unseen.started_prompt) + prompt);
  // 5. Prompts are chunked in between steps: while a batch lasts, each of its places meets one prompt per answer.
  const double usual_prompt = unseen.mean_prompt_tokens > 0 ? unseen.mean_prompt_tokens : prompt;
  const double turnover_us =
      (batch - 1) * engine.prefill.time_us(usual_prompt) / std::max(unseen.mean_output_tokens, 1.0);

  Forecast f;
  f.wait = capped_us(wait_us);
  f.ttft = capped_us(wait_us + prefill_us + step_us) + path_rtt;
  f.tpot = capped_us(step_us + turnover_us);
  return f;
}

}  // namespace qanat::place
