#include "gateway/pool/serve/pool_models.hh"

#include <algorithm>
#include <boost/asio/io_context.hpp>

#include "base/clock.hh"
#include "base/http_message.hh"
#include "base/log.hh"
#include "gateway/pool/life/card_share.hh"
#include "gateway/pool/serve/describe.hh"

namespace qanat::pool {
namespace {

constexpr std::uint8_t kNeighbourPriority = 7;

}  // namespace

Station* Served::pick() {
  Station* best = nullptr;
  const auto rank = [](const Station& s) {
    const auto ready = s.life().ready_in(base::monotonic_now());
    return std::pair(ready.value_or(base::Duration::max()), s.calls());
  };
  for (const auto& station : stations) {
    if (station->life().phase() == Phase::Failed || !station->lent()) continue;
    if (!best || rank(*station) < rank(*best)) best = station.get();
  }
  return best;
}

std::size_t Served::calls() const {
  std::size_t sum = 0;
  for (const auto& station : stations) sum += station->calls();
  return sum;
}

PoolModels::PoolModels(boost::asio::io_context& io, const PoolConfig& config, base::MetricsRegistry& registry)
    : io_(io), config_(config), spare_(config.spare_cards) {
  if (!config.token_log.empty()) log_ = std::make_unique<TokenLog>(config.token_log);
  std::uint32_t stations = 0;
  for (const Model& model : config.models) {
    Served& one = *served_.emplace_back(std::make_unique<Served>(model, registry));
    for (std::uint32_t i = 0; i < config.stations_per_model(); ++i) {
      StationPlan plan = config.station_plan(model);
      plan.index = stations++;
      one.stations.push_back(std::make_unique<Station>(io, std::move(plan), log_.get()));
      one.stations.back()->on_busy_change([this] { share(); });
    }
  }
  shares_.assign(served_.size(), 1);
  registry.before_text([this] {
    for (const auto& one : served_) {
      PoolSample sample;
      double used = 0, total = 0;
      for (const auto& station : one->stations) {
        const EngineState state = station->engine().state();
        const EngineCounters& counters = station->engine().counters();
        sample.running += state.running;
        sample.waiting += double(state.waiting + station->parked());
        used += double(state.kv_blocks_used);
        total += double(state.kv_blocks_total);
        sample.preemptions += counters.preemptions;
        sample.prefix_hits += counters.cached_tokens;
        sample.prefix_queries += counters.cached_tokens + counters.prompt_tokens;
        sample.resumed += station->resumed();
        sample.phase = std::max(sample.phase, static_cast<std::uint8_t>(station->life().phase()));
      }
      sample.kv_usage = total > 0 ? used / total : 0;
      one->metrics.sample(sample);
    }
  });
}

PoolModels::~PoolModels() = default;

Served* PoolModels::find(std::string_view model) {
  for (auto& one : served_)
    if (base::equal_ignoring_case(one->model.name, model)) return one.get();
  return nullptr;
}

std::size_t PoolModels::calls() const {
  std::size_t sum = 0;
  for (const auto& one : served_) sum += one->calls();
  return sum;
}

// Who has the cards now. Within one event of the loop: a preempted neighbour gives way at its next step's start.
void PoolModels::share() {
  std::vector<CardJob> jobs;
  for (std::size_t i = 0; i < served_.size(); ++i)
    jobs.push_back({config_.share_of(i).priority, config_.share_of(i).weight, served_[i]->calls() > 0});
  jobs.push_back({kNeighbourPriority, 1, neighbour_busy_});
  const auto shares = divide_cards(jobs);
  const double neighbour = shares.back();
  if (neighbour_changed_ && neighbour != neighbour_share_) {
    neighbour_share_ = neighbour;
    neighbour_changed_(neighbour);
  }
  neighbour_share_ = neighbour;
  // Models with cards of their own only feel the neighbour.
  for (std::size_t i = 0; i < served_.size(); ++i) {
    double mine = shares[i];
    if (!config_.shared_cards()) mine = divide_cards(std::vector<CardJob>{jobs[i], jobs.back()}).front();
    if (mine == shares_[i]) continue;
    shares_[i] = mine;
    feel(*served_[i], i);
  }
}

void PoolModels::set_neighbour(bool busy) {
  neighbour_busy_ = busy;
  share();
}

void PoolModels::feel(Served& served, std::size_t index) {
  Health health = health_under(faults_, served.model.name);
  health.compute *= shares_[index];
  health.bandwidth *= shares_[index];
  for (auto& station : served.stations) station->set_health(health);
}

std::uint64_t PoolModels::inject(Fault fault) {
  fault.id = next_fault_++;
  faults_.push_back(fault);
  base::log_warn("fault {}: {} on {}", fault.id, to_string(fault.kind),
                 fault.model.empty() ? "every model" : fault.model);
  strike(fault);
  if (fault.lasts.count() > 0) {
    auto& timer = ends_.emplace_back(io_);
    timer.expires_after(fault.lasts);
    timer.async_wait([this, id = fault.id](boost::system::error_code error) {
      if (!error) clear(id);
    });
  }
  return fault.id;
}

void PoolModels::strike(const Fault& fault) {
  if (cards_failed_ && (fault.kind == FaultKind::CardLost || fault.kind == FaultKind::DriverReset))
    cards_failed_(fault.outage);
  if (fault.kind == FaultKind::CardLost) return lose_cards(fault);
  for (std::size_t i = 0; i < served_.size(); ++i) {
    Served& one = *served_[i];
    if (!fault.model.empty() && fault.model != one.model.name) continue;
    feel(one, i);
    for (auto& station : one.stations) {
      if (fault.kind == FaultKind::DriverReset) station->restart(fault.outage, "driver_reset");
      if (fault.kind == FaultKind::OutOfMemory) station->restart({}, "out_of_memory");
    }
  }
}

// Drain and replace: spare cards take the place of the lost, else the engine stands up again on fewer.
void PoolModels::lose_cards(const Fault& fault) {
  for (auto& one : served_) {
    if (!fault.model.empty() && fault.model != one->model.name) continue;
    Station* hit = nullptr;
    for (auto& station : one->stations)
      if (station->life().phase() != Phase::Failed && (!hit || station->calls() > hit->calls()))
        hit = station.get();
    if (!hit) continue;
    const std::uint32_t had = hit->plan().cards;
    const std::uint32_t left = had - std::min(fault.cards, had) + spare_;
    const std::uint32_t now = cards_to_go_on(config_.card, one->model, hit->plan().limits.memory, had, left);
    spare_ = left - now;
    hit->change_cards(now, "card_lost");
    base::log_warn("{}: {} of {} cards lost, goes on with {}", one->model.name, fault.cards, had, now);
    return;  // a card is one card, of one engine
  }
}

bool PoolModels::clear(std::uint64_t id) {
  const auto found = std::find_if(faults_.begin(), faults_.end(), [&](const Fault& f) { return f.id == id; });
  if (found == faults_.end()) return false;
  const Fault ended = *found;
  faults_.erase(found);
  base::log_info("fault {} ({}) has ended", ended.id, to_string(ended.kind));
  for (std::size_t i = 0; i < served_.size(); ++i) feel(*served_[i], i);
  if (ended.kind != FaultKind::CardLost) return true;
  // The replaced cards go to whoever has fewer than it began with; what is left over is spare.
  std::uint32_t cards = ended.cards + spare_;
  for (auto& one : served_)
    for (auto& station : one->stations) {
      const std::uint32_t has = station->life().phase() == Phase::Failed ? 0 : station->plan().cards;
      const std::uint32_t wants = config_.cards_per_station();
      if (has >= wants || has + cards < wants) continue;
      cards -= wants - has;
      station->change_cards(wants, "card_replaced");
    }
  spare_ = cards;
  return true;
}

void PoolModels::describe(descriptor::State& state, base::Time now) const {
  state.engines.clear();
  bool rising = false;
  for (const auto& one : served_) {
    std::vector<const Engine*> engines;
    for (const auto& station : one->stations) {
      const Phase phase = station->life().phase();
      if (phase == Phase::Serving && station->lent()) engines.push_back(&station->engine());
      rising |= phase < Phase::Serving;
    }
    if (!engines.empty())
      state.engines.push_back(
          describe_engines(one->model, engines, now, lie_under(faults_, one->model.name)));
  }
  state.health = !state.engines.empty() ? descriptor::Health::Serving
                 : rising               ? descriptor::Health::Starting
                                        : descriptor::Health::Down;
}

}  // namespace qanat::pool
