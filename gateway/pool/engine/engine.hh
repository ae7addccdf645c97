// Engine: a continuous-batching inference engine in discrete steps, as vLLM schedules them, in virtual or
// real time. Sans-I/O: calls, faults and instants in, token events with exact instants out. It makes up no
// text; a token is a number here, and a prompt's content is the hashes of its blocks.
//
// One step: (1) every running sequence gets its next token, or the next chunk of its prompt, oldest first;
// (2) what is left of max_num_batched_tokens goes to waiting calls by priority and arrival, after what the
// prefix cache holds of their prompts, cut into chunks; (3) the Roofline prices the step; (4) at its end all
// sequences whose prompt is complete yield a token each. Profiles vary this (profile.hh). When a running
// sequence needs a block and none is free or evictable, the youngest of the lowest priority is preempted: its
// blocks go back, it returns to the head of its queue, and its prompt and output so far are computed again.
//
//   Waiting --blocks, seat, adapter and budget--> Running --last token--> gone
//   Running --no block left--> Waiting (head)     any --cancel, lose--> gone
//
// While nobody arrives, leaves or grows out of memory, steps only lengthen contexts: such runs are priced step
// by step from their sums, not sequence by sequence, with the same instants.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/time.hh"
#include "gateway/pool/engine/adapters.hh"
#include "gateway/pool/engine/kv_cache.hh"
#include "gateway/pool/engine/profile.hh"
#include "gateway/pool/engine/roofline.hh"

namespace qanat::pool {

using CallId = std::uint64_t;                   // chosen by the caller, unique among live calls
inline constexpr std::uint8_t kPriorities = 8;  // 0 is served first
inline constexpr std::uint8_t kNormalPriority = 4;

// Draft tokens per step and how often the model agrees with one. Which are accepted follows from `seed`, the
// call and the position: the same on every run.
struct Speculation {
  std::uint32_t draft_tokens = 0;  // 0: off
  double acceptance = 0.7;         // of each draft token, given that those before it were accepted
  double draft_cost = 0.05;        // time of drafting one token, as a share of the step that checks it
  std::uint64_t seed = 1;
};

struct EngineLimits {
  std::uint32_t max_num_seqs = 256;             // sequences in one step
  std::uint32_t max_num_batched_tokens = 2048;  // new tokens in one step; at least max_num_seqs
  std::uint32_t max_waiting = 1000;             // calls in the queue, beyond which submit says QueueFull
  std::uint32_t context = 0;                    // prompt + output; 0: only the KV blocks bound it
  double time_scale = 1;  // simulated seconds per second: 10 runs ten times faster than the card
  MemoryPlan memory;
  Profile profile;
  Speculation speculation;
  AdapterPlan adapters;
  bool every_token = true;  // false: events only for each call's first and last token (virtual time, faster)
};

// What a caller asks of the engine.
struct Call {
  CallId id = 0;
  std::uint32_t prompt_tokens = 0;  // ≥ 1
  std::uint32_t output_tokens = 0;  // ≥ 1; exactly so many are yielded
  std::uint8_t priority = kNormalPriority;
  AdapterId adapter = kNoAdapter;
  // Content: one chained hash per limits.memory.chunk_tokens tokens of the prompt, and of the output behind it if
  // it is known; may be shorter (the rest is unique to the call). Copied.
  std::span<const BlockHash> blocks{};
  // The prompt's KV entries arrive with the call (computed by another engine): it starts with decoding. Its first
  // token was yielded there: events begin with index 2.
  bool computed_elsewhere = false;
};

enum class Admission : std::uint8_t { Accepted, QueueFull, TooLong, Empty, Duplicate, NoAdapters };

struct TokenEvent {
  CallId call = 0;
  std::uint32_t index = 0;  // 1 for the first output token
  bool last = false;        // the call is over
  base::Time at{};          // when its step ended
};

// A call as the engine knows it: what another engine needs to go on with it.
struct Progress {
  CallId call = 0;
  std::uint32_t prompt_tokens = 0;
  std::uint32_t output_tokens = 0;
  std::uint32_t generated = 0;  // output tokens yielded so far
  std::uint32_t cached = 0;     // prompt tokens that came from the prefix cache when it was first admitted
  bool running = false;         // false: waiting
};

// Shares of what the cards can do that are left to this engine, each in (0, 1]: a throttled or slow card, a
// degraded link, a neighbour on the same card, memory taken by someone else.
struct Health {
  double compute = 1;
  double bandwidth = 1;
  double link = 1;
  double memory = 1;  // of the KV blocks; running sequences are preempted until they fit
};

struct EngineState {
  std::uint32_t running = 0;
  std::uint32_t waiting = 0;
  // Prompt tokens not yet computed, of waiting calls and of prompts under way.
  std::uint64_t waiting_tokens = 0;
  std::uint64_t kv_blocks_used = 0;    // held by sequences
  std::uint64_t kv_blocks_cached = 0;  // held by nobody, content kept for a later prompt
  std::uint64_t kv_blocks_total = 0;
  std::uint64_t context_tokens = 0;  // KV entries held by running sequences
};

struct EngineCounters {
  std::uint64_t steps = 0;
  std::uint64_t submitted = 0;
  std::uint64_t finished = 0;
  std::uint64_t cancelled = 0;
  std::uint64_t lost = 0;
  std::uint64_t preemptions = 0;
  std::uint64_t prompt_tokens = 0;  // computed, recomputation included
  std::uint64_t cached_tokens = 0;  // prompt tokens found in the prefix cache
  std::uint64_t generated_tokens = 0;
  std::uint64_t evicted_blocks = 0;
  std::uint64_t drafted_tokens = 0, accepted_tokens = 0;
  std::uint64_t adapter_loads = 0;
  base::Duration busy{};  // time in steps
};

inline constexpr base::Duration kStretchWindow = std::chrono::seconds(5);

// Not thread-safe. Instants must not go backwards; an earlier one counts as the latest seen.
class Engine {
 public:
  // Aborts unless the model fits on the cards (Roofline::kv_blocks > 0) and the limits hold; configuration is
  // checked before (catalogue.hh).
  Engine(const Roofline& roofline, const EngineLimits& limits);

