#include "gateway/pool/engine/roofline.hh"

#include <algorithm>
#include <cmath>

namespace qanat::pool {
namespace {

// Share of a link's rate that large all-reduces reach; one constant for all cards so that it is no fitted
// parameter.
constexpr double kLinkEfficiency = 0.67;

}  // namespace

Roofline::Roofline(const Card& card, std::uint32_t cards, const Model& model)
    : flops_per_token_(2 * model.active_weights()),
      flops_per_sample_(2 * model.head_weights()),
      flops_per_pair_(model.flops_per_pair()),
      common_read_bytes_(model.bytes_per_weight() * (model.common_weights() + model.head_weights())),
      expert_read_bytes_(model.bytes_per_weight() * model.moe_layers() * double(model.experts) *
                         model.expert_weights()),
      log_missed_(model.experts == 0
                      ? 0
                      : std::log1p(-std::min(0.999999, double(model.experts_per_token) / model.experts))),
      kv_bytes_(model.kv_bytes_per_token()),
      kv_read_bytes_(kv_bytes_),
      bytes_per_weight_(model.bytes_per_weight()),
      adapter_weights_per_rank_(model.adapter_weights(1)),
      seconds_per_flop_(1 / (card.peak_tflops(model.dtype) * 1e12 * card.fit.compute_efficiency * cards)),
      seconds_per_byte_(1 / (card.memory_gb_per_s * 1e9 * card.fit.bandwidth_efficiency * cards)),
      step_overhead_(card.fit.step_overhead_us * 1e-6),
      sequence_overhead_(card.fit.sequence_overhead_us * 1e-6),
      memory_bytes_per_card_(card.memory_bytes()),
      weight_bytes_(model.weight_bytes()),
      kv_copies_(std::max(1.0, double(cards) / std::max(1u, model.kv_shards()))),
      cards_(cards) {
  kv_read_bytes_ *= kv_copies_;  // each card reads what it holds
  if (cards < 2) return;
  // A ring all-reduce of S bytes over p cards takes 2(p−1) hops and moves 2(p−1)/p · S over each link.
  const double hops = 2.0 * (cards - 1);
  const double bytes_per_token = double(model.hidden) * model.bytes_per_activation();
  const double reduces = 2.0 * model.layers;
  ring_latency_ = reduces * hops * card.fit.link_latency_us * 1e-6;
  ring_seconds_per_token_ =
      reduces * hops / cards * bytes_per_token / (card.link_gb_per_s * 1e9 * kLinkEfficiency);
}

double Roofline::seconds(const StepShape& shape) const {
  const double dense_flops = flops_per_token_ * double(shape.tokens) +
                             flops_per_sample_ * double(shape.sampled) +
                             2 * adapter_weights_ * double(shape.adapted_tokens);
  double weights = common_read_bytes_ + adapter_bytes() * double(shape.adapters);
  // Experts touched by at least one of the step's tokens, routing taken as even.
  if (log_missed_ < 0) weights += expert_read_bytes_ * -std::expm1(log_missed_ * double(shape.tokens));
  const double dense = std::max(dense_flops * seconds_per_flop_, weights * seconds_per_byte_);
  const double decodes = double(shape.context) *
                         std::max(flops_per_pair_ * seconds_per_flop_, kv_read_bytes_ * seconds_per_byte_);
  const double chunks = std::max(flops_per_pair_ * double(shape.chunk_pairs) * seconds_per_flop_,
                                 kv_read_bytes_ * double(shape.chunk_context) * seconds_per_byte_);
  return dense + decodes + chunks + step_overhead_ + sequence_overhead_ * double(shape.sequences) +
         all_reduce_seconds(shape.tokens);
}

base::Duration Roofline::to_duration(double seconds) {
  return base::Duration(std::max<std::int64_t>(1, static_cast<std::int64_t>(seconds * 1e9 + 0.5)));
}

Roofline Roofline::scaled(double compute, double bandwidth, double link, double host) const {
  Roofline result = *this;
  result.seconds_per_flop_ /= compute;
  result.seconds_per_byte_ /= bandwidth;
  result.ring_latency_ /= link;
  result.ring_seconds_per_token_ /= link;
  result.step_overhead_ *= host;
  result.sequence_overhead_ *= host;
  return result;
}

Roofline Roofline::with_adapters(std::uint32_t rank) const {
  Roofline result = *this;

  result.adapter_weights_ = adapter_weights_per_rank_ * rank;
  return result;
}

std::uint64_t Roofline::kv_blocks(const MemoryPlan& plan) const {
  const double usable =
      cards_ * (memory_bytes_per_card_ * plan.utilisation - plan.reserve_gb * 1e9) - weight_bytes_;
  const double block = kv_bytes_ * kv_copies_ * plan.block_tokens;
  return usable < block ? 0 : static_cast<std::uint64_t>(usable / block);
}

}  // namespace qanat::pool
