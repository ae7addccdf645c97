// Roofline: the price in time of one engine step on a number of equal cards under tensor parallelism.
// The engine decides what a step holds; only this file knows what it costs.
#pragma once

#include <cstdint>

#include "base/time.hh"
#include "gateway/pool/engine/card.hh"

namespace qanat::pool {

// What one step works on.
struct StepShape {
  std::uint64_t tokens = 0;     // new tokens computed: one per decoding sequence, a chunk per prefill
  std::uint64_t sequences = 0;  // sequences with at least one new token
  std::uint64_t sampled = 0;    // sequences whose next token comes out of this step
  std::uint64_t context = 0;    // KV entries read: the sum of the sequences' contexts, new tokens included
  std::uint64_t attended = 0;   // query × key pairs: the sum over new tokens of the context each one sees
};

// How memory is shared between weights, KV blocks and the rest.
struct MemoryPlan {
  double utilisation = 0.9;         // share of the card's memory that the engine takes
  double reserve_gb = 2;            // activations, CUDA graphs, communication buffers, per card
  std::uint32_t block_tokens = 16;  // tokens in one KV block
};

class Roofline {
 public:
  // `cards` ≥ 1; the model's heads need not divide by it (real engines would pad).
  Roofline(const Card& card, std::uint32_t cards, const Model& model);

  // max(FLOPs / (peak · efficiency), bytes / (bandwidth · efficiency)) + overheads + all-reduces.
  base::Duration price(const StepShape& shape) const;

  // KV blocks that fit beside the weights on all cards together; 0 when the model does not fit.
  std::uint64_t kv_blocks(const MemoryPlan& plan) const;

  // Two all-reduces a layer, of `tokens` activations each; zero on one card.
  double all_reduce_seconds(std::uint64_t tokens) const;

  // The pieces of price(), for predictors outside: a step of n decoding sequences with mean context c costs
  // about max(decode_flops, decode_bytes) as below.
  double weight_read_seconds() const { return weight_read_bytes_ * seconds_per_byte_; }
  double seconds_per_kv_token() const { return kv_bytes_ * seconds_per_byte_; }
  double seconds_per_token_flops() const {
    return (flops_per_token_ + flops_per_sample_) * seconds_per_flop_;
  }
  double seconds_per_prefill_token() const;
  double step_overhead_seconds() const { return step_overhead_; }
  double sequence_overhead_seconds() const { return sequence_overhead_; }

 private:
  double flops_per_token_, flops_per_sample_, flops_per_pair_;
  double weight_read_bytes_, kv_bytes_, seconds_per_flop_, seconds_per_byte_;
  double step_overhead_, sequence_overhead_;
  double ring_latency_, ring_seconds_per_token_;
  double memory_bytes_per_card_, weight_bytes_;
  std::uint32_t cards_;
};

}  // namespace qanat::pool
