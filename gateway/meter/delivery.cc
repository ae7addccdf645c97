#include "gateway/meter/delivery.hh"

#include <algorithm>

namespace qanat::meter {

void Delivery::offer(std::size_t bytes, std::uint64_t tokens) {
  offered_bytes_ += bytes;
  frames_.push_back({offered_bytes_, std::max(tokens, offered())});
}

std::uint64_t Delivery::accept(std::size_t bytes) {
  accepted_bytes_ += bytes;
  while (next_ < frames_.size() && frames_[next_].end <= accepted_bytes_) {
    delivered_ = frames_[next_++].tokens;
    started_ = true;
  }
  if (next_ == frames_.size()) {
    frames_.clear();
    next_ = 0;
  }
  return delivered_;
}

std::uint64_t TokenCount::bounded(std::uint64_t tokens) const {
  return std::min(tokens, max_tokens_ == 0 ? kMaxCallTokens : std::min(max_tokens_, kMaxCallTokens));
}

void TokenCount::set_prompt(const Usage& usage) {
  prompt_ = std::min(usage.prompt_tokens,
                     max_prompt_ == 0 ? kMaxCallTokens : std::min(max_prompt_, kMaxCallTokens));
  cached_ = std::min(usage.cached_tokens, prompt_);
}

std::uint64_t TokenCount::on_chunk(bool has_content, const std::optional<Usage>& usage) {
  if (usage) {
    set_prompt(*usage);
    // A pool that counts backwards is not believed: delivered tokens cannot become undelivered.
    completion_ = std::max(completion_, bounded(usage->completion_tokens));
    source_ = UsageSource::Continuous;
  } else if (has_content) {
    completion_ = bounded(completion_ + 1);
    if (source_ == UsageSource::None) source_ = UsageSource::Counted;
  }
  return completion_;
}

void TokenCount::on_final(const Usage& usage) {
  set_prompt(usage);
  disagrees_ = source_ != UsageSource::None && completion_ != usage.completion_tokens;
  completion_ = bounded(usage.completion_tokens);
  final_ = true;
  source_ = UsageSource::Final;
}

void TokenCount::on_estimate(std::uint64_t completion_tokens) {
  completion_ = bounded(completion_tokens);
  source_ = UsageSource::Estimated;
}

}  // namespace qanat::meter
