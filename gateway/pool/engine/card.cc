#include "gateway/pool/engine/card.hh"

namespace qanat::pool {

double Model::layer_weights() const {
  const double queries = double(heads) * head_dim;
  const double keys_and_values = 2.0 * kv_heads * head_dim;
  const double attention = double(hidden) * (2 * queries + keys_and_values);
  const double gated_mlp = 3.0 * hidden * intermediate;
  return layers * (attention + gated_mlp);
}

double Model::head_weights() const { return double(hidden) * vocabulary; }

double Model::weight_bytes() const { return bytes_per_weight * (layer_weights() + 2 * head_weights()); }

double Model::kv_bytes_per_token() const { return 2.0 * layers * kv_heads * head_dim * bytes_per_weight; }

}  // namespace qanat::pool
