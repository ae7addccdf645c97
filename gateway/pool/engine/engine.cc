#include "gateway/pool/engine/engine.hh"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace qanat::pool {
namespace {

[[noreturn]] void broken(const char* what) {
  std::fprintf(stderr, "pool engine: %s\n", what);
  std::abort();
}

Roofline with_profile(const Roofline& roofline, const EngineLimits& limits) {
  const Roofline hosted = roofline.scaled(1, 1, 1, limits.profile.host_factor);
  return limits.adapters.places > 0 ? hosted.with_adapters(limits.adapters.rank) : hosted;
}

std::uint64_t blocks_beside_adapters(const Roofline& roofline, const EngineLimits& limits) {
  const std::uint64_t blocks = roofline.kv_blocks(limits.memory);
  const double block_bytes = roofline.kv_bytes_per_token() * limits.memory.block_tokens;
  const double taken = roofline.adapter_bytes() * limits.adapters.places / block_bytes;
  return double(blocks) > taken ? blocks - static_cast<std::uint64_t>(std::ceil(taken)) : 0;
}

// Uniform in [0, 1), the same for the same inputs (splitmix64's finaliser).
double draw(std::uint64_t seed, std::uint64_t call, std::uint64_t position) {
  std::uint64_t x = seed ^ (call * 0x9e3779b97f4a7c15ULL) ^ (position * 0xd1342543de82ef95ULL);
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return double((x ^ (x >> 31)) >> 11) * 0x1p-53;
}

}  // namespace

Engine::Engine(const Roofline& roofline, const EngineLimits& limits)
    : sound_(with_profile(roofline, limits)),
      roofline_(sound_),
      limits_(limits),
      cache_(blocks_beside_adapters(sound_, limits), limits.memory.chunk_tokens / limits.memory.block_tokens,
             limits.profile.prefix_cache),
      adapters_(limits.adapters.places),
      context_limit_(cache_.total() * limits.memory.block_tokens) {
  if (cache_.total() == 0) broken("the model does not fit on these cards");
  if (limits.max_num_seqs == 0 || limits.max_num_batched_tokens < limits.max_num_seqs)
    broken("max_num_batched_tokens must be at least max_num_seqs");
  if (limits.memory.block_tokens == 0 || limits.memory.chunk_tokens == 0 ||
      limits.memory.chunk_tokens % limits.memory.block_tokens != 0)
    broken("chunk_tokens must be a multiple of block_tokens");
  if (!(limits.time_scale > 0)) broken("time_scale must be positive");
  if (limits.context != 0) context_limit_ = std::min<std::uint64_t>(context_limit_, limits.context);
}

Admission Engine::submit(CallId call, std::uint32_t prompt_tokens, std::uint32_t output_tokens,
                         base::Time now) {
  Call plain;
  plain.id = call;
  plain.prompt_tokens = prompt_tokens;
  plain.output_tokens = output_tokens;
  return submit(plain, now);
}

Admission Engine::submit(const Call& call, base::Time now) {
  advance(now, false, false);
  const std::uint32_t yielded_before = call.computed_elsewhere ? 1 : 0;
  if (call.prompt_tokens == 0 || call.output_tokens <= yielded_before) return Admission::Empty;
  if (call.adapter != kNoAdapter && limits_.adapters.places == 0) return Admission::NoAdapters;
  if (std::uint64_t(call.prompt_tokens) + call.output_tokens > context_limit_) return Admission::TooLong;
  if (by_call_.contains(call.id)) return Admission::Duplicate;
  if (waiting_count_ >= limits_.max_waiting) return Admission::QueueFull;
  Slot slot;
  if (free_slots_.empty()) {
    slot = static_cast<Slot>(slots_.size());
    slots_.emplace_back();
  } else {
    slot = free_slots_.back();
    free_slots_.pop_back();
  }
  Sequence& sequence = slots_[slot];
  sequence.call = call.id;
  sequence.prompt = call.prompt_tokens;
  sequence.output = call.output_tokens;
  sequence.generated = yielded_before;
  sequence.computed = sequence.scheduled = sequence.drafted = sequence.published = sequence.cached = 0;
  sequence.adapter = call.adapter;
  sequence.priority = std::min<std::uint8_t>(call.priority, kPriorities - 1);
  sequence.elsewhere = call.computed_elsewhere;
  sequence.admitted = false;
  const std::size_t chunks = (call.prompt_tokens + call.output_tokens) / limits_.memory.chunk_tokens;
  const auto content = call.blocks.first(std::min(call.blocks.size(), chunks));
  sequence.blocks.assign(content.begin(), content.end());
  by_call_.emplace(call.id, slot);
  // An idle engine starts its next step now; calls of the same instant share it.
  if (!stepping_ && idle()) ready_ = std::max(ready_, latest_);
  auto& queue = waiting_[sequence.priority];
  if (queue.empty()) blocked_ = false;
  queue.push_back(slot);
  starved_ = false;
  ++waiting_count_;
  ++counters_.submitted;
  return Admission::Accepted;
}

