// What goes wrong with cards under an engine, and what the engine tells about its calls.
#include <algorithm>
#include <cmath>

#include "gateway/pool/engine/engine.hh"

namespace qanat::pool {

void Engine::set_health(const Health& health, base::Time now) {
  advance(now, false, false);
  roofline_ = sound_.scaled(health.compute, health.bandwidth, health.link, 1);
  const double usable = std::floor(double(cache_.total()) * health.memory);
  cache_.set_reserved(cache_.total() - static_cast<std::uint64_t>(usable));
  blocked_ = starved_ = false;
}

void Engine::pause(base::Time until, base::Time now) {
  advance(now, false, false);
  ready_ = std::max(ready_, until);
}

std::vector<Progress> Engine::lose(base::Time now) {
  advance(now, false, false);
  std::vector<Progress> lost = calls();
  for (Slot slot = 0; slot < slots_.size(); ++slot) {
    slots_[slot].holding = {};
    slots_[slot].scheduled = 0;
  }
  running_.clear();
  for (auto& queue : waiting_) queue.clear();
  waiting_count_ = 0;
  by_call_.clear();
  free_slots_.clear();
  slots_.clear();
  cache_.clear();
  adapters_.clear();
  stepping_ = blocked_ = starved_ = false;
  counters_.lost += lost.size();
  return lost;
}

Progress Engine::progress_of(const Sequence& sequence, bool running) const {
  Progress progress;
  progress.call = sequence.call;
  progress.prompt_tokens = sequence.prompt;
  progress.output_tokens = sequence.output;
  progress.generated = sequence.generated;
  progress.cached = sequence.cached;
  progress.running = running;
  return progress;
}

std::optional<Progress> Engine::progress(CallId call) const {
  const auto found = by_call_.find(call);
  if (found == by_call_.end()) return std::nullopt;
  return progress_of(slots_[found->second], std::ranges::find(running_, found->second) != running_.end());
}

std::vector<Progress> Engine::calls() const {
  std::vector<Progress> all;
  all.reserve(running_.size() + waiting_count_);
  for (const Slot slot : running_) all.push_back(progress_of(slots_[slot], true));
  for (const auto& queue : waiting_)
    for (const Slot slot : queue) all.push_back(progress_of(slots_[slot], false));
  return all;
}

std::uint32_t Engine::cached_tokens(std::span<const BlockHash> blocks) const {
  return cache_.lookup(blocks) * limits_.memory.chunk_tokens;
}

EngineState Engine::state() const {
  EngineState state;
  state.running = static_cast<std::uint32_t>(running_.size());
  state.waiting = static_cast<std::uint32_t>(waiting_count_);
  state.kv_blocks_total = cache_.total();
  state.kv_blocks_used = cache_.held();
  state.kv_blocks_cached = cache_.cached();
  for (const auto& queue : waiting_)
    for (const Slot slot : queue)
      state.waiting_tokens += slots_[slot].elsewhere && !slots_[slot].admitted ? 1 : slots_[slot].left();
  for (const Slot slot : running_) {
    const Sequence& sequence = slots_[slot];
    state.context_tokens += sequence.computed;
    // A decoding sequence always has exactly one token to compute; more means its prompt is still under way.
    if (const auto left = sequence.left(); left > 1) state.waiting_tokens += left;
  }
  return state;
}

}  // namespace qanat::pool
