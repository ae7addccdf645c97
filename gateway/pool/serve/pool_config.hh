// PoolConfig: qanat-pool's configuration (seams.md §4), read strictly, all problems at once.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/jobs/jobs_config.hh"
#include "gateway/pool/engine/card.hh"
#include "gateway/pool/engine/engine.hh"
#include "gateway/pool/serve/station_plan.hh"

namespace qanat::base {
class ConfigTable;
}

namespace qanat::pool {

// Nano-currency per token.
struct PoolPrice {
  std::uint64_t input = 0, cached = 0, output = 0;
  std::uint64_t card = 0,
                placeholder = 0;  // per second: a card that a placeholder holds, a right to an engine
};

// How much of a real server is put into others' hands (gateway/pool/adopt).
enum class AdoptLevel : std::uint8_t { Observed, Managed, Schedulable };
std::string_view to_string(AdoptLevel level);

// A server that is not ours, instead of simulated cards. Its models are what it lists.
struct Adoption {
  std::string url;  // empty: nothing is adopted
  AdoptLevel level = AdoptLevel::Observed;
  std::string key;                 // sent as its bearer token
  std::uint32_t max_streams = 16;  // at once
  base::Duration probe_interval = std::chrono::seconds(2);
};

struct PoolConfig {
  std::string id, provider, location, site, residency;
  std::string listen;          // "address:port"
  std::string socket;          // Unix socket for the operator; empty: none
  std::string owner_token;     // who has it may change the offer over TCP; empty: nobody
  std::string usage_db;        // SQLite; its journal and key lie beside it
  jobs::SiteConfig artefacts;  // without a folder it keeps none
  Adoption adopt;
  Card card;
  std::uint32_t count = 0;  // cards in all
  std::vector<Model> models;
  PoolPrice price;
  EngineLimits engine;
  std::uint32_t max_context = 0;      // 0: each model's own
  std::uint32_t tensor_parallel = 0;  // cards of one engine; 0: all cards of its model
  std::uint32_t spare_cards = 0;      // beside `count`: they take the place of lost ones
  std::string token_log;              // see token_log.hh; empty: none
  // Calls under way at SIGTERM have so long to end.
  base::Duration drain = std::chrono::seconds(20);
  // How long a call may wait for a model that is still coming up, beyond what the call itself says; past it: 503.
  base::Duration cold_wait{};
  SitePlan storage;
  std::vector<WeightCopy> copies;
  LifePlan life;
  bool warm = true;     // false: every model begins as a placeholder
  bool leased = false;  // and only owners of placeholders wake it, never a call

  // One model's part of cards that several share; without any, the cards are divided evenly and each has its own.
  struct Share {
    std::string model;
    double memory = 1;
    double weight = 1;
    std::uint8_t priority = kNormalPriority;
  };
  std::vector<Share> shares;

  bool shared_cards() const { return !shares.empty(); }
  Share share_of(std::size_t model) const;
  std::uint32_t cards_per_model() const {
    return shared_cards() ? count : count / static_cast<std::uint32_t>(models.size());
  }
  std::uint32_t cards_per_station() const {
    return tensor_parallel == 0 ? cards_per_model() : tensor_parallel;
  }
  std::uint32_t stations_per_model() const { return cards_per_model() / cards_per_station(); }
  EngineLimits limits_for(const Model& model) const;
  StationPlan station_plan(const Model& model) const;
};

// Takes every key; notes problems in the reader, also those between keys (a model that does not fit the cards).
void read_pool_config(base::ConfigTable& root, PoolConfig& config);
extern const std::string_view kSampleConfig;

}  // namespace qanat::pool