bool Engine::cancel(CallId call, base::Time now) {
  advance(now, false, false);
  const auto found = by_call_.find(call);
  if (found == by_call_.end()) return false;
  const Slot slot = found->second;
  if (std::erase(running_, slot) == 0) {
    std::erase(waiting_[slots_[slot].priority], slot);
    --waiting_count_;
  }
  forget(slot);
  std::erase_if(events_, [call](const TokenEvent& event) { return event.call == call; });
  ++counters_.cancelled;
  return true;
}

void Engine::on_timer(base::Time now) { advance(now, true, false); }
void Engine::on_timer_until_event(base::Time now) { advance(now, true, true); }

std::optional<TokenEvent> Engine::poll_event() {
  if (events_.empty()) return std::nullopt;
  const TokenEvent event = events_.front();
  events_.pop_front();
  return event;
}

std::optional<base::Time> Engine::next_timeout() const {
  if (stepping_) return step_end_;
  if (idle() || starved_) return std::nullopt;
  return ready_;
}

// Runs the steps due by `now`. A step that could start exactly at `now` waits for on_timer, so that all calls
// submitted at one instant share it, whatever their number.
void Engine::advance(base::Time now, bool start_at_now, bool until_event) {
  latest_ = std::max(latest_, now);
  while (true) {
    if (stepping_) {
      if (step_end_ > latest_) return;
      end_step();
    } else {
      if (idle() || starved_) return;
      if (start_at_now ? ready_ > latest_ : ready_ >= latest_) return;
      if (run_decodes(start_at_now, until_event) == 0) start_step(ready_);
    }
    if (until_event && !events_.empty()) return;
  }
}

void Engine::start_step(base::Time at) {
  load_delay_ = {};
  std::uint32_t budget = limits_.max_num_batched_tokens;
  bool preempted = false;
  if (limits_.profile.priority_preempts) make_way();
  if (limits_.profile.prefill_first) {
    admit_waiting(budget, true);
    const bool prompts =
        std::ranges::any_of(running_, [this](Slot slot) { return slots_[slot].scheduled > 0; });
    if (!prompts) continue_running(budget, preempted);
  } else {
    budget = continue_running(budget, preempted);
    if (!preempted) admit_waiting(budget, !limits_.profile.chunked_prefill);
  }
  const StepShape shape = shape_of_step(false);
  if (shape.tokens == 0) {  // whoever waits needs more memory than is left
    starved_ = true;
    return;
  }
  const base::Duration whole = price(shape) + load_delay_;
  step_end_ = at + whole;
  const StepShape decodes = shape_of_step(true);
  if (decodes.tokens > 0) note_stretch(whole, decodes.tokens == shape.tokens ? whole : price(decodes));
  stepping_ = true;
  counters_.busy += whole;
  ++counters_.steps;
}

// The next token, or chunk, of every running sequence; what is left of the budget.
std::uint32_t Engine::continue_running(std::uint32_t budget, bool& preempted) {
  for (std::size_t i = 0; i < running_.size() && budget > 0; ++i) {
    const Slot slot = running_[i];
    Sequence& sequence = slots_[slot];
    std::uint32_t tokens = std::min(sequence.left(), budget), drafted = 0;
    if (sequence.generated > 0 && tokens == 1 && limits_.speculation.draft_tokens > 0) {
      drafted =
          std::min({limits_.speculation.draft_tokens, sequence.output - sequence.generated - 1, budget - 1});
      tokens += drafted;
    }
    bool placed = true;
    while (placed && !grow(sequence, tokens)) {
      const std::size_t index = victim();
      budget += slots_[running_[index]].scheduled;
      placed = running_[index] != slot;
      if (index < i) --i;
      preempt(index);
      preempted = true;
    }
    if (!placed) break;
    sequence.scheduled = tokens;
    sequence.drafted = drafted;
    budget -= tokens;
  }
  return budget;
}

