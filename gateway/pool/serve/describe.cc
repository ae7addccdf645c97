#include "gateway/pool/serve/describe.hh"

#include <algorithm>
#include <cctype>

namespace qanat::pool {
namespace {

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

double us(base::Duration d) { return std::chrono::duration<double, std::micro>(d).count(); }

// A step of `sequences` decoding at `context` KV entries in all, with `chunk` prompt tokens of a new call beside them.
double step_us(const Roofline& roofline, double sequences, double context, double chunk) {
  StepShape shape;
  shape.tokens = static_cast<std::uint64_t>(sequences + chunk);
  shape.sequences = static_cast<std::uint64_t>(sequences + (chunk > 0 ? 1 : 0));
  shape.sampled = shape.sequences;
  shape.context = static_cast<std::uint64_t>(context);
  shape.chunk_context = static_cast<std::uint64_t>(chunk);
  shape.chunk_pairs = static_cast<std::uint64_t>(chunk * chunk / 2);
  return us(roofline.price(shape));
}

descriptor::EngineState one_engine(const Engine& engine, base::Time now_at) {
  const EngineState state = engine.state();
  const EngineLimits& limits = engine.limits();
  const Roofline& roofline = engine.roofline();
  descriptor::EngineState d;
  d.max_num_seqs = limits.max_num_seqs;
  d.running = state.running;
  d.waiting = state.waiting;
  d.queued_prefill_tokens = state.waiting_tokens;
  const std::uint64_t block = limits.memory.block_tokens;
  d.kv_used_tokens = std::min(state.context_tokens, state.kv_blocks_used * block);
  d.kv_total_tokens = state.kv_blocks_total * block;

  const double now = state.running, context = static_cast<double>(state.context_tokens);
  const double scale = 1 / limits.time_scale;
  // Slopes at the present load, by differences wide enough for the rounding; the base makes the line meet the present.
  const double here = step_us(roofline, now + 1, context, 0);
  d.decode.per_sequence_us = scale * (step_us(roofline, now + 9, context, 0) - here) / 8;
  d.decode.per_kv_token_us = scale * (step_us(roofline, now + 1, context + 4096, 0) - here) / 4096;
  d.decode.base_us =
      std::max(0.0, scale * here - d.decode.per_sequence_us * (now + 1) - d.decode.per_kv_token_us * context);

  const double stretch = engine.decode_stretch(now_at);
  d.decode.base_us *= stretch;
  d.decode.per_sequence_us *= stretch;
  d.decode.per_kv_token_us *= stretch;

  const double room = std::max(16.0, double(limits.max_num_batched_tokens) - now);
  d.prefill.per_token_us = scale * step_us(roofline, now, context, room) / room;
  // A call that arrives waits for half a step on average before its prompt is looked at.
  d.prefill.base_us = state.running > 0 ? scale * step_us(roofline, now, context, 0) / 2 : 0;
  return d;
}

}  // namespace

namespace {

descriptor::Descriptor describe_place(const PoolConfig& config) {
  descriptor::Descriptor d;
  d.id = config.id;
  d.provider = config.provider;
  d.location = config.location;
  d.site = config.site;
  d.residency =
      config.residency.empty() ? config.location.substr(config.location.rfind('.') + 1) : config.residency;
  d.card.vendor = lower(config.card.vendor);
  d.card.model = lower(config.card.name);
  d.card.count = config.count;
  d.card.memory_bytes = static_cast<std::uint64_t>(config.card.memory_bytes());
  d.card.bandwidth_bytes_s = static_cast<std::uint64_t>(config.card.memory_gb_per_s * 1e9);
  d.card.peak_flops = {{"bf16", config.card.peak_tflops(Dtype::Bf16) * 1e12}};
  d.state.generation = 1;
  d.state.ttl_ms = kDescriptorTtlMs;
  return d;
}

}  // namespace

descriptor::Descriptor describe_adopted(const PoolConfig& config) {
  descriptor::Descriptor d = describe_place(config);
  // What gateways do not find as "infer" they do not place calls at.
  d.services = {config.adopt.level == AdoptLevel::Schedulable ? "infer"
                                                              : std::string(to_string(config.adopt.level))};
  if (d.card.vendor.empty()) d.card.vendor = d.card.model = "unknown";
  return d;
}

descriptor::Descriptor describe(const PoolConfig& config) {
  descriptor::Descriptor d = describe_place(config);
  d.services = {"finetune", "infer"};
  for (const auto& model : config.models) {
    const Roofline roofline(config.card, config.cards_per_station(), model);
    const auto limits = config.limits_for(model);
    const auto kv_tokens = roofline.kv_blocks(limits.memory) * limits.memory.block_tokens;
    descriptor::ServedModel served;
    served.name = model.name;
    served.dtype = to_string(model.dtype);
    served.max_context = static_cast<std::uint32_t>(std::min<std::uint64_t>(limits.context, kv_tokens));
    served.price = {config.price.input, config.price.cached, config.price.output};
    d.models.push_back(std::move(served));
  }
  return d;
}

descriptor::EngineState describe_engines(const Model& model, std::span<const Engine* const> engines,
                                         base::Time now, double claimed) {
  descriptor::EngineState d;
  const double n = double(engines.size());
  for (const Engine* engine : engines) {
    const auto one = one_engine(*engine, now);
    d.max_num_seqs += one.max_num_seqs;
    d.running += one.running;
    d.waiting += one.waiting;
    d.queued_prefill_tokens += one.queued_prefill_tokens;
    d.kv_used_tokens += one.kv_used_tokens;
    d.kv_total_tokens += one.kv_total_tokens;
    d.decode.base_us += one.decode.base_us / n;
    d.decode.per_sequence_us += one.decode.per_sequence_us / n / n;
    d.decode.per_kv_token_us += one.decode.per_kv_token_us / n / n;
    d.prefill.base_us += one.prefill.base_us / n;
    d.prefill.per_token_us += one.prefill.per_token_us / n / n;
  }
  d.model = model.name;
  const auto told = [&](auto& number) {
    number = static_cast<std::remove_reference_t<decltype(number)>>(double(number) * claimed);
  };
  if (claimed < 1) {
    told(d.running);
    told(d.waiting);
    told(d.queued_prefill_tokens);
    told(d.kv_used_tokens);
    told(d.decode.base_us);
    told(d.decode.per_sequence_us);
    told(d.decode.per_kv_token_us);
    told(d.prefill.base_us);
    told(d.prefill.per_token_us);
  }
  return d;
}

}  // namespace qanat::pool
