#include "gateway/pool/engine/deployment.hh"

#include <algorithm>

namespace qanat::pool {

Deployment::Deployment(const Roofline& roofline, const EngineLimits& limits, const DeploymentPlan& plan)
    : plan_(plan), kv_bytes_per_token_(roofline.kv_bytes_per_token()), time_scale_(limits.time_scale) {
  plan_.replicas = std::max(1u, plan.replicas);
  for (std::uint32_t i = 0; i < plan_.replicas + plan_.prefill_replicas; ++i) {
    EngineLimits own = limits;
    // What was prefilled has to find a place.
    if (apart() && i < plan_.replicas) own.max_waiting = ~0u;
    engines_.push_back(std::make_unique<Engine>(roofline, own));
  }
}

// The engine of [from, to) with the fewest tokens left to compute and to hold, the call's own uncached prompt included.
std::size_t Deployment::least_loaded(std::size_t from, std::size_t to, const Call& call) const {
  std::size_t best = from;
  std::uint64_t best_work = ~0ULL;
  for (std::size_t i = from; i < to; ++i) {
    const EngineState state = engines_[i]->state();
    const std::uint64_t warm = call.computed_elsewhere ? 0 : engines_[i]->cached_tokens(call.blocks);
    const std::uint64_t work = state.waiting_tokens + state.context_tokens + call.prompt_tokens -
                               std::min<std::uint64_t>(warm, call.prompt_tokens);
    if (work >= best_work) continue;
    best = i;
    best_work = work;
  }
  return best;
}

Admission Deployment::submit(const Call& call, base::Time now) {
  on_timer(now);
  if (live_.contains(call.id)) return Admission::Duplicate;
  const std::size_t from = apart() ? plan_.replicas : 0;
  const std::size_t chosen = least_loaded(from, engines_.size(), call);
  Call first = call;
  if (apart()) {
    if (std::uint64_t(call.prompt_tokens) + call.output_tokens > engines_[0]->context_limit())
      return Admission::TooLong;
    if (call.output_tokens > 0) first.output_tokens = 1;
  }
  const Admission admission = engines_[chosen]->submit(first, now);
  if (admission != Admission::Accepted) return admission;
  Live& live = live_[call.id];
  live.call = call;
  live.content.assign(call.blocks.begin(), call.blocks.end());
  live.call.blocks = live.content;
  live.at = chosen;
  return admission;
}

bool Deployment::cancel(CallId call, base::Time now) {
  on_timer(now);
  const auto found = live_.find(call);
  if (found == live_.end()) return false;
  if (found->second.moving)
    std::erase_if(transfers_, [call](const Transfer& transfer) { return transfer.call == call; });
  else
    engines_[found->second.at]->cancel(call, now);
  live_.erase(found);
  std::erase_if(events_, [call](const TokenEvent& event) { return event.call == call; });
  return true;
}

void Deployment::on_timer(base::Time now) {
  const std::size_t before = events_.size();
  for (std::size_t i = plan_.replicas; i < engines_.size(); ++i) engines_[i]->on_timer(now);
  std::vector<TokenEvent> prefilled;
  for (std::size_t i = plan_.replicas; i < engines_.size(); ++i) collect(i, &prefilled);
  // The link takes them in the order of their first tokens, however many were due.
  std::ranges::stable_sort(prefilled, {}, &TokenEvent::at);
  for (const TokenEvent& event : prefilled) begin_transfer(event.call, event.at);
  // Each arrival meets the decode replicas as they are at that instant.
  while (!transfers_.empty() && transfers_.front().arrives <= now) {
    const Transfer transfer = transfers_.front();
    transfers_.pop_front();
    deliver(transfer);
  }
  for (std::size_t i = 0; i < plan_.replicas; ++i) {
    engines_[i]->on_timer(now);
    collect(i, nullptr);
  }
  std::stable_sort(events_.begin() + static_cast<std::ptrdiff_t>(before), events_.end(),
                   [](const TokenEvent& a, const TokenEvent& b) { return a.at < b.at; });
}

// Takes the engine's events over; calls whose prompts are computed and that go on elsewhere are put into `prefilled`.
void Deployment::collect(std::size_t index, std::vector<TokenEvent>* prefilled) {
  while (auto event = engines_[index]->poll_event()) {
    const auto found = live_.find(event->call);
    if (found == live_.end()) continue;
    if (prefilled) event->last = found->second.call.output_tokens == 1;
    events_.push_back(*event);
    if (event->last)
      live_.erase(found);
    else if (prefilled)
      prefilled->push_back(*event);
  }
}

void Deployment::begin_transfer(CallId call, base::Time now) {
  Live& live = live_.at(call);
  live.moving = true;
  const double seconds =
      (live.call.prompt_tokens * kv_bytes_per_token_ / (plan_.link_gb_per_s * 1e9)) / time_scale_;
  const auto latency = Roofline::to_duration(plan_.link_latency_us * 1e-6 / time_scale_);
  link_free_ = std::max(link_free_, now) + Roofline::to_duration(seconds);
  const Transfer transfer{link_free_ + latency, call};
  transfers_.insert(std::ranges::upper_bound(transfers_, transfer.arrives, {}, &Transfer::arrives), transfer);
}

void Deployment::deliver(const Transfer& transfer) {
  Live& live = live_.at(transfer.call);
  live.moving = false;
  for (std::size_t i = 0; i < plan_.replicas; ++i) engines_[i]->on_timer(transfer.arrives);
  Call rest = live.call;
  rest.computed_elsewhere = true;
  live.at = least_loaded(0, plan_.replicas, rest);
  engines_[live.at]->submit(rest, transfer.arrives);
}

std::optional<TokenEvent> Deployment::poll_event() {
  if (events_.empty()) return std::nullopt;
  const TokenEvent event = events_.front();
  events_.pop_front();
  return event;
}

std::optional<base::Time> Deployment::next_timeout() const {
  std::optional<base::Time> next;
  const auto consider = [&](std::optional<base::Time> at) {
    if (at && (!next || *at < *next)) next = at;
  };
  for (const auto& engine : engines_) consider(engine->next_timeout());
  if (!transfers_.empty()) consider(transfers_.front().arrives);
  return next;
}

}  // namespace qanat::pool
