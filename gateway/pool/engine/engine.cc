#include "gateway/pool/engine/engine.hh"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

namespace qanat::pool {
namespace {

[[noreturn]] void broken(const char* what) {
  std::fprintf(stderr, "pool engine: %s\n", what);
  std::abort();
}

}  // namespace

Engine::Engine(const Roofline& roofline, const EngineLimits& limits)
    : roofline_(roofline),
      limits_(limits),
      blocks_total_(roofline.kv_blocks(limits.memory)),
      blocks_free_(blocks_total_) {
  if (blocks_total_ == 0) broken("the model does not fit on these cards");
  if (limits.max_num_seqs == 0 || limits.max_num_batched_tokens < limits.max_num_seqs)
    broken("max_num_batched_tokens must be at least max_num_seqs");
  if (!(limits.time_scale > 0)) broken("time_scale must be positive");
  context_limit_ = blocks_total_ * limits.memory.block_tokens;
  if (limits.context != 0) context_limit_ = std::min<std::uint64_t>(context_limit_, limits.context);
}

Admission Engine::submit(CallId call, std::uint32_t prompt_tokens, std::uint32_t output_tokens,
                         base::Time now) {
  advance(now, false);
  if (prompt_tokens == 0 || output_tokens == 0) return Admission::Empty;
  if (std::uint64_t(prompt_tokens) + output_tokens > context_limit_) return Admission::TooLong;
  if (by_call_.contains(call)) return Admission::Duplicate;
  if (waiting_.size() >= limits_.max_waiting) return Admission::QueueFull;
  Slot slot;
  if (free_slots_.empty()) {
    slot = static_cast<Slot>(slots_.size());
    slots_.push_back({call, prompt_tokens, output_tokens});
  } else {
    slot = free_slots_.back();
    free_slots_.pop_back();
    slots_[slot] = {call, prompt_tokens, output_tokens};
  }
  by_call_.emplace(call, slot);
  // An idle engine starts its next step now; calls of the same instant share it.
  if (!stepping_ && running_.empty() && waiting_.empty()) ready_ = latest_;
  waiting_.push_back(slot);
  ++counters_.submitted;
  return Admission::Accepted;
}

bool Engine::cancel(CallId call, base::Time now) {
  advance(now, false);
  const auto found = by_call_.find(call);
  if (found == by_call_.end()) return false;
  const Slot slot = found->second;
  by_call_.erase(found);
  release(slots_[slot]);
  std::erase(running_, slot);
  std::erase(waiting_, slot);
  free_slots_.push_back(slot);
  std::erase_if(events_, [call](const TokenEvent& event) { return event.call == call; });
  ++counters_.cancelled;
  return true;
}

void Engine::on_timer(base::Time now) { advance(now, true); }

std::optional<TokenEvent> Engine::poll_event() {
  if (events_.empty()) return std::nullopt;
  const TokenEvent event = events_.front();
  events_.pop_front();
  return event;
}

std::optional<base::Time> Engine::next_timeout() const {
  if (stepping_) return step_end_;
  if (running_.empty() && waiting_.empty()) return std::nullopt;
  return ready_;
}

// Runs the steps due by `now`. A step that could start exactly at `now` waits for on_timer, so that all calls
// submitted at one instant share it, whatever their number.
void Engine::advance(base::Time now, bool start_at_now) {
  latest_ = std::max(latest_, now);
  while (true) {
    if (stepping_) {
      if (step_end_ > latest_) return;
      end_step();
    } else {
      if (running_.empty() && waiting_.empty()) return;
      if (start_at_now ? ready_ > latest_ : ready_ >= latest_) return;
      start_step(ready_);
    }
  }
}

void Engine::start_step(base::Time at) {
  StepShape shape, decodes;
  std::uint32_t budget = limits_.max_num_batched_tokens;
  bool preempted = false;
  for (std::size_t i = 0; i < running_.size() && budget > 0; ++i) {
    const Slot slot = running_[i];
    const std::uint32_t tokens = std::min(slots_[slot].known() - slots_[slot].computed, budget);
    bool placed = true;
    while (!grow(slots_[slot], tokens)) {
      preempted = true;
      placed = running_.back() != slot;
      preempt_youngest();
      if (!placed) break;
    }
    if (!placed) break;
    schedule(slots_[slot], tokens, shape, decodes);
    budget -= tokens;
  }
  while (!preempted && budget > 0 && !waiting_.empty() && running_.size() < limits_.max_num_seqs) {
    Sequence& sequence = slots_[waiting_.front()];
    const std::uint32_t tokens = std::min(sequence.known() - sequence.computed, budget);
    if (!grow(sequence, tokens)) break;
    running_.push_back(waiting_.front());
    waiting_.pop_front();
    schedule(sequence, tokens, shape, decodes);
    budget -= tokens;
  }
  if (shape.tokens == 0) broken("a step without work");
  const base::Duration price = scaled(roofline_.price(shape));
  step_end_ = at + price;
  if (decodes.tokens > 0) note_stretch(price, decodes);
  stepping_ = true;
  ++counters_.steps;
}

void Engine::end_step() {
  stepping_ = false;
  ready_ = step_end_;
  std::size_t kept = 0;
  for (std::size_t i = 0; i < running_.size(); ++i) {
    const Slot slot = running_[i];
    Sequence& sequence = slots_[slot];
    bool over = false;
    if (sequence.scheduled > 0) {
      sequence.computed += sequence.scheduled;
      sequence.scheduled = 0;
      if (sequence.computed == sequence.known()) {
        ++sequence.generated;
        ++counters_.generated_tokens;
        over = sequence.generated == sequence.output;
        events_.push_back({sequence.call, sequence.generated, over, step_end_});
      }
    }
    if (over) {
      by_call_.erase(sequence.call);
      release(sequence);
      free_slots_.push_back(slot);
      ++counters_.finished;
    } else {
      running_[kept++] = slot;
    }
  }
  running_.resize(kept);
}

// Blocks for `tokens` more KV entries; false (and nothing taken) when there are too few.
bool Engine::grow(Sequence& sequence, std::uint32_t tokens) {
  const std::uint32_t size = limits_.memory.block_tokens;
  const std::uint32_t needed = (sequence.computed + tokens + size - 1) / size - sequence.blocks;
  if (needed > blocks_free_) return false;
  blocks_free_ -= needed;
  sequence.blocks += needed;
  return true;
}

void Engine::add(const Sequence& sequence, std::uint32_t tokens, StepShape& shape) {
  const std::uint64_t before = sequence.computed, added = tokens;
  shape.tokens += added;
  shape.sequences += 1;
  shape.sampled += before + added == sequence.known() ? 1 : 0;
  shape.context += before + added;
  shape.attended += added * before + added * (added + 1) / 2;
}

void Engine::schedule(Sequence& sequence, std::uint32_t tokens, StepShape& whole, StepShape& decodes) {
  sequence.scheduled = tokens;
  add(sequence, tokens, whole);
  if (sequence.generated > 0 && tokens == 1) add(sequence, tokens, decodes);
  if (sequence.computed < sequence.prompt)
    counters_.prompt_tokens += std::min(tokens, sequence.prompt - sequence.computed);
}

base::Duration Engine::scaled(base::Duration price) const {
  if (limits_.time_scale == 1) return price;
  return base::Duration(std::max<std::int64_t>(1, std::llround(double(price.count()) / limits_.time_scale)));
}

void Engine::note_stretch(base::Duration whole, const StepShape& decodes) {
  const double kept = std::exp(-double((step_end_ - stretch_at_).count()) / double(kStretchWindow.count()));
  whole_seconds_ = whole_seconds_ * kept + double(whole.count()) * 1e-9;
  decode_seconds_ = decode_seconds_ * kept + double(scaled(roofline_.price(decodes)).count()) * 1e-9;
  stretch_at_ = step_end_;
}

double Engine::decode_stretch(base::Time now) const {
  if (running_.empty() || decode_seconds_ <= 0) return 1;
  // What is long past counts for less and less, against a window of undisturbed steps.
  const double fade = std::exp(-double(std::max(base::Duration{0}, now - stretch_at_).count()) /
                               double(kStretchWindow.count()));
  return std::max(1.0, 1 + (whole_seconds_ / decode_seconds_ - 1) * fade);
}

void Engine::preempt_youngest() {
  const Slot slot = running_.back();
  running_.pop_back();
  release(slots_[slot]);
  waiting_.push_front(slot);
  ++counters_.preemptions;
}

void Engine::release(Sequence& sequence) {
  blocks_free_ += sequence.blocks;
  sequence.blocks = 0;
  sequence.computed = 0;
  sequence.scheduled = 0;
}

EngineState Engine::state() const {
  EngineState state;
  state.running = static_cast<std::uint32_t>(running_.size());
  state.waiting = static_cast<std::uint32_t>(waiting_.size());
  state.kv_blocks_total = blocks_total_;
  state.kv_blocks_used = blocks_total_ - blocks_free_;
  for (const Slot slot : waiting_) state.waiting_tokens += slots_[slot].known();
  for (const Slot slot : running_) {
    const Sequence& sequence = slots_[slot];
    state.context_tokens += sequence.computed;
    // A decoding sequence always has exactly one token to compute; more means its prompt is still under way.
    if (const auto left = sequence.known() - sequence.computed; left > 1) state.waiting_tokens += left;
  }
  return state;
}

}  // namespace qanat::pool
