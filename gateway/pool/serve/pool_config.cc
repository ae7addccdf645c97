#include "gateway/pool/serve/pool_config.hh"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <system_error>

#include "base/config.hh"
#include "base/file.hh"
#include "gateway/pool/data/catalogue.hh"
#include "gateway/pool/engine/roofline.hh"
#include "gateway/pool/serve/describe.hh"

namespace qanat::pool {
namespace {

constexpr std::size_t kLeastOwnerToken = 16;

template <class Map>
std::string names(const Map& map) {
  std::string text;
  for (const auto& [name, value] : map) text += (text.empty() ? "" : ", ") + name;
  return text;
}

void read_adoption(base::ConfigTable& root, PoolConfig& config) {
  auto table = root.table("adopt");
  if (!table) return;
  Adoption& adopt = config.adopt;
  adopt.url = table->string("url");
  if (!adopt.url.starts_with("http://") && !adopt.url.starts_with("https://"))
    table->problem("url", "\"" + adopt.url + "\" is not an origin", "http://ADDRESS:PORT");
  const std::string level = table->one_of("level", {"observed", "managed", "schedulable"});
  adopt.level = level == "schedulable" ? AdoptLevel::Schedulable
                : level == "managed"   ? AdoptLevel::Managed
                                       : AdoptLevel::Observed;
  adopt.max_streams = static_cast<std::uint32_t>(table->integer("max_streams", {1, 4096}, 16));
  adopt.probe_interval = table->duration("probe_interval", std::chrono::milliseconds(50),
                                         std::chrono::minutes(10), adopt.probe_interval);
  if (const auto file = table->optional_string("key_file")) {
    try {
      adopt.key = base::read_file(*file, 4096);
      while (!adopt.key.empty() && std::isspace(static_cast<unsigned char>(adopt.key.back())))
        adopt.key.pop_back();
    } catch (const std::system_error& error) {
      table->problem("key_file", error.what(), "a readable file with the server's API key");
    }
  }
}

// The cards and models that came with the program, and those of the operator's own folder.
Catalogue read_data(base::ConfigTable& root) {
  Catalogue known = built_in();
  const auto folder = root.optional_string("data");
  if (!folder) return known;
  try {
    for (const auto& problem : add_folder(known, *folder))
      root.problem("data", problem, "card, model and profile files as gateway/pool/data/README.md says");
  } catch (const std::system_error& error) {
    root.problem("data", error.what(), "a folder with cards/, models/ or profiles/");
  }
  return known;
}

void read_cards(base::ConfigTable& root, const Catalogue& known, PoolConfig& config) {
  if (!config.adopt.url.empty()) {
    // What stands behind it, as far as its owner says.
    if (const auto name = root.optional_string("cards")) {
      if (const Card* found = known.card(*name))
        config.card = *found;
      else
        root.problem("cards", fmt::format("no card \"{}\" in the card data", *name),
                     "one of " + names(known.cards));
    }
    config.count = static_cast<std::uint32_t>(root.integer("count", {1, 1024}, 1));
    return;
  }
  const std::string card = root.string("cards");
  if (const Card* found = known.card(card))
    config.card = *found;
  else if (!card.empty())
    root.problem("cards", fmt::format("no card \"{}\" in the card data", card),
                 "one of " + names(known.cards));
  config.count = static_cast<std::uint32_t>(root.integer("count", {1, 1024}));
  for (const auto& name : root.strings("models", true)) {
    if (const Model* found = known.model(name))
      config.models.push_back(*found);
    else
      root.problem("models", fmt::format("no model \"{}\" in the model data", name),
                   "of " + names(known.models));
  }
}

void read_engine(base::ConfigTable& root, const Catalogue& known, PoolConfig& config) {
  EngineLimits& engine = config.engine;
  if (const Profile* usual = known.profile(config.card.profile)) engine.profile = *usual;
  auto table = root.table("engine");
  if (!table) return;
  if (const auto name = table->optional_string("profile")) {
    if (const Profile* found = known.profile(*name))
      engine.profile = *found;
    else
      table->problem("profile", fmt::format("no profile \"{}\" in the data", *name),
                     "one of " + names(known.profiles));
  }
  engine.max_num_seqs =
      static_cast<std::uint32_t>(table->integer("max_num_seqs", {1, 4096}, engine.max_num_seqs));
  engine.max_num_batched_tokens = static_cast<std::uint32_t>(
      table->integer("max_num_batched_tokens", {1, 1 << 20}, engine.max_num_batched_tokens));
  engine.max_waiting =
      static_cast<std::uint32_t>(table->integer("max_waiting", {1, 4000}, engine.max_waiting));
  engine.time_scale = table->number("time_scale", {0.01, 1000}, engine.time_scale);
  engine.memory.utilisation = table->number("memory_utilisation", {0.1, 0.98}, engine.memory.utilisation);
  config.max_context = static_cast<std::uint32_t>(table->integer("max_context", {16, 1 << 24}, 0));
  config.tensor_parallel = static_cast<std::uint32_t>(table->integer("tensor_parallel", {1, 1024}, 0));
  engine.profile.prefix_cache = table->boolean("prefix_cache", engine.profile.prefix_cache);
  engine.profile.priority_preempts = table->boolean("priority_preempts", engine.profile.priority_preempts);
  config.token_log = table->string("token_log", "");
  if (engine.max_num_batched_tokens < engine.max_num_seqs)
    table->problem("max_num_batched_tokens",
                   fmt::format("{} is less than max_num_seqs", engine.max_num_batched_tokens),
                   fmt::format("at least {}", engine.max_num_seqs));
}

base::Duration seconds(double s) { return base::Duration(static_cast<std::int64_t>(s * 1e9)); }

void read_life(base::ConfigTable& root, PoolConfig& config) {
  auto table = root.table("life");
  if (!table) return;
  const std::string start = table->one_of("start", {"warm", "zero", "leased"}, "warm");
  config.warm = start == "warm";
  config.leased = start == "leased";
  config.life.idle_to_zero = table->duration("idle_to_zero", seconds(0.1), seconds(30 * 86400.0), {});
  config.cold_wait = table->duration("cold_wait", {}, seconds(3600), {});
  config.life.staged = table->boolean("staged", true);
  config.life.snapshots = config.storage.snapshots = table->boolean("snapshots", true);
  config.storage.disk_gb_per_s = table->number("disk_gb_per_s", {0.01, 1000}, config.storage.disk_gb_per_s);
  config.storage.start_s = table->number("start_s", {0, 3600}, config.storage.start_s);
  config.storage.warm_s_per_layer =
      table->number("warm_s_per_layer", {0, 60}, config.storage.warm_s_per_layer);
  for (auto& copy : table->tables("copy")) {
    WeightCopy one;
    one.name = copy.string("name");
    one.gb_per_s = copy.number("gb_per_s", {0.0001, 1000});
    one.rtt_ms = copy.number("rtt_ms", {0, 10'000}, 1);
    config.copies.push_back(one);
  }
  if (!config.life.staged && config.copies.empty())
    table->problem("staged", "weights are neither on the disk nor anywhere else", "[[life.copy]] tables");
}

void read_shares(base::ConfigTable& root, PoolConfig& config) {
  double memory = 0;
  for (auto& table : root.tables("share")) {
    PoolConfig::Share share;
    share.model = table.string("model");
    share.memory = table.number("memory", {0.01, 1});
    share.weight = table.number("weight", {0.01, 100}, 1);
    share.priority = static_cast<std::uint8_t>(table.integer("priority", {0, 6}, kNormalPriority));
    memory += share.memory;
    config.shares.push_back(share);
  }
  if (config.shares.empty()) return;
  if (memory > 1 + 1e-9)
    root.problem("share", fmt::format("the memory of all shares is {:.2f} cards", memory), "at most 1");
  for (const Model& model : config.models)
    if (std::none_of(config.shares.begin(), config.shares.end(),
                     [&](const auto& s) { return s.model == model.name; }))
      root.problem("share", "none for " + model.name, "one for every model, or none at all");
}

// True when cards and models make a pool.
bool check_fit(base::ConfigTable& root, const PoolConfig& config) {
  if (config.card.name.empty() || config.models.empty() || config.count == 0) return false;
  if (!config.shared_cards() && config.count % config.models.size() != 0) {
    root.problem(
        "count",
        fmt::format("{} cards cannot be divided evenly among {} models", config.count, config.models.size()),
        "a multiple of the number of models");
    return false;
  }
  if (config.cards_per_model() % config.cards_per_station() != 0) {
    root.problem("engine",
                 fmt::format("tensor_parallel {} does not divide the {} cards of a model",
                             config.tensor_parallel, config.cards_per_model()),
                 "a divisor of it");
    return false;
  }
  bool fits = true;
  for (const auto& model : config.models) {
    const Roofline roofline(config.card, config.cards_per_station(), model);
    const MemoryPlan memory = config.limits_for(model).memory;
    if (roofline.kv_blocks(memory) * memory.block_tokens < 1024) {
      fits = false;
      root.problem(
          "models",
          fmt::format("{} does not fit on {} × {}", model.name, config.cards_per_station(), config.card.name),
          "more cards, or a smaller model");
    }
  }
  return fits;
}

}  // namespace

std::string_view to_string(AdoptLevel level) {
  static constexpr std::string_view kNames[] = {"observed", "managed", "schedulable"};
  return kNames[static_cast<std::size_t>(level)];
}

EngineLimits PoolConfig::limits_for(const Model& model) const {
  EngineLimits limits = engine;
  limits.context = max_context == 0 ? model.context : std::min(max_context, model.context);
  for (const Share& share : shares)
    if (share.model == model.name) limits.memory.utilisation *= share.memory;
  return limits;
}

PoolConfig::Share PoolConfig::share_of(std::size_t model) const {
  for (const Share& share : shares)
    if (share.model == models[model].name) return share;
  return {};
}

StationPlan PoolConfig::station_plan(const Model& model) const {
  StationPlan plan;
  plan.card = card;
  plan.cards = cards_per_station();
  plan.model = model;
  plan.limits = limits_for(model);
  plan.site = storage;
  plan.copies = copies;
  plan.life = life;
  plan.warm = warm;
  return plan;
}

void read_pool_config(base::ConfigTable& root, PoolConfig& config) {
  config.id = root.string("id");
  config.provider = root.string("provider");
  config.location = root.string("location");
  config.site = root.string("site");
  config.residency = root.string("residency", "");
  config.listen = root.string("listen");
  config.socket = root.string("socket", "");
  if (const auto file = root.optional_string("owner_token_file")) {
    try {
      config.owner_token = base::read_file(*file, 4096);
      while (!config.owner_token.empty() &&
             std::isspace(static_cast<unsigned char>(config.owner_token.back())))
        config.owner_token.pop_back();
      if (config.owner_token.size() < kLeastOwnerToken)
        root.problem("owner_token_file", *file + " holds no token", "16 characters or more");
    } catch (const std::system_error& error) {
      root.problem("owner_token_file", error.what(), "a readable file with the owner's token");
    }
  }
  config.usage_db = root.string("usage_db");
  if (auto artefacts = root.table("artefacts")) {
    config.artefacts.name = config.id;
    config.artefacts.site = config.site;
    jobs::read_site_config(*artefacts, config.artefacts);
  }
  read_adoption(root, config);
  const Catalogue known = read_data(root);
  read_cards(root, known, config);
  if (auto price = root.table("price", true)) {
    config.price.input = static_cast<std::uint64_t>(price->integer("input", {0, 1'000'000'000'000}));
    config.price.output = static_cast<std::uint64_t>(price->integer("output", {0, 1'000'000'000'000}));
    config.price.cached = static_cast<std::uint64_t>(
        price->integer("cached", {0, 1'000'000'000'000}, static_cast<std::int64_t>(config.price.input)));
    config.price.card = static_cast<std::uint64_t>(price->integer("card", {0, 1'000'000'000'000}, 0));
    config.price.placeholder =
        static_cast<std::uint64_t>(price->integer("placeholder", {0, 1'000'000'000'000}, 0));
  }
  config.spare_cards = static_cast<std::uint32_t>(root.integer("spare_cards", {0, 1024}, 0));
  config.drain = root.duration("drain", {}, seconds(3600), config.drain);
  read_engine(root, known, config);
  read_life(root, config);
  read_shares(root, config);
  if (!config.adopt.url.empty()) {
    if (const auto problem = descriptor::validate(describe_adopted(config)))
      root.problem("", "descriptor: " + descriptor::to_string(*problem),
                   "what identifiers/descriptor allows");
    return;
  }
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
socket = "/run/qanat/pool.sock"        # status and metrics for the operator; optional
# owner_token_file = "/etc/qanat/owner" # who has this token changes prices and hours from afar (a supplier's page)
usage_db = "/var/lib/qanat/far1-h20.db"    # signed usage records; journal and key lie beside it
cards = "H20"                              # a name in the card data
count = 8                                  # cards, divided evenly among the models
models = ["deepseek-r1-distill-qwen-32b"]  # names in the model data

[price]                                    # nano-currency per token
input = 400
output = 1600
# card = 2500000                           # per card and second that a gateway's placeholder holds

[engine]                                   # optional, all of it
max_num_seqs = 256                         # sequences in one step
max_num_batched_tokens = 2048              # new tokens in one step
max_waiting = 1000                         # calls queued; beyond: 503 with Retry-After
time_scale = 1.0                           # 10: ten times faster than the card
# tensor_parallel = 4                      # cards of one engine; the others carry further engines of the same model

# spare_cards = 1                          # (above the tables) take the place of lost cards
# drain = "20s"                            # (above the tables) what calls under way get after SIGTERM

# [artefacts]                              # data sets and checkpoints for fine-tunes, results to be served
# folder = "/var/lib/qanat/far1-h20-artefacts"
# quota_gb = 100
# trust = []                               # public keys of gateways: GET /qanat/v1/store at a gateway says its own

# [traces]                                 # an OpenTelemetry collector: spans of calls that are traced
# endpoint = "http://127.0.0.1:4318"

# [adopt]                                  # instead of cards and models: a real server, as a pool
# url = "http://127.0.0.1:8000"            # OpenAI-compatible: vLLM, SGLang, llama.cpp …
# level = "schedulable"                    # "observed": only seen; "managed": callable here, not placed by gateways
# max_streams = 16

# [life]                                   # serverless: from a placeholder to serving and back to zero
# start = "zero"                           # "warm": ready at once; "leased": woken by gateways' placeholders only
# idle_to_zero = "10m"
# cold_wait = "30s"                        # calls may wait so long for a model that comes up; else 503
# staged = false                           # weights come from the copies below first
# disk_gb_per_s = 6
# [[life.copy]]
# name = "far2"
# gb_per_s = 1.2
# rtt_ms = 12
#
# [[share]]                                # several models on the same cards: one table each
# model = "deepseek-r1-distill-qwen-32b"
# memory = 0.6
# priority = 2                             # 0 first; a busy model leaves lower ones 5 % of the card's time
)";

}  // namespace qanat::pool
