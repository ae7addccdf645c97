#include "gateway/place/pool_load.hh"

#include <chrono>
#include <utility>

namespace qanat::place {
namespace {

// Samples older than this are stale anyway.
constexpr base::Duration kMemory = std::chrono::seconds{10};
constexpr std::size_t kMaxEnded = 4096;
constexpr double kMeanGain = 1.0 / 32;  // of the running means of lengths

}  // namespace

PoolLoad::Ticket PoolLoad::dispatch(std::uint64_t prompt_tokens, base::Time now) {
  const Ticket ticket{now, next_serial_++};
  open_.emplace(std::pair{ticket.dispatched, ticket.serial}, prompt_tokens);
  if (now > counted_.sampled) {
    ++counted_.unseen.started;
    counted_.unseen.started_prompt += prompt_tokens;
  }
  const auto prompt = static_cast<double>(prompt_tokens);
  mean_prompt_tokens_ += (mean_prompt_tokens_ > 0 ? kMeanGain : 1.0) * (prompt - mean_prompt_tokens_);
  return ticket;
}

void PoolLoad::finish(const Ticket& ticket, std::uint64_t output_tokens, base::Time now) {
  const auto open = open_.find({ticket.dispatched, ticket.serial});
  if (open == open_.end()) return;
  if (ticket.dispatched > counted_.sampled) {
    --counted_.unseen.started;
    counted_.unseen.started_prompt -= open->second;
  } else if (now > counted_.sampled) {
    ++counted_.unseen.ended;
  }
  open_.erase(open);
  ended_.push_back({ticket.dispatched, now});
  while (!ended_.empty() && (ended_.front().ended + kMemory < now || ended_.size() > kMaxEnded))
    ended_.pop_front();
  if (output_tokens > 0)
    mean_output_tokens_ += kMeanGain * (static_cast<double>(output_tokens) - mean_output_tokens_);
}

void PoolLoad::count(base::Time sampled) const {
  Unseen unseen;
  for (auto it = open_.upper_bound({sampled, UINT64_MAX}); it != open_.end(); ++it) {
    ++unseen.started;
    unseen.started_prompt += it->second;
  }
  for (auto it = ended_.rbegin(); it != ended_.rend() && it->ended > sampled; ++it)
    if (it->dispatched <= sampled) ++unseen.ended;
  counted_ = {sampled, unseen};
}

Unseen PoolLoad::since(base::Time sampled) const {
  if (sampled != counted_.sampled) count(sampled);
  Unseen unseen = counted_.unseen;
  unseen.mean_output_tokens = mean_output_tokens_;
  unseen.mean_prompt_tokens = mean_prompt_tokens_;
  return unseen;
}

}  // namespace qanat::place
