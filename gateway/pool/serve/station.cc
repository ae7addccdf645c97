#include "gateway/pool/serve/station.hh"

#include <algorithm>

#include "base/clock.hh"

namespace qanat::pool {
namespace {

StationPlan timed(StationPlan plan) {
  plan.life.times =
      life_times(plan.card, plan.cards, plan.model, plan.site, plan.copies, plan.limits.time_scale);
  return plan;
}

}  // namespace

Station::Station(boost::asio::io_context& io, StationPlan plan, TokenLog* log)
    : plan_(timed(std::move(plan))),
      timer_(io),
      life_(plan_.life, plan_.warm, base::monotonic_now()),
      engine_(std::make_unique<Engine>(Roofline(plan_.card, plan_.cards, plan_.model), plan_.limits)),
      log_(log) {
  arm();
}

Station::~Station() = default;

Admission Station::submit(const Call& call, TokenSink& sink) {
  if (live_.contains(call.id)) return Admission::Duplicate;
  if (std::uint64_t(call.prompt_tokens) + call.output_tokens > engine_->context_limit())
    return Admission::TooLong;
  if (parked_.size() >= plan_.limits.max_waiting) return Admission::QueueFull;
  const bool was = busy();
  const base::Time now = base::monotonic_now();
  life_.wake(now);
  Admission admission = Admission::Accepted;
  if (life_.serving()) {
    admission = engine_->submit(call, now);
    if (log_ && admission == Admission::Accepted) log_->submitted(plan_.index, call, now);
  }
  if (admission == Admission::Accepted) {
    Live& live = live_[call.id];
    live.sink = &sink;
    live.call = call;
    live.blocks.assign(call.blocks.begin(), call.blocks.end());
    if (!life_.serving()) parked_.push_back(call.id);
  }
  note_busy(was);
  arm();
  return admission;
}

void Station::cancel(CallId call) {
  const auto found = live_.find(call);
  if (found == live_.end()) return;
  const base::Time now = base::monotonic_now();
  if (engine_->cancel(call, now) && log_) log_->cancelled(call, now);
  std::erase(parked_, call);
  live_.erase(found);
  note_busy(true);
  arm();
}

void Station::wake() {
  life_.wake(base::monotonic_now());
  arm();
}

void Station::stage() {
  life_.stage(base::monotonic_now());
  arm();
}

void Station::drain() {
  life_.drain(base::monotonic_now());
  if (!life_.serving()) lose("draining", true);
  arm();
}

void Station::set_health(const Health& health) {
  health_ = health;
  engine_->set_health(health, base::monotonic_now());
  arm();
}

void Station::restart(base::Duration outage, std::string_view code) {
  lose(code, false);
  life_.on_memory_lost(outage, base::monotonic_now());
  arm();
}

void Station::change_cards(std::uint32_t cards, std::string_view code) {
  const base::Time now = base::monotonic_now();
  lose(code, cards == 0);
  if (cards == 0) {
    life_.on_cards_lost(now);
  } else {
    plan_.cards = cards;
    plan_ = timed(std::move(plan_));
    engine_ = std::make_unique<Engine>(Roofline(plan_.card, cards, plan_.model), plan_.limits);
    engine_->set_health(health_, now);
    life_.replace(plan_.life, now);
  }
  arm();
}

// What the engine had goes to the parked, or, before a first token, back to its caller.
void Station::lose(std::string_view code, bool all) {
  engine_->lose(base::monotonic_now());
  parked_.clear();
  std::vector<std::pair<CallId, TokenSink*>> gone;
  for (auto& [id, live] : live_) {
    if (live.generated > 0 && !all)
      parked_.push_back(id);
    else
      gone.emplace_back(id, live.sink);
  }
  std::sort(parked_.begin(), parked_.end());
  const bool was = busy();
  for (const auto& [id, sink] : gone) live_.erase(id);
  for (const auto& [id, sink] : gone) sink->on_lost(code);
  note_busy(was);
}

// A parked call goes on: its prompt and what it said are computed again, the rest is generated.
void Station::put(Live& live) {
  Call call = live.call;
  call.blocks = live.blocks;
  live.before = live.generated;
  call.prompt_tokens += live.generated;
  call.output_tokens -= live.generated;
  const base::Time now = base::monotonic_now();
  if (engine_->submit(call, now) != Admission::Accepted) {
    TokenSink* const sink = live.sink;
    live_.erase(call.id);
    sink->on_lost("engine_restarted_smaller");
    return;
  }
  if (log_) log_->submitted(plan_.index, call, now);
  if (live.before > 0) ++resumed_;
}

void Station::settle(base::Time now) {
  life_.on_timer(now);
  if (!life_.serving() || parked_.empty()) return;
  const bool was = busy();
  for (const CallId id : std::exchange(parked_, {}))
    if (const auto found = live_.find(id); found != live_.end()) put(found->second);
  note_busy(was);
}

void Station::note_busy(bool was) {
  if (was == busy()) return;
  life_.set_busy(busy(), base::monotonic_now());
  if (busy_changed_) busy_changed_();
}

// The timer runs on the clock of base::Time, CLOCK_MONOTONIC. Setting it anew drops the wait before.
void Station::arm() {
  auto next = engine_->next_timeout();
  if (const auto turn = life_.next_timeout(); turn && (!next || *turn < *next)) next = turn;
  if (!next) {
    timer_.cancel();
    return;
  }
  timer_.expires_at(std::chrono::steady_clock::time_point(next->time_since_epoch()));
  timer_.async_wait([this](boost::system::error_code error) {
    if (error) return;
    const base::Time now = base::monotonic_now();
    settle(now);
    engine_->on_timer(now);
    deliver();
    arm();
  });
}

void Station::deliver() {
  const bool was = busy();
  while (auto event = engine_->poll_event()) {
    const auto found = live_.find(event->call);
    if (found == live_.end()) continue;
    event->index += found->second.before;
    found->second.generated = event->index;
    TokenSink* const sink = found->second.sink;
    if (event->last) live_.erase(found);
    if (log_) log_->token(*event);
    if (sink->on_token(*event)) turn_.push_back(sink);
  }
  // Sinks go with their coroutines, and none of those runs within this turn.
  for (TokenSink* const sink : turn_) sink->on_turn_end();
  turn_.clear();
  note_busy(was);
}

}  // namespace qanat::pool
