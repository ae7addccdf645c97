#include "gateway/pool/plan/requirement.hh"

#include <algorithm>
#include <vector>

#include "gateway/pool/engine/engine.hh"

namespace qanat::pool {
namespace {

constexpr std::uint32_t kRounds = 3;      // requests of each stream, one after the other
constexpr std::uint32_t kMaxSeqs = 1024;  // the engine's own bound is not what is asked about

}  // namespace

Prediction predict(const Card& card, std::uint32_t cards, const Model& model, const Profile& profile,
                   const Requirement& requirement, std::uint32_t streams) {
  Prediction prediction;
  const Roofline roofline(card, cards, model);
  EngineLimits limits;
  limits.max_num_seqs = std::max(limits.max_num_seqs, std::min(streams, kMaxSeqs));
  limits.max_num_batched_tokens = std::max(limits.max_num_batched_tokens, limits.max_num_seqs);
  limits.max_waiting = std::max<std::uint32_t>(limits.max_waiting, streams);
  limits.context = model.context;
  limits.profile = profile;
  limits.every_token = false;
  const std::uint64_t tokens = std::uint64_t(requirement.input) + requirement.output;
  if (tokens > model.context || roofline.kv_blocks(limits.memory) * limits.memory.block_tokens < tokens)
    return prediction;
  prediction.fits = true;

  Engine engine(roofline, limits);
  struct Stream {
    base::Time sent{}, first{};
    std::uint32_t left = kRounds;
  };
  std::vector<Stream> all(streams);
  const auto send = [&](std::uint32_t stream, base::Time now) {
    all[stream].sent = now;
    --all[stream].left;
    engine.submit(stream, requirement.input, requirement.output, now);
  };
  for (std::uint32_t i = 0; i < streams; ++i) send(i, base::Time{});
  double ttft = 0, tpot = 0, requests = 0;
  base::Time now{};
  while (const auto next = engine.next_timeout()) {
    now = *next;
    engine.on_timer_until_event(now);
    while (const auto event = engine.poll_event()) {
      Stream& stream = all[static_cast<std::size_t>(event->call)];
      now = event->at;
      if (event->index == 1) stream.first = event->at;
      if (!event->last) continue;
      ttft += std::chrono::duration<double>(stream.first - stream.sent).count();
      if (requirement.output > 1)
        tpot += std::chrono::duration<double>(event->at - stream.first).count() / (requirement.output - 1);
      prediction.stream_tokens_per_s +=
          requirement.output / std::chrono::duration<double>(event->at - stream.sent).count();
      ++requests;
      if (stream.left > 0) send(static_cast<std::uint32_t>(event->call), event->at);
    }
    const EngineState state = engine.state();
    prediction.kv_peak =
        std::max(prediction.kv_peak, double(state.kv_blocks_used) / double(state.kv_blocks_total));
  }
  prediction.stream_tokens_per_s /= requests;
  prediction.ttft_s = ttft / requests;
  prediction.tpot_s = tpot / requests;
  prediction.tokens_per_s =
      requests * requirement.output / std::chrono::duration<double>(now - base::Time{}).count();
  return prediction;
}

namespace {

// The largest n in 1 … limit that passes, if passing is lost once and for all; 0: not even 1.
template <class Passes>
std::uint32_t largest(std::uint32_t limit, const Passes& passes) {
  if (limit == 0 || !passes(1)) return 0;
  if (passes(limit)) return limit;
  std::uint32_t good = 1, bad = limit;
  while (bad - good > 1) {
    const std::uint32_t middle = good + (bad - good) / 2;
    (passes(middle) ? good : bad) = middle;
  }
  return good;
}

}  // namespace

std::uint32_t capacity(const Card& card, std::uint32_t cards, const Model& model, const Profile& profile,
                       const Requirement& requirement, std::uint32_t limit) {
  return largest(limit, [&](std::uint32_t streams) {
    return predict(card, cards, model, profile, requirement, streams).holds(requirement);
  });
}

std::uint32_t capacity_at_rate(const Card& card, std::uint32_t cards, const Model& model,
                               const Profile& profile, const Requirement& shape, double tokens_per_s,
                               std::uint32_t limit) {
  return largest(limit, [&](std::uint32_t streams) {
    const Prediction p = predict(card, cards, model, profile, shape, streams);
    return p.fits && p.stream_tokens_per_s >= tokens_per_s;
  });
}

}  // namespace qanat::pool
