#include "gateway/pool/engine/card.hh"

#include <algorithm>

namespace qanat::pool {

std::string_view to_string(Dtype dtype) {
  switch (dtype) {
    case Dtype::Bf16: return "bf16";
    case Dtype::Fp16: return "fp16";
    case Dtype::Fp8: return "fp8";
  }
  return "unknown";
}

double Card::peak_tflops(Dtype dtype) const {
  const double sixteen = std::max(bf16_tflops, fp16_tflops);
  switch (dtype) {
    case Dtype::Bf16: return bf16_tflops > 0 ? bf16_tflops : sixteen;
    case Dtype::Fp16: return fp16_tflops > 0 ? fp16_tflops : sixteen;
    case Dtype::Fp8: return fp8_tflops > 0 ? fp8_tflops : sixteen;
  }
  return sixteen;
}

double Model::attention_weights() const {
  if (kv_lora_rank > 0) {
    const double queries = double(heads) * (head_dim + rope_dim);
    const double into_queries =
        q_lora_rank > 0 ? double(q_lora_rank) * (hidden + queries) : double(hidden) * queries;
    const double into_latent = double(hidden) * (kv_lora_rank + rope_dim);
    const double out_of_latent = double(kv_lora_rank) * heads * 2 * head_dim;
    return into_queries + into_latent + out_of_latent + double(hidden) * heads * head_dim;
  }
  const double queries = double(heads) * head_dim;
  const double keys_and_values = 2.0 * kv_heads * head_dim;
  return double(hidden) * (2 * queries + keys_and_values);
}

double Model::expert_weights() const { return 3.0 * hidden * expert_intermediate; }

double Model::common_weights() const {
  const double moe = moe_layers(), dense = layers - moe;
  const double router = double(hidden) * experts;
  return layers * attention_weights() + dense * 3.0 * hidden * intermediate +
         moe * (router + shared_experts * expert_weights());
}

double Model::active_weights() const {
  return common_weights() + moe_layers() * experts_per_token * expert_weights();
}

double Model::head_weights() const { return double(hidden) * vocabulary; }

double Model::weight_bytes() const {
  const double embeddings = tied_embeddings ? 1 : 2;
  return bytes_per_weight() *
         (common_weights() + double(moe_layers()) * experts * expert_weights() + embeddings * head_weights());
}

double Model::kv_bytes_per_token() const {
  const double values = kv_lora_rank > 0 ? kv_lora_rank + rope_dim : 2.0 * kv_heads * head_dim;
  return layers * values * bytes_per_activation();
}

double Model::flops_per_pair() const {
  // In latent form a query meets the latent vector and the rotary key, then gathers the latent vector.
  if (kv_lora_rank > 0) return 2.0 * layers * heads * (2.0 * kv_lora_rank + rope_dim);
  return 4.0 * layers * heads * head_dim;
}

double Model::adapter_weights(std::uint32_t rank) const {
  const double queries = double(heads) * head_dim, keys = double(kv_heads) * head_dim;
  const double width =
      experts > 0 ? double(expert_intermediate) * (experts_per_token + shared_experts) : intermediate;
  const double attention = 2 * (hidden + queries) + 2 * (hidden + keys);
  return double(layers) * rank * (attention + 3 * (hidden + width));
}

}  // namespace qanat::pool