  Admission submit(const Call& call, base::Time now);
  Admission submit(CallId call, std::uint32_t prompt_tokens, std::uint32_t output_tokens, base::Time now);
  // Forgets the call: no event of it follows, blocks are free at once. False when it is not known (any more).
  bool cancel(CallId call, base::Time now);

  // Ends every step due by `now` and starts the next ones. Late calls change no event's instant.
  void on_timer(base::Time now);
  // The same, but stops after the first step that gives events: for closed loops in virtual time.
  void on_timer_until_event(base::Time now);
  std::optional<TokenEvent> poll_event();
  // When on_timer should be called next; nothing while idle. In virtual time it may be called later.
  std::optional<base::Time> next_timeout() const;

  // --- faults: take effect at the next step's start ---
  void set_health(const Health& health, base::Time now);
  // No step begins before `until` (driver reset, a co-located job has the card). The step under way ends as planned.
  void pause(base::Time until, base::Time now);
  // All memory is gone (card lost, out of memory, driver reset): every call ends here without a further event, the
  // cache is empty. Returns them, oldest first, so that they can go on elsewhere.
  std::vector<Progress> lose(base::Time now);

  std::optional<Progress> progress(CallId call) const;
  std::vector<Progress> calls() const;  // running, oldest first, then waiting in order

  // Tokens of a prompt with these block hashes that the cache holds now. Changes nothing.
  std::uint32_t cached_tokens(std::span<const BlockHash> blocks) const;
  EngineState state() const;
  // How much longer steps with decoding sequences took, over about the last kStretchWindow, than the same steps
  // without the prompt chunks beside them: what arriving prompts cost those who are being answered. 1: nothing; 1
  // when idle.
  double decode_stretch(base::Time now) const;
  const EngineCounters& counters() const { return counters_; }
  const Roofline& roofline() const { return roofline_; }  // as the cards are now, health included
  const EngineLimits& limits() const { return limits_; }
  // Longest prompt + output that can be served.
  std::uint64_t context_limit() const { return context_limit_; }

 private:
  struct Sequence {
    CallId call = 0;
    std::uint32_t prompt = 0, output = 0;  // tokens asked for
    std::uint32_t generated = 0;           // output tokens so far
    std::uint32_t computed = 0;            // tokens whose KV entries exist
    std::uint32_t scheduled = 0;           // new tokens in the step under way
    std::uint32_t drafted = 0;             // of those, unconfirmed
    std::uint32_t published = 0;           // chunks of its content that the cache knows of
    std::uint32_t cached = 0;              // prompt tokens found in the cache at its first admission
    AdapterId adapter = kNoAdapter;
    std::uint8_t priority = kNormalPriority;
    bool elsewhere = false;  // its prompt's KV entries come with it
    bool admitted = false;   // at least once
    KvCache::Holding holding;
    std::vector<BlockHash> blocks;
    std::uint32_t known() const { return prompt + generated; }
    std::uint32_t left() const { return known() - computed; }
  };
  using Slot = std::uint32_t;

  void advance(base::Time now, bool start_at_now, bool until_event);
  bool idle() const { return running_.empty() && waiting_count_ == 0; }
  void start_step(base::Time at);
  void end_step();
  std::uint32_t continue_running(std::uint32_t budget, bool& preempted);
  void admit_waiting(std::uint32_t budget, bool whole_prompts);
  bool admit(Slot slot, std::uint32_t budget, bool whole_prompt);
  void make_way();
  std::uint32_t run_decodes(bool start_at_now, bool until_event);
  void settle_run(std::uint32_t steps, base::Time began);
  std::uint32_t decodes_ahead() const;
  bool nobody_can_join() const;
  StepShape shape_of_step(bool decodes_only) const;
  void yield(Sequence& sequence, base::Time at);
  bool grow(Sequence& sequence, std::uint32_t tokens);
  void publish(Sequence& sequence);
  std::uint32_t accepted(const Sequence& sequence) const;
  base::Duration price(const StepShape& shape) const;
  void note_stretch(base::Duration whole, base::Duration decodes);
  std::size_t victim() const;
  void preempt(std::size_t index);
  void forget(Slot slot);
  Progress progress_of(const Sequence& sequence, bool running) const;

  Roofline sound_, roofline_;  // the cards in full health, and as they are
  EngineLimits limits_;
  KvCache cache_;
  Adapters adapters_;
  std::uint64_t context_limit_;
  std::vector<Sequence> slots_;
  std::vector<Slot> free_slots_;
  std::vector<Slot> running_;  // oldest admission first
  std::array<std::deque<Slot>, kPriorities> waiting_;
  std::size_t waiting_count_ = 0;
  std::unordered_map<CallId, Slot> by_call_;
  bool stepping_ = false;
  bool blocked_ =
      false;  // the last step tried to admit and could not; nothing that could help happened since
  bool starved_ = false;  // nobody runs, and who waits does not fit what memory is left
  base::Time step_end_{}, ready_{}, latest_{};
  // Durations of recent steps with decodes, seconds, fading with kStretchWindow: as they were, and decodes alone.
  double whole_seconds_ = 0, decode_seconds_ = 0;
  base::Time stretch_at_{};
  base::Duration load_delay_{};  // adapters fetched for the step under way
  std::deque<TokenEvent> events_;
  EngineCounters counters_;
};

}  // namespace qanat::pool
