#include "gateway/pool/engine/roofline.hh"

#include <algorithm>
#include <cmath>

namespace qanat::pool {
namespace {

// Share of a link's rate that large all-reduces reach; one constant for all cards so that it is no fitted
// parameter.
constexpr double kLinkEfficiency = 0.75;

}  // namespace

Roofline::Roofline(const Card& card, std::uint32_t cards, const Model& model)
    : flops_per_token_(2 * model.layer_weights()),
      flops_per_sample_(2 * model.head_weights()),
      flops_per_pair_(4.0 * model.layers * model.heads * model.head_dim),
      weight_read_bytes_(model.bytes_per_weight * (model.layer_weights() + model.head_weights())),
      kv_bytes_(model.kv_bytes_per_token()),
      seconds_per_flop_(1 / (card.peak_tflops * 1e12 * card.fit.compute_efficiency * cards)),
      seconds_per_byte_(1 / (card.memory_gb_per_s * 1e9 * card.fit.bandwidth_efficiency * cards)),
      step_overhead_(card.fit.step_overhead_us * 1e-6),
      sequence_overhead_(card.fit.sequence_overhead_us * 1e-6),
      ring_latency_(0),
      ring_seconds_per_token_(0),
      memory_bytes_per_card_(card.memory_gb * 1e9),
      weight_bytes_(model.weight_bytes()),
      cards_(cards) {
  if (cards < 2) return;
  // A ring all-reduce of S bytes over p cards takes 2(p−1) hops and moves 2(p−1)/p · S over each link.
  const double hops = 2.0 * (cards - 1);
  const double bytes_per_token = double(model.hidden) * model.bytes_per_weight;
  const double reduces = 2.0 * model.layers;
  ring_latency_ = reduces * hops * card.fit.link_latency_us * 1e-6;
  ring_seconds_per_token_ =
      reduces * hops / cards * bytes_per_token / (card.link_gb_per_s * 1e9 * kLinkEfficiency);
}

double Roofline::all_reduce_seconds(std::uint64_t tokens) const {
  return cards_ < 2 ? 0 : ring_latency_ + ring_seconds_per_token_ * double(tokens);
}

double Roofline::seconds_per_prefill_token() const {
  return flops_per_token_ * seconds_per_flop_ + ring_seconds_per_token_;
}

base::Duration Roofline::price(const StepShape& shape) const {
  const double flops = flops_per_token_ * double(shape.tokens) + flops_per_sample_ * double(shape.sampled) +
                       flops_per_pair_ * double(shape.attended);
  const double bytes = weight_read_bytes_ + kv_bytes_ * double(shape.context);
  const double seconds = std::max(flops * seconds_per_flop_, bytes * seconds_per_byte_) + step_overhead_ +
                         sequence_overhead_ * double(shape.sequences) + all_reduce_seconds(shape.tokens);
  return base::Duration(std::max<std::int64_t>(1, std::llround(seconds * 1e9)));
}

std::uint64_t Roofline::kv_blocks(const MemoryPlan& plan) const {
  const double usable =
      cards_ * (memory_bytes_per_card_ * plan.utilisation - plan.reserve_gb * 1e9) - weight_bytes_;
  const double block = kv_bytes_ * plan.block_tokens;
  return usable < block ? 0 : static_cast<std::uint64_t>(usable / block);
}

}  // namespace qanat::pool
