// Descriptor: what a pool says of itself. The pool writes it (GET /qanat/v1/descriptor), gateways read and
// rank by it. The static part names the instance and what it can do; the dynamic part is a sample of its
// state with an age limit.
//
// JSON (version 1), one object, at most kMaxBytes; every key below is required unless marked optional,
// unknown keys are errors, so that a misspelt one cannot pass for a default:
//   {"version":1,
//    "id":"far1-h20","provider":"pml","location":"guian.gz.cn","site":"far1","residency":"cn",
//    "services":["infer"],
//    "card":{"vendor":"nvidia","model":"h20","count":8,"memory_bytes":…,"bandwidth_bytes_s":…,
//            "peak_flops":{"bf16":…,"fp8":…}},
//    "models":[{"name":"deepseek-r1-distill-qwen-32b","version":"1","dtype":"bf16","max_context":32768,
//               "price":{"input":400,"cached":100,"output":1600}}],
//    "state":{"generation":7,"ttl_ms":2000,"health":"serving",
//             "engines":[{"model":"…","max_num_seqs":256,"running":3,"waiting":0,"queued_prefill_tokens":0,
//                         "kv_used_tokens":900,"kv_total_tokens":900000,
//                         "decode":{"base_us":…,"per_sequence_us":…,"per_kv_token_us":…},
//                         "prefill":{"base_us":…,"per_token_us":…}}]}}
// Optional: "residency" (absent: the location's last label), a model's "version".
#pragma once

#include <boost/system/result.hpp>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qanat::descriptor {

inline constexpr std::size_t kMaxBytes = 256 * 1024;
inline constexpr std::size_t kMaxModels = 64;

// Nano-currency per token.
struct Price {
  std::uint64_t input = 0;
  std::uint64_t cached = 0;  // input tokens found in the prefix cache
  std::uint64_t output = 0;
  bool operator==(const Price&) const = default;
};

struct ServedModel {
  std::string name;               // as in the C-URL: lower case
  std::string version;            // empty: unversioned
  std::string dtype;              // of the weights: "bf16", "fp8", …
  std::uint32_t max_context = 0;  // tokens, prompt and completion together
  Price price;
  bool operator==(const ServedModel&) const = default;
};

struct Card {
  std::string vendor;
  std::string model;                    // "h20", "l40", "d" …: lower case
  std::uint32_t count = 0;              // behind this service contact
  std::uint64_t memory_bytes = 0;       // of one card
  std::uint64_t bandwidth_bytes_s = 0;  // of one card's memory
  std::vector<std::pair<std::string, double>>
      peak_flops;  // dtype → dense FLOP/s of one card; sorted by dtype
  bool operator==(const Card&) const = default;
};

enum class Health : std::uint8_t {
  Serving,
  Starting,  // weights are being loaded: not yet
  Draining,  // finishes what it has, takes nothing new
  Down,
};
std::string_view to_string(Health health);

// Time of one decode step = base + per_sequence × running + per_kv_token × KV tokens of those sequences.
// Every running sequence gets one token a step.
struct DecodeModel {
  double base_us = 0;
  double per_sequence_us = 0;
  double per_kv_token_us = 0;
  double step_us(double sequences, double kv_tokens) const {
    return base_us + per_sequence_us * sequences + per_kv_token_us * kv_tokens;
  }
  bool operator==(const DecodeModel&) const = default;
};

// Time to prefill n prompt tokens, at the load of this sample (decode steps of the running sequences in
// between) = base + per_token × n.
struct PrefillModel {
  double base_us = 0;
  double per_token_us = 0;
  double time_us(double tokens) const { return base_us + per_token_us * tokens; }
  bool operator==(const PrefillModel&) const = default;
};

// One engine: one model on this pool's cards. `time_scale` of the pool is already in its times.
struct EngineState {
  std::string model;  // one of Descriptor::models
  std::uint32_t max_num_seqs = 0;
  std::uint32_t running = 0;
  std::uint32_t waiting = 0;  // admitted, no prefill yet
  std::uint64_t queued_prefill_tokens =
      0;  // prompt tokens not yet computed, of waiting and of running sequences
  std::uint64_t kv_used_tokens = 0;
  std::uint64_t kv_total_tokens = 0;
  DecodeModel decode;
  PrefillModel prefill;
  bool operator==(const EngineState&) const = default;
};

struct State {
  // Strictly increasing, across restarts too (start from the wall clock in ms). An older one never replaces a
  // newer.
  std::uint64_t generation = 0;
  // Age on the receiver's monotonic clock past which this is only a last resort: probe, then use.
  std::uint32_t ttl_ms = 0;
  Health health = Health::Serving;
  std::vector<EngineState> engines;
  bool operator==(const State&) const = default;
};

struct Descriptor {
  std::string id;        // unique at its provider: "far1-h20"
  std::string provider;  // "pml"
  std::string location;  // C-URL labels, most specific first: "guian.gz.cn"
  std::string site;  // operator's name of the place; pools and gateways of one site are local to each other
  std::string residency;              // where data stays: location labels
  std::vector<std::string> services;  // "infer", "finetune", …; sorted
  Card card;
  std::vector<ServedModel> models;
  State state;
  bool operator==(const Descriptor&) const = default;

  const ServedModel* find_model(std::string_view name) const;
  const EngineState* find_engine(std::string_view model) const;
};

enum class Errc {
  TooLong = 1,  // more than kMaxBytes or kMaxModels
  NotJson,      // not one JSON object
  WrongVersion,
  UnknownKey,
  MissingKey,
  WrongType,
  OutOfRange,    // negative, not finite, beyond its bound, an empty or ill-formed name
  Inconsistent,  // an engine whose model is not served, a model twice, running > max_num_seqs
};

struct Problem {
  Errc code{};
  std::string where;  // "models[0].price.input"
};
std::string to_string(const Problem& problem);

// Reads JSON text of any origin; never throws on input. Use has_value() / error(), or *result once it has
// one.
boost::system::result<Descriptor, Problem> parse(std::string_view json);
// Canonical: keys in the order above, no spaces. parse(serialize(d)) = d for every valid d.
std::string serialize(const Descriptor& descriptor);
// What parse would say of it; nullopt when it is right.
std::optional<Problem> validate(const Descriptor& descriptor);

}  // namespace qanat::descriptor
