#include "gateway/pool/serve/pool_config.hh"

#include <fmt/format.h>

#include <algorithm>

#include "base/config.hh"
#include "gateway/pool/data/catalogue.hh"
#include "gateway/pool/serve/describe.hh"
#include "gateway/pool/engine/roofline.hh"

namespace qanat::pool {
namespace {

template <class Map>
std::string names(const Map& map) {
  std::string text;
  for (const auto& [name, value] : map) text += (text.empty() ? "" : ", ") + name;
  return text;
}

void read_cards(base::ConfigTable& root, PoolConfig& config) {
  const std::string card = root.string("cards");
  if (const Card* found = built_in().card(card))
    config.card = *found;
  else if (!card.empty())
    root.problem("cards", fmt::format("no card \"{}\" in the card data", card),
                 "one of " + names(built_in().cards));
  config.count = static_cast<std::uint32_t>(root.integer("count", {1, 1024}));
  for (const auto& name : root.strings("models", true)) {
    if (const Model* found = built_in().model(name))
      config.models.push_back(*found);
    else
      root.problem("models", fmt::format("no model \"{}\" in the model data", name),
                   "of " + names(built_in().models));
  }
}

void read_engine(base::ConfigTable& root, PoolConfig& config) {
  auto table = root.table("engine");
  if (!table) return;
  EngineLimits& engine = config.engine;
  engine.max_num_seqs =
      static_cast<std::uint32_t>(table->integer("max_num_seqs", {1, 4096}, engine.max_num_seqs));
  engine.max_num_batched_tokens = static_cast<std::uint32_t>(
      table->integer("max_num_batched_tokens", {1, 1 << 20}, engine.max_num_batched_tokens));
  engine.max_waiting =
      static_cast<std::uint32_t>(table->integer("max_waiting", {1, 4000}, engine.max_waiting));
  engine.time_scale = table->number("time_scale", {0.01, 1000}, engine.time_scale);
  engine.memory.utilisation = table->number("memory_utilisation", {0.1, 0.98}, engine.memory.utilisation);
  config.max_context = static_cast<std::uint32_t>(table->integer("max_context", {16, 1 << 24}, 0));
  if (engine.max_num_batched_tokens < engine.max_num_seqs)
    table->problem("max_num_batched_tokens",
                   fmt::format("{} is less than max_num_seqs", engine.max_num_batched_tokens),
                   fmt::format("at least {}", engine.max_num_seqs));
}

// True when cards and models make a pool.
bool check_fit(base::ConfigTable& root, const PoolConfig& config) {
  if (config.card.name.empty() || config.models.empty() || config.count == 0) return false;
  if (config.count % config.models.size() != 0) {
    root.problem(
        "count",
        fmt::format("{} cards cannot be divided evenly among {} models", config.count, config.models.size()),
        "a multiple of the number of models");
    return false;
  }
  bool fits = true;
  for (const auto& model : config.models) {
    const Roofline roofline(config.card, config.cards_per_model(), model);
    if (roofline.kv_blocks(config.engine.memory) * config.engine.memory.block_tokens < 1024) {
      fits = false;
      root.problem(
          "models",
          fmt::format("{} does not fit on {} × {}", model.name, config.cards_per_model(), config.card.name),
          "more cards, or a smaller model");
    }
  }
  return fits;
}

}  // namespace

EngineLimits PoolConfig::limits_for(const Model& model) const {
  EngineLimits limits = engine;
  limits.context = max_context == 0 ? model.context : std::min(max_context, model.context);
  return limits;
}

void read_pool_config(base::ConfigTable& root, PoolConfig& config) {
  config.id = root.string("id");
  config.provider = root.string("provider");
  config.location = root.string("location");
  config.site = root.string("site");
  config.residency = root.string("residency", "");
  config.listen = root.string("listen");
  config.socket = root.string("socket", "");
  config.usage_db = root.string("usage_db");
  read_cards(root, config);
  if (auto price = root.table("price", true)) {
    config.price.input = static_cast<std::uint64_t>(price->integer("input", {0, 1'000'000'000'000}));
    config.price.output = static_cast<std::uint64_t>(price->integer("output", {0, 1'000'000'000'000}));
    config.price.cached = static_cast<std::uint64_t>(
        price->integer("cached", {0, 1'000'000'000'000}, static_cast<std::int64_t>(config.price.input)));
  }
  read_engine(root, config);
  const bool complete = check_fit(root, config);
  // The descriptor has rules of its own for names and places.
  if (complete)
    if (const auto problem = descriptor::validate(describe(config)))
      root.problem("", "descriptor: " + descriptor::to_string(*problem),
                   "what identifiers/descriptor allows");
}

const std::string_view kSampleConfig =
    R"(# qanat-pool: a pool of simulated accelerators behind one OpenAI-compatible address.
id = "far1-h20"                            # unique at its provider
provider = "pml"
location = "guian.gz.cn"                   # C-URL labels, most specific first
site = "far1"                              # pools and gateways of one site are local to each other
listen = "127.0.0.1:9000"
socket = "/run/qanat/far1-h20.sock"        # status and metrics for the operator; optional
usage_db = "/var/lib/qanat/far1-h20.db"    # signed usage records; journal and key lie beside it
cards = "H20"                              # a name in the card data
count = 8                                  # cards, divided evenly among the models
models = ["deepseek-r1-distill-qwen-32b"]  # names in the model data

[price]                                    # nano-currency per token
input = 400
output = 1600

[engine]                                   # optional, all of it
max_num_seqs = 256                         # sequences in one step
max_num_batched_tokens = 2048              # new tokens in one step
max_waiting = 1000                         # calls queued; beyond: 503 with Retry-After
time_scale = 1.0                           # 10: ten times faster than the card
)";

}  // namespace qanat::pool
