// What a step costs, and what arriving prompts cost those who are being answered.
#include <algorithm>
#include <array>
#include <cmath>

#include "gateway/pool/engine/engine.hh"

namespace qanat::pool {

StepShape Engine::shape_of_step(bool decodes_only) const {
  StepShape shape;
  std::array<AdapterId, 16> seen{};
  for (const Slot slot : running_) {
    const Sequence& sequence = slots_[slot];
    const std::uint64_t tokens = sequence.scheduled, before = sequence.computed;
    if (tokens == 0) continue;
    const bool decode =
        sequence.generated > 0 && tokens == 1 + sequence.drafted && before + 1 == sequence.known();
    if (decodes_only && !decode) continue;
    shape.tokens += tokens;
    ++shape.sequences;
    if (before + tokens >= sequence.known()) shape.sampled += 1 + sequence.drafted;
    if (decode && sequence.drafted == 0) {
      shape.context += before + 1;
    } else {
      shape.chunk_context += before + tokens;
      shape.chunk_pairs += tokens * before + tokens * (tokens + 1) / 2;
    }
    if (sequence.adapter != kNoAdapter) {
      shape.adapted_tokens += tokens;
      auto& place = seen[sequence.adapter % seen.size()];
      if (place != sequence.adapter) {
        place = sequence.adapter;
        ++shape.adapters;
      }
    }
  }
  return shape;
}

base::Duration Engine::price(const StepShape& shape) const {
  double seconds = roofline_.seconds(shape);
  const Speculation& speculation = limits_.speculation;
  seconds *= 1 + speculation.draft_tokens * speculation.draft_cost;
  return Roofline::to_duration(seconds / limits_.time_scale);
}

void Engine::note_stretch(base::Duration whole, base::Duration decodes) {
  const double kept = std::exp(-double((step_end_ - stretch_at_).count()) / double(kStretchWindow.count()));
  whole_seconds_ = whole_seconds_ * kept + double(whole.count()) * 1e-9;
  decode_seconds_ = decode_seconds_ * kept + double(decodes.count()) * 1e-9;
  stretch_at_ = step_end_;
}

double Engine::decode_stretch(base::Time now) const {
  if (running_.empty() || decode_seconds_ <= 0) return 1;
  // What is long past counts for less and less, against a window of undisturbed steps.
  const double fade = std::exp(-double(std::max(base::Duration{0}, now - stretch_at_).count()) /
                               double(kStretchWindow.count()));
  return std::max(1.0, 1 + (whole_seconds_ / decode_seconds_ - 1) * fade);
}

}  // namespace qanat::pool
