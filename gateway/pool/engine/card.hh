// Card and Model: what an accelerator can do and what a model asks of it, as plain data (data/cards,
// data/models). Everything the roofline needs and nothing else; datasheet values and fitted values stay
// apart.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace qanat::pool {

enum class Dtype : std::uint8_t { Bf16, Fp16, Fp8 };
std::string_view to_string(Dtype dtype);

// The five fitted numbers of a card. Efficiencies are shares of the datasheet's peak and stay in (0, 0.95].
struct CardFit {
  double compute_efficiency = 0.6;    // of the peak, over the dense layers and attention
  double bandwidth_efficiency = 0.7;  // of memory_gb_per_s, reading weights and KV blocks
  double step_overhead_us = 2000;     // host and launch cost of one engine step
  double sequence_overhead_us = 30;  // host cost of one running sequence in one step (sampling, detokenising)
  double link_latency_us = 10;       // one hop of a ring all-reduce between two cards
};
inline constexpr double kMaxEfficiency = 0.95;

struct Card {
  std::string name;
  std::string vendor;
  // Dense peaks, TFLOPS; 0: the card has no such arithmetic.
  double bf16_tflops = 0, fp16_tflops = 0, fp8_tflops = 0;
  double memory_gb = 0;        // 10^9 bytes
  double memory_gb_per_s = 0;  // 10^9 bytes/s
  std::string link;            // "NVLink 4", "PCIe 4.0 x16", …
  double link_gb_per_s = 0;    // 10^9 bytes/s, one direction, card to card
  double link_hop_us = 10;  // what a small message on such a link takes, before it was measured on this card
  double host_gb_per_s = 20;         // 10^9 bytes/s, host memory to card
  double watts = 0;                  // board power
  std::string profile = "vllm-0.8";  // the engine version its fit was measured with
  CardFit fit;

  double memory_bytes() const { return memory_gb * 0x1p30; }
  // What a model of this type runs at: its own peak, else that of the 16-bit type the card has.
  double peak_tflops(Dtype dtype) const;
};

// A decoder-only transformer with a gated MLP: dense or a mixture of experts; grouped-query or latent attention.
struct Model {
  std::string name;
  std::uint32_t layers = 0;
  std::uint32_t hidden = 0;
  std::uint32_t heads = 0;
  std::uint32_t kv_heads = 0;
  std::uint32_t head_dim = 0;
  std::uint32_t intermediate = 0;  // width of the dense MLP
  std::uint32_t vocabulary = 0;
  std::uint32_t context = 0;  // longest prompt + output, tokens
  bool tied_embeddings = false;
  Dtype dtype = Dtype::Bf16;

  // Mixture of experts: in all but the first dense_layers, `experts` MLPs of width expert_intermediate of which each
  // token passes experts_per_token, and shared_experts more that all pass. experts 0: dense.
  std::uint32_t experts = 0, experts_per_token = 0, shared_experts = 0;
  std::uint32_t expert_intermediate = 0, dense_layers = 0;

  // Multi-head latent attention: a token's KV entry is one latent vector and one rotary key, for all heads.
  // kv_lora_rank 0: grouped-query attention.
  std::uint32_t kv_lora_rank = 0, q_lora_rank = 0, rope_dim = 0;

  double bytes_per_weight() const { return dtype == Dtype::Fp8 ? 1 : 2; }
  double bytes_per_activation() const { return 2; }
  std::uint32_t moe_layers() const { return experts == 0 ? 0 : layers - dense_layers; }

  double attention_weights() const;  // of one layer
  double expert_weights() const;     // of one expert of one layer
  // Weights that every token passes, experts it is routed to apart; embeddings are looked up, not multiplied.
  double common_weights() const;
  // Weights that one token passes in the layers, its own experts included.
  double active_weights() const;
  double head_weights() const;  // of the output head, which only sampled tokens pass
  // All weights in memory, input embeddings included, bytes.
  double weight_bytes() const;
  double kv_bytes_per_token() const;
  // Cards over which KV entries can be divided; further ones hold copies.
  std::uint32_t kv_shards() const { return kv_lora_rank > 0 ? 1 : kv_heads; }
  // Multiplications of one query with one key and its value, all layers and heads, FLOPs.
  double flops_per_pair() const;
  // Weights of a LoRA adapter of this rank on all attention and MLP projections.
  double adapter_weights(std::uint32_t rank) const;
};

}  // namespace qanat::pool
