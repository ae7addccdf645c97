// PoolConfig: qanat-pool's configuration (seams.md §4), read strictly, all problems at once.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/pool/engine/card.hh"
#include "gateway/pool/engine/engine.hh"

namespace qanat::base {
class ConfigTable;
}

namespace qanat::pool {

// Nano-currency per token.
struct PoolPrice {
  std::uint64_t input = 0, cached = 0, output = 0;
};

struct PoolConfig {
  std::string id, provider, location, site, residency;
  std::string listen;    // "address:port"
  std::string socket;    // Unix socket for the operator; empty: none
  std::string usage_db;  // SQLite; its journal and key lie beside it
  Card card;
  std::uint32_t count = 0;  // cards in all
  std::vector<Model> models;
  PoolPrice price;
  EngineLimits engine;
  std::uint32_t max_context = 0;  // 0: each model's own

  // Cards behind each model: the cards are divided evenly, and each share runs its model under tensor parallelism.
  std::uint32_t cards_per_model() const { return count / static_cast<std::uint32_t>(models.size()); }
  EngineLimits limits_for(const Model& model) const;
};

// Takes every key; notes problems in the reader, also those between keys (a model that does not fit the cards).
void read_pool_config(base::ConfigTable& root, PoolConfig& config);
extern const std::string_view kSampleConfig;

}  // namespace qanat::pool
