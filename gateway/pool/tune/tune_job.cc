#include "gateway/pool/tune/tune_job.hh"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace qanat::pool {
namespace {

constexpr double kBytesPerGradient = 2,
                 kBytesPerMoment = 12;  // bf16; fp32 master copy and Adam's two moments
constexpr double kLossFloor = 0.9, kLossStart = 2.4, kLossFall = 0.45,
                 kLossScale = 20;   // nats; a chat model's fine-tune
constexpr double kLossNoise = 4.0;  // over the square root of the batch's tokens

// SplitMix64 of (seed, step), as a standard normal.
double noise(std::uint64_t seed, std::uint64_t step) {
  const auto draw = [&](std::uint64_t salt) {
    std::uint64_t z = seed + 0x9e3779b97f4a7c15 * (2 * step + salt + 1);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return (double((z ^ (z >> 31)) >> 11) + 1) * 0x1p-53;
  };
  return std::sqrt(-2 * std::log(draw(0))) * std::cos(2 * std::numbers::pi * draw(1));
}

base::Duration duration(double seconds) {
  return base::Duration(std::max<std::int64_t>(1, std::llround(seconds * 1e9)));
}

}  // namespace

std::uint64_t TunePlan::steps() const {
  return std::max<std::uint64_t>(1, (dataset_tokens * epochs + batch_tokens - 1) / batch_tokens);
}

double TunePlan::trainable() const {
  return lora_rank == 0 ? model.weight_bytes() / model.bytes_per_weight() : model.adapter_weights(lora_rank);
}

double TunePlan::memory_bytes() const {
  // With recomputation, one activation per layer and token of a sequence stays, and one layer's inside.
  const double activations = double(sequence_tokens) * model.hidden * 2 * (model.layers + 34.0);
  return model.weight_bytes() + trainable() * (kBytesPerGradient + kBytesPerMoment) + activations * cards;
}

bool TunePlan::fits() const { return memory_bytes() <= 0.95 * cards * card.memory_bytes(); }

base::Duration TunePlan::step_time() const {
  StepShape forward;
  forward.tokens = batch_tokens;
  forward.sequences = std::max<std::uint64_t>(1, batch_tokens / sequence_tokens);
  forward.sampled = batch_tokens;  // the loss looks at every position
  forward.chunk_context = batch_tokens;
  forward.chunk_pairs = std::uint64_t(batch_tokens) * sequence_tokens / 2;
  const double pass = Roofline(card, cards, model).seconds(forward);
  const double link = card.link_gb_per_s * 1e9 * 0.75;
  const double gradients =
      cards < 2 ? 0 : 2.0 * (cards - 1) / cards * trainable() * kBytesPerGradient / cards / link;
  const double adam = 2 * trainable() * kBytesPerMoment / cards /
                      (card.memory_gb_per_s * 1e9 * card.fit.bandwidth_efficiency);
  return duration(((lora_rank == 0 ? 3 : 2) * pass + gradients + adam) / time_scale);
}

base::Duration TunePlan::checkpoint_time() const {
  const double bytes = trainable() * (model.bytes_per_weight() + kBytesPerMoment);
  return duration(bytes / (disk_gb_per_s * 1e9) / time_scale);
}

double TunePlan::loss(std::uint64_t step) const {
  const double fall = std::pow(1 + double(step) / kLossScale, -kLossFall);
  return kLossFloor + (kLossStart - kLossFloor) * fall +
         kLossNoise / std::sqrt(double(batch_tokens)) * noise(seed, step);
}

std::string_view to_string(TuneState state) {
  static constexpr std::string_view kNames[] = {"queued", "running", "paused", "succeeded", "cancelled"};
  return kNames[static_cast<std::size_t>(state)];
}

void TuneJob::begin_step(base::Time at) {
  writing_ = false;
  begun_ = at;
  due_ = at + duration(std::chrono::duration<double>(plan_.step_time()).count() / share_);
}

void TuneJob::start(base::Time now) {
  if (state_ != TuneState::Queued) return;
  state_ = TuneState::Running;
  note(TuneEvent::Kind::Started, now);
  begin_step(now);
}

void TuneJob::pause(base::Time now) {
  if (state_ != TuneState::Running) return;
  on_timer(now);
  if (state_ != TuneState::Running) return;
  state_ = TuneState::Paused;
  checkpoint_ = step_;
  note(TuneEvent::Kind::Checkpoint, now);
  note(TuneEvent::Kind::Paused, now);
}

void TuneJob::resume(base::Time now) {
  if (state_ != TuneState::Paused) return;
  state_ = TuneState::Running;
  note(TuneEvent::Kind::Resumed, now);
  begin_step(now);
}

void TuneJob::cancel(base::Time now) {
  if (state_ == TuneState::Succeeded || state_ == TuneState::Cancelled) return;
  state_ = TuneState::Cancelled;
  note(TuneEvent::Kind::Cancelled, now);
}

void TuneJob::lose(base::Duration outage, base::Time now) {
  on_timer(now);
  if (state_ != TuneState::Running) return;
  lost_ += step_ - checkpoint_;
  step_ = checkpoint_;
  note(TuneEvent::Kind::Restarted, now);
  // The checkpoint is read again before the next step.
  begin_step(now + outage + plan_.checkpoint_time());
}

void TuneJob::set_share(double share, base::Time now) {
  on_timer(now);
  if (state_ == TuneState::Running && !writing_ && now >= begun_) {
    // What is left of the step under way goes on at the new pace.
    const double left = double((due_ - now).count()) * share_ / share;
    due_ = now + base::Duration(std::max<std::int64_t>(1, std::llround(left)));
  }
  share_ = share;
}

void TuneJob::on_timer(base::Time now) {
  while (state_ == TuneState::Running && due_ <= now) {
    const base::Time at = due_;
    if (writing_) {
      checkpoint_ = step_;
      note(TuneEvent::Kind::Checkpoint, at);
      if (step_ == plan_.steps()) {
        state_ = TuneState::Succeeded;
        note(TuneEvent::Kind::Succeeded, at);
        return;
      }
      begin_step(at);
      continue;
    }
    ++step_;
    note(TuneEvent::Kind::Step, at, plan_.loss(step_));
    if (step_ % plan_.checkpoint_steps == 0 || step_ == plan_.steps()) {
      writing_ = true;
      due_ = at + plan_.checkpoint_time();
    } else {
      begin_step(at);
    }
  }
}

std::optional<base::Time> TuneJob::next_timeout() const {
  if (state_ != TuneState::Running) return std::nullopt;
  return due_;
}

std::optional<TuneEvent> TuneJob::poll_event() {
  if (polled_ == events_.size()) return std::nullopt;
  return events_[polled_++];
}

base::Duration TuneJob::remaining() const {
  const auto left = static_cast<std::int64_t>(plan_.steps() - step_);
  return duration(std::chrono::duration<double>(plan_.step_time()).count() / share_) * left +
         plan_.checkpoint_time() * (left / plan_.checkpoint_steps + 1);
}

}  // namespace qanat::pool
