// Roofline: the price in time of one engine step on a number of equal cards under tensor parallelism.
// The engine decides what a step holds; only this file knows what it costs.
#pragma once

#include <cstdint>

#include "base/time.hh"
#include "gateway/pool/engine/card.hh"

namespace qanat::pool {

// What one step works on. A decoding sequence adds one token and reads all its context; a prompt chunk of t tokens
// behind c computed ones adds t tokens, reads c + t entries and makes t·c + t(t+1)/2 pairs.
struct StepShape {
  std::uint64_t tokens = 0;          // new tokens computed
  std::uint64_t sequences = 0;       // sequences with at least one new token
  std::uint64_t sampled = 0;         // tokens that the output head has to judge
  std::uint64_t context = 0;         // KV entries read by decoding sequences, new tokens included
  std::uint64_t chunk_context = 0;   // KV entries read by prompt chunks
  std::uint64_t chunk_pairs = 0;     // query × key pairs of prompt chunks
  std::uint64_t adapted_tokens = 0;  // of tokens, those that pass a LoRA adapter
  std::uint64_t adapters = 0;        // different adapters in the step
};

// How memory is shared between weights, KV blocks and the rest.
struct MemoryPlan {
  double utilisation = 0.9;         // share of the card's memory that the engine takes
  double reserve_gb = 2;            // activations, CUDA graphs, communication buffers, per card
  std::uint32_t block_tokens = 16;  // tokens in one KV block
  std::uint32_t chunk_tokens = 16;  // tokens that one content hash covers: a multiple of block_tokens
};

class Roofline {
 public:
  // `cards` ≥ 1; the model's heads need not divide by it (real engines would pad).
  Roofline(const Card& card, std::uint32_t cards, const Model& model);

  // Dense layers: max(FLOPs / (peak · efficiency), weights touched / (bandwidth · efficiency)); attention of those
  // who decode and of chunks likewise, each on its own; plus overheads and all-reduces.
  base::Duration price(const StepShape& shape) const { return to_duration(seconds(shape)); }
  double seconds(const StepShape& shape) const;
  static base::Duration to_duration(double seconds);  // at least 1 ns

  // The same cards with shares of their compute, bandwidth and link left, and host costs multiplied.
  Roofline scaled(double compute, double bandwidth, double link, double host) const;
  // With LoRA adapters of this rank.
  Roofline with_adapters(std::uint32_t rank) const;

  // KV blocks that fit beside the weights on all cards together; 0 when the model does not fit.
  std::uint64_t kv_blocks(const MemoryPlan& plan) const;

  // Two all-reduces a layer, of `tokens` activations each; zero on one card.
  double all_reduce_seconds(std::uint64_t tokens) const {
    return ring_latency_ + ring_seconds_per_token_ * double(tokens);
  }
  double kv_bytes_per_token() const { return kv_bytes_; }
  double adapter_bytes() const { return adapter_weights_ * bytes_per_weight_; }
  double weight_bytes() const { return weight_bytes_; }
  std::uint32_t cards() const { return cards_; }

 private:
  double flops_per_token_, flops_per_sample_, flops_per_pair_;
  double common_read_bytes_, expert_read_bytes_;  // weights: always read; all routed experts together
  double log_missed_;                             // ln(share of experts that one token does not touch)
  double kv_bytes_, kv_read_bytes_, bytes_per_weight_;
  double adapter_weights_per_rank_, adapter_weights_ = 0;
  double seconds_per_flop_, seconds_per_byte_;
  double step_overhead_, sequence_overhead_;
  double ring_latency_ = 0, ring_seconds_per_token_ = 0;
  double memory_bytes_per_card_, weight_bytes_;
  double kv_copies_;  // of each KV entry, over all cards
  std::uint32_t cards_;
};

}  // namespace qanat::pool