void Engine::admit_waiting(std::uint32_t budget, bool whole_prompts) {
  blocked_ = false;
  const std::uint32_t full = budget;
  for (auto& queue : waiting_) {
    while (!queue.empty() && budget > 0) {
      const Slot slot = queue.front();
      // A whole prompt longer than any budget has a step to itself.
      const std::uint32_t room = whole_prompts && budget == full ? context_limit_ : budget;
      if (running_.size() >= limits_.max_num_seqs || !admit(slot, room, whole_prompts)) {
        blocked_ = budget == full;
        return;
      }
      queue.pop_front();
      --waiting_count_;
      budget -= std::min(budget, slots_[slot].scheduled);
    }
  }
}

// Seat and blocks for a waiting call that is more urgent than somebody who runs.
void Engine::make_way() {
  const auto queue = std::ranges::find_if(waiting_, [](const auto& q) { return !q.empty(); });
  if (queue == waiting_.end()) return;
  const Sequence& head = slots_[queue->front()];
  const std::uint64_t first = std::min(head.known(), limits_.max_num_batched_tokens);
  const std::uint64_t blocks = first / limits_.memory.block_tokens + 1;
  while (!running_.empty() && (running_.size() >= limits_.max_num_seqs || cache_.available() < blocks)) {
    const std::size_t index = victim();
    if (slots_[running_[index]].priority <= head.priority) return;
    preempt(index);
  }
}

// Gives a waiting call its seat, blocks and first chunk; false, and nothing changed, when it has to wait on.
bool Engine::admit(Slot slot, std::uint32_t budget, bool whole_prompt) {
  Sequence& sequence = slots_[slot];
  const MemoryPlan& memory = limits_.memory;
  std::uint32_t hits = 0, here = 0;
  if (sequence.elsewhere && !sequence.admitted) {
    here = sequence.prompt;
  } else {
    // The last known token is always computed: its output is what the call waits for.
    const std::uint32_t most = (sequence.known() - 1) / memory.chunk_tokens;
    const std::span<const BlockHash> content(sequence.blocks);
    hits = cache_.lookup(content.first(std::min<std::size_t>(content.size(), most)));
    here = hits * memory.chunk_tokens;
  }
  const std::uint32_t wanted = sequence.known() - here;
  if (whole_prompt && wanted > budget) return false;
  const std::uint32_t tokens = std::min(wanted, budget);
  const std::uint64_t blocks = (std::uint64_t(here) + tokens + memory.block_tokens - 1) / memory.block_tokens;
  const std::uint64_t shared = std::uint64_t(hits) * (memory.chunk_tokens / memory.block_tokens);
  if (sequence.adapter != kNoAdapter) {
    const auto residency = adapters_.acquire(sequence.adapter);
    if (residency == Adapters::Residency::NoPlace) return false;
    if (!cache_.take(sequence.holding, sequence.blocks, hits, blocks - shared)) {
      adapters_.release(sequence.adapter);
      return false;
    }
    if (residency == Adapters::Residency::Fetched) {
      load_delay_ += Roofline::to_duration(roofline_.adapter_bytes() /
                                           (limits_.adapters.host_gb_per_s * 1e9) / limits_.time_scale);
      ++counters_.adapter_loads;
    }
  } else if (!cache_.take(sequence.holding, sequence.blocks, hits, blocks - shared)) {
    return false;
  }
  if (!sequence.admitted) sequence.cached = std::min(here, sequence.prompt);
  if (hits > 0) counters_.cached_tokens += std::min(here, sequence.prompt);
  sequence.admitted = true;
  sequence.computed = here;
  sequence.published = hits;
  sequence.scheduled = tokens;
  sequence.drafted = 0;
  running_.push_back(slot);
  return true;
}

