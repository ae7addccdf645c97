#include "bench/case/fleet.hh"

#include <algorithm>

#include "gateway/pool/serve/describe.hh"

namespace qanat::bench {
namespace {

constexpr base::Duration kSample = std::chrono::milliseconds(250);

double seconds_of(base::Duration d) { return std::chrono::duration<double>(d).count(); }

}  // namespace

struct Fleet::Engine {
  pool::Engine engine;
  pool::ModelLife life;
  bool wanted = false;  // by the valve
  std::size_t calls = 0;
  base::Duration held{};
  bool holds() const {
    return life.phase() != pool::Phase::Placeholder && life.phase() != pool::Phase::Staging;
  }
};

struct Fleet::Pool {
  FleetPool plan;
  std::vector<Engine> engines;
  std::optional<descriptor::EngineState> sample;  // none: no engine serves
  base::Time sampled{};
  place::PoolLoad load;
};

Fleet::Fleet(std::vector<FleetPool> pools, const place::Wish& wish, std::optional<place::ValveSettings> valve,
             const place::HistoryShape& history)
    : wish_(wish) {
  std::vector<place::Placeholder> rights;
  for (FleetPool& plan : pools) {
    auto pool = std::make_unique<Pool>();
    pool->plan = std::move(plan);
    const FleetPool& p = pool->plan;
    pool::EngineLimits limits = p.limits;
    limits.every_token = false;
    for (std::uint32_t i = 0; i < p.engines; ++i)
      pool->engines.push_back({pool::Engine(pool::Roofline(p.card, p.cards, p.model), limits),
                               pool::ModelLife(p.life, !p.placeholder, base::Time{}),
                               !p.placeholder,
                               0,
                               {}});
    if (p.placeholder)
      rights.push_back({p.name, p.engines, p.streams, p.nano_per_s, p.life.times.load + p.life.times.warm});
    pools_.push_back(std::move(pool));
  }
  if (valve) valve_.emplace(*valve, rights, history);
}

Fleet::~Fleet() = default;

double Fleet::held_s(std::size_t pool) const {
  double sum = 0;
  for (const Engine& e : pools_[pool]->engines) sum += seconds_of(e.held);
  return sum;
}

meter::Nano Fleet::charged(std::size_t pool) const {
  meter::Nano sum = 0;
  for (const Engine& e : pools_[pool]->engines)
    sum += meter::Nano{e.held.count()} * pools_[pool]->plan.nano_per_s / 1'000'000'000;
  return sum;
}

std::uint32_t Fleet::held(std::size_t pool) const {
  std::uint32_t sum = 0;
  for (const Engine& e : pools_[pool]->engines) sum += e.holds() ? 1 : 0;
  return sum;
}

// Everything up to `at` happens: steps of engines, turns of their lives, and the seconds they hold their cards.
void Fleet::step(base::Time at) {
  for (std::size_t i = 0; i < pools_.size(); ++i) {
    for (Engine& e : pools_[i]->engines) {
      // A life turns at its own instants, so that held time is exact.
      base::Time from = now_;
      while (e.life.next_timeout() && *e.life.next_timeout() <= at) {
        const base::Time turn = std::max(*e.life.next_timeout(), from);
        if (e.holds()) e.held += turn - from;
        from = turn;
        e.life.on_timer(turn);
      }
      if (e.holds()) e.held += at - from;
      e.engine.on_timer(at);
      drain(i, e);
    }
  }
  now_ = at;
}

void Fleet::drain(std::size_t pool, Engine& e) {
  while (const auto event = e.engine.poll_event()) {
    const auto found = live_.find(event->call);
    if (found == live_.end()) continue;
    Live& live = found->second;
    const base::Duration rtt = pools_[pool]->plan.rtt;
    if (event->index == 1) live.ttft = event->at - live.call.at + rtt;
    if (!event->last) continue;
    FleetEnd end;
    end.call = live.call;
    end.pool = pool;
    end.ttft = live.ttft;
    end.total = event->at - live.call.at + rtt;
    pools_[pool]->load.finish(live.ticket, live.call.output, event->at);
    live_.erase(found);
    if (--e.calls == 0) e.life.set_busy(false, event->at);
    if (ended_) ended_(end);
  }
}

void Fleet::sample() {
  for (auto& pool : pools_) {
    std::vector<const pool::Engine*> serving;
    for (Engine& e : pool->engines)
      if (e.life.phase() == pool::Phase::Serving) serving.push_back(&e.engine);
    pool->sampled = now_;
    if (serving.empty())
      pool->sample.reset();
    else
      pool->sample = pool::describe_engines(pool->plan.model, serving, now_);
  }
}

void Fleet::tell_valve() {
  if (!valve_) return;
  valve_->on_demand(static_cast<double>(live_.size()), now_);
  for (std::size_t i = 0; i < pools_.size(); ++i) {
    Pool& pool = *pools_[i];
    if (!pool.plan.placeholder) continue;
    // As the pool does: those that are wanted stay, further ones are woken, the idlest of too many drain.
    const std::uint32_t awake = valve_->awake(pool.plan.name);
    std::uint32_t wanted = 0;
    for (Engine& e : pool.engines) wanted += e.wanted ? 1 : 0;
    for (Engine& e : pool.engines)
      if (wanted < awake && !e.wanted) {
        e.wanted = true;
        ++wanted;
        e.life.wake(now_);
      }
    while (wanted > awake) {
      Engine* idlest = nullptr;
      for (Engine& e : pool.engines)
        if (e.wanted && (!idlest || e.calls < idlest->calls)) idlest = &e;
      idlest->wanted = false;
      idlest->life.drain(now_);
      --wanted;
    }
    place::PlaceholderTold told;
    told.held = held(i);
    for (const Engine& e : pool.engines) told.serving += e.life.serving() ? 1 : 0;
    told.charged = charged(i);
    valve_->on_told(pool.plan.name, told, now_);
  }
}

void Fleet::dispatch(const FleetCall& call) {
  std::vector<place::Option> options;
  place::Wish wish = wish_;
  wish.demand = {call.prompt, call.output};
  for (std::size_t i = 0; i < pools_.size(); ++i) {
    Pool& pool = *pools_[i];
    place::Option o;
    o.pool = i;
    o.instance = pool.plan.name;
    o.local = pool.plan.local;
    o.price = pool.plan.price;
    o.path_rtt = pool.plan.rtt;
    if (!pool.sample)
      o.excluded = place::Excluded::Health;
    else
      o.forecast = place::forecast(*pool.sample, pool.load.since(pool.sampled), wish.demand, pool.plan.rtt);
    options.push_back(std::move(o));
  }
  random_ = random_ * 6364136223846793005u + 1442695040888963407u;
  const place::Decision decision = place::decide(wish, std::move(options), random_);
  for (const std::size_t chosen : decision.order) {
    Pool& pool = *pools_[decision.options[chosen].pool];
    Engine* best = nullptr;
    for (Engine& e : pool.engines)
      if (e.life.phase() == pool::Phase::Serving && (!best || e.calls < best->calls)) best = &e;
    const std::uint64_t id = next_call_;
    if (!best || best->engine.submit(id, call.prompt, call.output, now_) != pool::Admission::Accepted)
      continue;
    ++next_call_;
    Live live;
    live.call = call;
    live.pool = decision.options[chosen].pool;
    live.ticket = pool.load.dispatch(call.prompt, now_);
    live_.emplace(id, live);
    if (best->calls++ == 0) best->life.set_busy(true, now_);
    return;
  }
  FleetEnd end;
  end.call = call;
  end.failed = true;
  if (ended_) ended_(end);
}

void Fleet::run_until(base::Time until) {
  while (now_ < until || (!arrivals_.empty() && arrivals_.top().at <= until)) {
    base::Time next = std::min(until, next_sample_);
    if (!arrivals_.empty()) next = std::min(next, arrivals_.top().at);
    step(std::max(next, now_));
    if (next_sample_ <= now_) {
      tell_valve();
      sample();
      next_sample_ = now_ + kSample;
    }
    while (!arrivals_.empty() && arrivals_.top().at <= now_) {
      FleetCall call = arrivals_.top();
      arrivals_.pop();
      call.at = now_;
      dispatch(call);
    }
    if (now_ >= until) break;
  }
}

void Fleet::run_dry() {
  while (!live_.empty() || !arrivals_.empty()) run_until(now_ + std::chrono::seconds(1));
}

}  // namespace qanat::bench
