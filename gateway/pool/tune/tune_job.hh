// TuneJob: one fine-tuning job: steps priced by the same roofline as inference, a loss that falls as such losses do,
// checkpoints, and what a lost card costs: the steps since the last of them. Sans-I/O.
//
//   state \ event  start      step due             pause    resume    lose                     cancel
//   Queued         Running    –                    –        –         –                        Cancelled
//   Running        –          next step, or        Paused   –         Running from the last    Cancelled
//                             Succeeded                               checkpoint, after outage
//   Paused         –          –                    –        Running   –                        Cancelled
// A pause writes a checkpoint first, so that it costs nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/time.hh"
#include "gateway/pool/engine/roofline.hh"

namespace qanat::pool {

struct TunePlan {
  Model model;
  Card card;
  std::uint32_t cards = 1;
  std::uint32_t lora_rank = 16;  // 0: all weights
  std::uint64_t dataset_tokens = 1'000'000;
  std::uint32_t epochs = 1;
  std::uint32_t batch_tokens = 16'384;  // one optimiser step
  std::uint32_t sequence_tokens = 2048;
  std::uint32_t checkpoint_steps = 50;
  double disk_gb_per_s = 6;
  std::uint64_t seed = 1;
  double time_scale = 1;

  std::uint64_t steps() const;
  double trainable() const;  // weights
  // Weights, gradients, optimiser state and activations in the cards' memory, bytes.
  double memory_bytes() const;
  bool fits() const;
  // One step alone on the cards. Forward and backward are 3 forwards' work, 2 where the weights stand still; gradients
  // are all-reduced, Adam reads and writes its moments.
  base::Duration step_time() const;
  base::Duration checkpoint_time() const;
  // Of one step, deterministic in (seed, step): a power law down to a floor, with a batch's noise.
  double loss(std::uint64_t step) const;
};

enum class TuneState : std::uint8_t { Queued, Running, Paused, Succeeded, Cancelled };
std::string_view to_string(TuneState state);  // in OpenAI's words

struct TuneEvent {
  enum class Kind : std::uint8_t {
    Started,
    Step,
    Checkpoint,
    Paused,
    Resumed,
    Restarted,
    Succeeded,
    Cancelled
  };
  Kind kind{};
  std::uint64_t step = 0;  // completed so far
  base::Time at{};
  double loss = 0;  // of Step
};

class TuneJob {
 public:
  // `done`: steps that a checkpoint brings along from elsewhere.
  explicit TuneJob(const TunePlan& plan, std::uint64_t done = 0)
      : plan_(plan), step_(done), checkpoint_(done) {}

  void start(base::Time now);
  void pause(base::Time now);
  void resume(base::Time now);
  void cancel(base::Time now);
  // The cards' memory is gone; they are back after `outage`.
  void lose(base::Duration outage, base::Time now);
  // The share of the cards' time that is left to it from the present step on, (0, 1].
  void set_share(double share, base::Time now);
  void on_timer(base::Time now);
  std::optional<base::Time> next_timeout() const;
  std::optional<TuneEvent> poll_event();

  TuneState state() const { return state_; }
  const TunePlan& plan() const { return plan_; }
  std::uint64_t step() const { return step_; }
  std::uint64_t last_checkpoint() const { return checkpoint_; }
  std::uint64_t steps_lost() const { return lost_; }
  // As things stand.
  base::Duration remaining() const;

 private:
  void begin_step(base::Time at);
  void note(TuneEvent::Kind kind, base::Time at, double loss = 0) {
    events_.push_back({kind, step_, at, loss});
  }

  TunePlan plan_;
  TuneState state_ = TuneState::Queued;
  std::uint64_t step_ = 0, checkpoint_ = 0, lost_ = 0;
  double share_ = 1;
  base::Time due_{}, begun_{};
  bool writing_ = false;  // a checkpoint, rather than a step
  std::vector<TuneEvent> events_;
  std::size_t polled_ = 0;
};

}  // namespace qanat::pool