void Engine::end_step() {
  stepping_ = false;
  ready_ = std::max(ready_, step_end_);
  std::size_t kept = 0;
  for (std::size_t i = 0; i < running_.size(); ++i) {
    const Slot slot = running_[i];
    Sequence& sequence = slots_[slot];
    const std::uint32_t scheduled = std::exchange(sequence.scheduled, 0);
    bool over = false;
    if (scheduled > 0) {
      const std::uint32_t agreed = sequence.drafted > 0 ? accepted(sequence) : 0;
      if (sequence.computed < sequence.prompt)
        counters_.prompt_tokens += std::min(scheduled, sequence.prompt - sequence.computed);
      sequence.computed += scheduled - sequence.drafted + agreed;
      counters_.drafted_tokens += std::exchange(sequence.drafted, 0);
      counters_.accepted_tokens += agreed;
      if (sequence.computed >= sequence.known()) {
        for (std::uint32_t token = 0; token <= agreed; ++token) yield(sequence, step_end_);
        over = sequence.generated == sequence.output;
      }
      publish(sequence);
    }
    if (over) {
      ++counters_.finished;
      forget(slot);
    } else {
      running_[kept++] = slot;
    }
  }
  running_.resize(kept);
  counters_.evicted_blocks = cache_.evicted();
}

void Engine::yield(Sequence& sequence, base::Time at) {
  ++sequence.generated;
  ++counters_.generated_tokens;
  const bool last = sequence.generated == sequence.output;
  if (limits_.every_token || last || sequence.generated == 1)
    events_.push_back({sequence.call, sequence.generated, last, at});
}

// How many of the drafted tokens the model agrees with: up to the first it does not.
std::uint32_t Engine::accepted(const Sequence& sequence) const {
  std::uint32_t agreed = 0;
  while (agreed < sequence.drafted && draw(limits_.speculation.seed, sequence.call,
                                           sequence.generated + agreed) < limits_.speculation.acceptance)
    ++agreed;
  return agreed;
}

// Blocks for `tokens` more KV entries; false (and nothing taken) when there are too few.
bool Engine::grow(Sequence& sequence, std::uint32_t tokens) {
  if (cache_.overdrawn()) return false;
  const std::uint64_t size = limits_.memory.block_tokens;
  const std::uint64_t needed = (std::uint64_t(sequence.computed) + tokens + size - 1) / size;
  const std::uint64_t held = cache_.blocks_of(sequence.holding);
  return needed <= held || cache_.grow(sequence.holding, needed - held);
}

// Tells the cache of every chunk of known content that is complete now.
void Engine::publish(Sequence& sequence) {
  while (sequence.published < sequence.blocks.size() &&
         std::uint64_t(sequence.published + 1) * limits_.memory.chunk_tokens <= sequence.computed)
    cache_.publish(sequence.holding, sequence.blocks[sequence.published++]);
}

// The youngest running sequence of the lowest priority.
std::size_t Engine::victim() const {
  std::size_t index = running_.size() - 1;
  for (std::size_t i = index; i-- > 0;)
    if (slots_[running_[i]].priority > slots_[running_[index]].priority) index = i;
  return index;
}

void Engine::preempt(std::size_t index) {
  const Slot slot = running_[index];
  running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(index));
  Sequence& sequence = slots_[slot];
  cache_.release(sequence.holding);
  if (sequence.adapter != kNoAdapter) adapters_.release(sequence.adapter);
  sequence.computed = sequence.scheduled = sequence.drafted = sequence.published = 0;
  waiting_[sequence.priority].push_front(slot);
  ++waiting_count_;
  ++counters_.preemptions;
  blocked_ = false;
}

// The call leaves the engine: its slot, blocks and adapter are free. It stands in no list any more.
void Engine::forget(Slot slot) {
  Sequence& sequence = slots_[slot];
  by_call_.erase(sequence.call);
  const bool held_adapter = sequence.adapter != kNoAdapter && cache_.blocks_of(sequence.holding) > 0;
  cache_.release(sequence.holding);
  if (held_adapter) adapters_.release(sequence.adapter);
  free_slots_.push_back(slot);
  blocked_ = starved_ = false;
}

}  // namespace qanat::pool
