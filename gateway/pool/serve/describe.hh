// What a pool says of itself: its configuration and its engines' state as a Descriptor (identifiers/descriptor).
#pragma once

#include <cstdint>
#include <span>

#include "gateway/pool/engine/engine.hh"
#include "gateway/pool/serve/pool_config.hh"
#include "identifiers/descriptor/descriptor.hh"

namespace qanat::pool {

// Gateways ask several times in it; past it, a pool counts as a last resort.
inline constexpr std::uint32_t kDescriptorTtlMs = 2000;

// The static part; of the state, a first generation without engines.
descriptor::Descriptor describe(const PoolConfig& config);

// The same for an adopted server; its models are probed later.
descriptor::Descriptor describe_adopted(const PoolConfig& config);

// One model's sample over its engines, with the predictors that gateways place calls by. They are the Roofline made linear
// around the present load: decode by whichever roof (memory or arithmetic) is the higher one for one sequence more than
// now, stretched as prompts arriving in the last seconds have stretched it (else a pool that always prefills would look
// fast); prefill by what a full step of prompt costs beside the running sequences. Engines side by side look like one that
// is as many times wider. `claimed` < 1 is a lie: load and times are told by that factor.
descriptor::EngineState describe_engines(const Model& model, std::span<const Engine* const> engines,
                                         base::Time now, double claimed = 1);
inline descriptor::EngineState describe_engine(const Model& model, const Engine& engine, base::Time now) {
  const Engine* one[] = {&engine};
  return describe_engines(model, one, now);
}

}  // namespace qanat::pool
