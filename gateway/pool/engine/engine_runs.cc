// Runs of steps in which every running sequence decodes one token and nobody can join: priced from sums.
#include <algorithm>
#include <cmath>

#include "gateway/pool/engine/engine.hh"

namespace qanat::pool {

// May no waiting call be admitted while only decodes happen? Then nothing about the queue changes from step to step.
bool Engine::nobody_can_join() const {
  if (waiting_count_ == 0) return true;
  if (limits_.profile.priority_preempts) return false;
  if (running_.size() >= limits_.max_num_seqs) return true;
  // Blocks only get fewer while everybody decodes; but content that is published could shorten a waiting prompt.
  return blocked_ && std::ranges::all_of(running_, [this](Slot slot) {
           return slots_[slot].published >= slots_[slot].blocks.size();
         });
}

// Steps that can follow each other with the same sequences; 0 when the next one is not such a step.
std::uint32_t Engine::decodes_ahead() const {
  if (running_.empty() || limits_.speculation.draft_tokens > 0 || cache_.overdrawn() || !nobody_can_join())
    return 0;
  if (running_.size() > limits_.max_num_batched_tokens) return 0;
  std::uint32_t steps = ~0u;
  for (const Slot slot : running_) {
    const Sequence& sequence = slots_[slot];
    if (sequence.generated == 0 || sequence.left() != 1) return 0;
    steps = std::min(steps, sequence.output - sequence.generated);
  }
  // Each sequence crosses into at most steps / block + 1 new blocks.
  const std::uint64_t each = cache_.available() / running_.size();
  if (each < 2) return 0;
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(steps, (each - 1) * limits_.memory.block_tokens));
}

// Runs as many of those steps as end by latest_; how many. The step that would end later is left to start_step.
std::uint32_t Engine::run_decodes(bool start_at_now, bool until_event) {
  std::uint32_t most = decodes_ahead();
  if (most == 0) return 0;
  if (until_event && limits_.every_token) most = 1;
  for (const Slot slot : running_) slots_[slot].scheduled = 1;
  StepShape shape = shape_of_step(false);
  for (const Slot slot : running_) slots_[slot].scheduled = 0;
  const base::Time began = ready_;
  std::uint32_t steps = 0;
  while (steps < most && (start_at_now ? ready_ <= latest_ : ready_ < latest_)) {
    const base::Time end = ready_ + price(shape);
    if (end > latest_) break;
    ready_ = end;
    ++steps;
    shape.context += shape.sequences;
    if (!limits_.every_token) continue;
    for (const Slot slot : running_) {
      const Sequence& sequence = slots_[slot];
      const std::uint32_t index = sequence.generated + steps;
      events_.push_back({sequence.call, index, index == sequence.output, end});
    }
  }
  if (steps > 0) settle_run(steps, began);
  return steps;
}

// What `steps` calls of end_step would have done to the sequences.
void Engine::settle_run(std::uint32_t steps, base::Time began) {
  const std::uint64_t size = limits_.memory.block_tokens;
  std::size_t kept = 0;
  counters_.steps += steps;
  counters_.generated_tokens += std::uint64_t(steps) * running_.size();
  counters_.busy += ready_ - began;
  for (const Slot slot : running_) {
    Sequence& sequence = slots_[slot];
    sequence.computed += steps;
    sequence.generated += steps;
    const std::uint64_t needed = (sequence.computed + size - 1) / size,
                        held = cache_.blocks_of(sequence.holding);
    if (needed > held) cache_.grow(sequence.holding, needed - held);
    publish(sequence);
    if (sequence.generated < sequence.output) {
      running_[kept++] = slot;
      continue;
    }
    if (!limits_.every_token) events_.push_back({sequence.call, sequence.output, true, ready_});
    ++counters_.finished;
    forget(slot);
  }
  running_.resize(kept);
  counters_.evicted_blocks = cache_.evicted();
  step_end_ = ready_;
  note_stretch(ready_ - began, ready_ - began);
}

}  // namespace qanat::pool
