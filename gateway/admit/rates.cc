#include "gateway/admit/rates.hh"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace qanat::admit {
namespace {

constexpr double kMinuteNs = 60e9;

base::Duration time_for(double amount, std::uint64_t limit) {
  return base::Duration(
      static_cast<std::int64_t>(std::ceil(amount * kMinuteNs / static_cast<double>(limit))));
}

}  // namespace

double Rates::Bucket::used_at(std::uint64_t limit, base::Time now) const {
  const auto passed = static_cast<double>(std::max<std::int64_t>((now - at).count(), 0));
  return std::max(0.0, used - passed * static_cast<double>(limit) / kMinuteNs);
}

Rates::Level Rates::Bucket::level(std::uint64_t limit, base::Time now) const {
  const double used_now = used_at(limit, now);
  return {limit, static_cast<std::uint64_t>(std::max(0.0, static_cast<double>(limit) - used_now)),
          time_for(used_now, limit)};
}

std::optional<Rates::Refusal> Rates::take(const KeyInfo& key, std::uint64_t tokens, base::Time now) {
  const std::uint64_t most_calls = key.max_calls_per_minute, most_tokens = key.max_tokens_per_minute;
  if (most_calls == 0 && most_tokens == 0) return std::nullopt;
  Buckets& b = buckets_[key.id];
  const auto refusal = [&](const Bucket& bucket, double amount, std::uint64_t limit,
                           bool of_tokens) -> std::optional<Refusal> {
    if (limit == 0) return std::nullopt;
    const double over = bucket.used_at(limit, now) + amount - static_cast<double>(limit);
    if (over <= 0) return std::nullopt;
    const bool never = amount > static_cast<double>(limit);
    return Refusal{of_tokens, never, never ? base::Duration{} : time_for(over, limit)};
  };
  if (const auto no = refusal(b.calls, 1, most_calls, false)) return no;
  if (const auto no = refusal(b.tokens, static_cast<double>(tokens), most_tokens, true)) return no;
  b.calls = {b.calls.used_at(most_calls, now) + 1, now};
  b.tokens = {b.tokens.used_at(most_tokens, now) + static_cast<double>(tokens), now};
  return std::nullopt;
}

void Rates::settle(const KeyInfo& key, std::uint64_t taken, std::uint64_t used, base::Time now) {
  const auto found = buckets_.find(key.id);
  if (found == buckets_.end() || taken == used) return;
  Bucket& b = found->second.tokens;
  const double now_used = b.used_at(key.max_tokens_per_minute, now);
  b = {std::max(0.0, now_used + static_cast<double>(used) - static_cast<double>(taken)), now};
}

const Rates::Buckets* Rates::find(const KeyInfo& key) const {
  const auto found = buckets_.find(key.id);
  return found == buckets_.end() ? nullptr : &found->second;
}

Rates::Level Rates::calls(const KeyInfo& key, base::Time now) const {
  const Buckets* b = find(key);
  const std::uint64_t limit = key.max_calls_per_minute;
  return b && limit != 0 ? b->calls.level(limit, now) : Level{limit, limit, {}};
}

Rates::Level Rates::tokens(const KeyInfo& key, base::Time now) const {
  const Buckets* b = find(key);
  const std::uint64_t limit = key.max_tokens_per_minute;
  return b && limit != 0 ? b->tokens.level(limit, now) : Level{limit, limit, {}};
}

}  // namespace qanat::admit
