// Engine: a continuous-batching inference engine in discrete steps, as vLLM schedules them, in virtual or
// real time. Sans-I/O: calls and instants in, token events with exact instants out. It makes up no text; a
// token is a number here.
//
// One step: (1) every running sequence gets its next token, or the next chunk of its prompt, oldest first;
// (2) what is left of max_num_batched_tokens goes to waiting calls in order of arrival, their prompts cut
// into chunks; (3) the Roofline prices the step; (4) at its end all sequences whose prompt is complete yield
// one token each. KV entries live in blocks; when a running sequence needs a block and none is free, the
// youngest running sequence is preempted: its blocks go back, it returns to the head of the queue, and its
// prompt and output so far are computed again.
//
//   Waiting --blocks, seat and budget--> Running --last token--> gone
//   Running --no block left, youngest--> Waiting (head)       any --cancel--> gone
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/time.hh"
#include "gateway/pool/engine/roofline.hh"

namespace qanat::pool {

using CallId = std::uint64_t;  // chosen by the caller, unique among live calls

struct EngineLimits {
  std::uint32_t max_num_seqs = 256;             // sequences in one step
  std::uint32_t max_num_batched_tokens = 2048;  // new tokens in one step; at least max_num_seqs
  std::uint32_t max_waiting = 1000;             // calls in the queue, beyond which submit says QueueFull
  std::uint32_t context = 0;                    // prompt + output; 0: only the KV blocks bound it
  double time_scale = 1;  // simulated seconds per second: 10 runs ten times faster than the card
  MemoryPlan memory;
};

enum class Admission : std::uint8_t { Accepted, QueueFull, TooLong, Empty, Duplicate };

struct TokenEvent {
  CallId call = 0;
  std::uint32_t index = 0;  // 1 for the first output token
  bool last = false;        // the call is over
  base::Time at{};          // when its step ended
};

struct EngineState {
  std::uint32_t running = 0;
  std::uint32_t waiting = 0;
  std::uint64_t waiting_tokens =
      0;  // prompt tokens not yet computed, of waiting calls and of prompts under way
  std::uint64_t kv_blocks_used = 0;
  std::uint64_t kv_blocks_total = 0;
  std::uint64_t context_tokens = 0;  // KV entries held by running sequences
};

struct EngineCounters {
  std::uint64_t steps = 0;
  std::uint64_t submitted = 0;
  std::uint64_t finished = 0;
  std::uint64_t cancelled = 0;
  std::uint64_t preemptions = 0;
  std::uint64_t prompt_tokens = 0;  // computed, recomputation included
  std::uint64_t generated_tokens = 0;
};

inline constexpr base::Duration kStretchWindow = std::chrono::seconds(5);

// Not thread-safe. Instants must not go backwards; an earlier one counts as the latest seen.
class Engine {
 public:
  // Aborts unless the model fits on the cards (Roofline::kv_blocks > 0) and the limits hold; configuration is
  // checked before (catalogue.hh).
  Engine(const Roofline& roofline, const EngineLimits& limits);

  // A call with a prompt of `prompt_tokens` ≥ 1 that yields exactly `output_tokens` ≥ 1 tokens.
  Admission submit(CallId call, std::uint32_t prompt_tokens, std::uint32_t output_tokens, base::Time now);
  // Forgets the call: no event of it follows, blocks are free at once. False when it is not known (any more).
  bool cancel(CallId call, base::Time now);

  // Ends every step due by `now` and starts the next ones. Late calls change no event's instant.
  void on_timer(base::Time now);
  std::optional<TokenEvent> poll_event();
  // When on_timer should be called next; nothing while idle.
  std::optional<base::Time> next_timeout() const;

  EngineState state() const;
  // How much longer steps with decoding sequences took, over about the last kStretchWindow, than the same steps without
  // the prompt chunks beside them: what arriving prompts cost those who are being answered. 1: nothing; 1 when idle.
  double decode_stretch(base::Time now) const;
  const EngineCounters& counters() const { return counters_; }
  const Roofline& roofline() const { return roofline_; }
  // Longest prompt + output that can be served.
  std::uint64_t context_limit() const { return context_limit_; }

 private:
  struct Sequence {
    CallId call;
    std::uint32_t prompt, output;  // tokens asked for
    std::uint32_t generated = 0;   // output tokens so far
    std::uint32_t computed = 0;    // tokens whose KV entries exist
    std::uint32_t blocks = 0;
    std::uint32_t scheduled = 0;  // new tokens in the step under way
    std::uint32_t known() const { return prompt + generated; }
  };
  using Slot = std::uint32_t;

  void advance(base::Time now, bool start_at_now);
  void start_step(base::Time at);
  void end_step();
  bool grow(Sequence& sequence, std::uint32_t tokens);
  static void add(const Sequence& sequence, std::uint32_t tokens, StepShape& shape);
  void schedule(Sequence& sequence, std::uint32_t tokens, StepShape& whole, StepShape& decodes);
  base::Duration scaled(base::Duration price) const;
  void note_stretch(base::Duration whole, const StepShape& decodes);
  void preempt_youngest();
  void release(Sequence& sequence);

  Roofline roofline_;
  EngineLimits limits_;
  std::uint64_t blocks_total_, blocks_free_, context_limit_;
  std::vector<Sequence> slots_;
  std::vector<Slot> free_slots_;
  std::vector<Slot> running_;  // oldest admission first
  std::deque<Slot> waiting_;
  std::unordered_map<CallId, Slot> by_call_;
  bool stepping_ = false;
  base::Time step_end_{}, ready_{}, latest_{};
  // Durations of recent steps with decodes, seconds, fading with kStretchWindow: as they were, and decodes alone.
  double whole_seconds_ = 0, decode_seconds_ = 0;
  base::Time stretch_at_{};
  std::deque<TokenEvent> events_;
  EngineCounters counters_;
};

}  // namespace qanat::pool
