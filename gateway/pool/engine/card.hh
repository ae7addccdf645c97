// Card and Model: what an accelerator can do and what a model asks of it, as plain data (data/cards,
// data/models). Everything the roofline needs and nothing else; datasheet values and fitted values stay
// apart.
#pragma once

#include <cstdint>
#include <string>

namespace qanat::pool {

// The five fitted numbers of a card. Efficiencies are shares of the datasheet's peak and stay in (0, 0.95].
struct CardFit {
  double compute_efficiency = 0.5;    // of peak_tflops, over the dense layers and attention
  double bandwidth_efficiency = 0.8;  // of memory_gb_per_s, reading weights and KV blocks
  double step_overhead_us = 1000;     // host and launch cost of one engine step
  double sequence_overhead_us = 10;  // host cost of one running sequence in one step (sampling, detokenising)
  double link_latency_us = 5;        // one hop of a ring all-reduce between two cards
};

struct Card {
  std::string name;
  std::string vendor;
  double peak_tflops = 0;      // dense, at the 16-bit type that models are served in
  double memory_gb = 0;        // 10^9 bytes
  double memory_gb_per_s = 0;  // 10^9 bytes/s
  std::string link;            // "NVLink 4", "PCIe 4.0 x16", …
  double link_gb_per_s = 0;    // 10^9 bytes/s, one direction, card to card
  double watts = 0;            // board power
  CardFit fit;
};

// A dense decoder-only transformer with grouped-query attention and a gated MLP, served in 16 bits.
struct Model {
  std::string name;
  std::uint32_t layers = 0;
  std::uint32_t hidden = 0;
  std::uint32_t heads = 0;
  std::uint32_t kv_heads = 0;
  std::uint32_t head_dim = 0;
  std::uint32_t intermediate = 0;
  std::uint32_t vocabulary = 0;
  std::uint32_t context = 0;           // longest prompt + output, tokens
  std::uint32_t bytes_per_weight = 2;  // weights, activations and KV alike

  // Weights that every token passes through (layers); embeddings are looked up, not multiplied.
  double layer_weights() const;
  // Weights of the output head, which only sampled tokens pass through.
  double head_weights() const;
  // All weights in memory, input embeddings included, bytes.
  double weight_bytes() const;
  double kv_bytes_per_token() const;
};

}  // namespace qanat::pool
