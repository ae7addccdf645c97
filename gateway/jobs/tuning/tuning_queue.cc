#include "gateway/jobs/tuning/tuning_queue.hh"

#include <algorithm>
#include <tuple>
#include <utility>

namespace qanat::jobs {
namespace {

constexpr std::string_view kPriorities[] = {"high", "normal", "low"};

bool on_a_pool(const TuningJob& job) {
  return job.state == TuningState::Staging || job.state == TuningState::Running ||
         job.state == TuningState::Yielding;
}

}  // namespace

std::string_view to_string(Priority priority) { return kPriorities[static_cast<std::size_t>(priority)]; }

std::optional<Priority> parse_priority(std::string_view text) noexcept {
  for (std::size_t i = 0; i < std::size(kPriorities); ++i)
    if (kPriorities[i] == text) return static_cast<Priority>(i);
  return std::nullopt;
}

std::string_view to_string(TuningState state) {
  static constexpr std::string_view kNames[] = {"waiting",  "staging", "running",
                                                "yielding", "paused",  "ended"};
  return kNames[static_cast<std::size_t>(state)];
}

void TuningQueue::set_pool(const TuningPool& pool) { pools_[pool.id] = pool; }

void TuningQueue::add(TuningJob job) {
  job.order = next_++;
  jobs_[job.id] = std::move(job);
}

TuningJob* TuningQueue::at(const std::string& job) {
  const auto found = jobs_.find(job);
  return found == jobs_.end() ? nullptr : &found->second;
}

const TuningJob* TuningQueue::find(const std::string& job) const {
  const auto found = jobs_.find(job);
  return found == jobs_.end() ? nullptr : &found->second;
}

void TuningQueue::allow(const std::string& id, const std::string& pool, std::uint64_t to_move,
                        double seconds) {
  TuningJob* job = at(id);
  if (!job || job->pools.empty()) return;
  if (std::find(job->pools.begin(), job->pools.end(), pool) == job->pools.end()) job->pools.push_back(pool);
  job->to_move[pool] = to_move;
  job->seconds[pool] = seconds;
}

void TuningQueue::on_staged(const std::string& id) {
  TuningJob* job = at(id);
  if (!job || job->state != TuningState::Staging) return;
  job->state = TuningState::Running;
  ++job->moves;
  actions_.push_back({TuningAction::Kind::Start, id, job->pool, {}});
}

void TuningQueue::on_stage_failed(const std::string& id) {
  TuningJob* job = at(id);
  if (!job || !on_a_pool(*job)) return;
  job->last_pool = std::exchange(job->pool, {});
  job->state = TuningState::Waiting;
}

void TuningQueue::on_checkpoint(const std::string& id, std::uint64_t step, const std::string& artefact) {
  TuningJob* job = at(id);
  if (!job || job->state == TuningState::Ended || step <= job->step) return;
  job->step = step;
  job->checkpoint = artefact;
}

void TuningQueue::on_yielded(const std::string& id) {
  TuningJob* job = at(id);
  if (!job || job->state != TuningState::Yielding) return;
  job->last_pool = std::exchange(job->pool, {});
  job->state = to_pause_.erase(id) != 0 ? TuningState::Paused : TuningState::Waiting;
}

void TuningQueue::on_pool_gone(const std::string& pool) {
  if (const auto found = pools_.find(pool); found != pools_.end()) found->second.alive = false;
  for (auto& [id, job] : jobs_) {
    if (job.pool != pool || !on_a_pool(job)) continue;
    job.last_pool = std::exchange(job.pool, {});
    job.state = to_pause_.erase(id) != 0 ? TuningState::Paused : TuningState::Waiting;
  }
}

void TuningQueue::on_ended(const std::string& id) {
  TuningJob* job = at(id);
  if (!job) return;
  job->state = TuningState::Ended;
  job->last_pool = std::exchange(job->pool, {});
  to_pause_.erase(id);
}

void TuningQueue::pause(const std::string& id) {
  TuningJob* job = at(id);
  if (!job) return;
  if (job->state == TuningState::Waiting || job->state == TuningState::Staging) {
    job->state = TuningState::Paused;
    job->pool.clear();
  } else if (job->state == TuningState::Running) {
    job->state = TuningState::Yielding;
    to_pause_[id] = true;
    actions_.push_back({TuningAction::Kind::Snapshot, id, job->pool, {}});
  } else if (job->state == TuningState::Yielding) {
    to_pause_[id] = true;
  }
}

void TuningQueue::resume(const std::string& id) {
  TuningJob* job = at(id);
  if (!job) return;
  to_pause_.erase(id);
  if (job->state == TuningState::Paused) job->state = TuningState::Waiting;
}

void TuningQueue::cancel(const std::string& id) {
  TuningJob* job = at(id);
  if (!job || job->state == TuningState::Ended) return;
  if (job->state == TuningState::Running || job->state == TuningState::Yielding)
    actions_.push_back({TuningAction::Kind::Cancel, id, job->pool, {}});
  on_ended(id);
}

std::uint32_t TuningQueue::used(const std::string& pool) const {
  return static_cast<std::uint32_t>(std::count_if(jobs_.begin(), jobs_.end(), [&](const auto& one) {
    return one.second.pool == pool && on_a_pool(one.second);
  }));
}

std::uint32_t TuningQueue::held(const std::string& tenant) const {
  return static_cast<std::uint32_t>(std::count_if(jobs_.begin(), jobs_.end(), [&](const auto& one) {
    return one.second.tenant == tenant && on_a_pool(one.second) && one.second.state != TuningState::Yielding;
  }));
}

std::uint32_t TuningQueue::quota(const std::string& tenant) const {
  const auto found = quotas_.find(tenant);
  return found == quotas_.end() ? 0 : found->second;
}

bool TuningQueue::owed(const std::string& tenant) const { return held(tenant) < quota(tenant); }

bool TuningQueue::may_use(const TuningJob& job, const TuningPool& pool) const {
  return pool.alive &&
         (job.pools.empty() || std::find(job.pools.begin(), job.pools.end(), pool.id) != job.pools.end());
}

// Until it would be done there, as things stand.
double TuningQueue::seconds_at(const TuningJob& job, const TuningPool& pool) const {
  const auto missing = job.to_move.find(pool.id);
  const double move =
      missing == job.to_move.end() ? 0 : static_cast<double>(missing->second) / pool.bytes_per_s;
  const double left =
      1 - static_cast<double>(job.step) / static_cast<double>(std::max<std::uint64_t>(job.steps, 1));
  const auto said = job.seconds.find(pool.id);
  const double whole =
      said == job.seconds.end() ? static_cast<double>(job.tokens) / pool.tokens_per_s : said->second;
  return move + left * whole;
}

const TuningPool* TuningQueue::choose(const TuningJob& job) const {
  const TuningPool* best = nullptr;
  const auto rank = [&](const TuningPool& pool) {
    // After a loss elsewhere first: what took the pool away may take it away again.
    const double again = pool.id == job.last_pool ? 1 : 0;
    const double seconds = seconds_at(job, pool), price = static_cast<double>(pool.nano_per_mtoken);
    return job.cheapest ? std::tuple(again, price, seconds) : std::tuple(again, seconds, price);
  };
  for (const auto& [id, pool] : pools_) {
    if (!may_use(job, pool) || used(id) >= pool.places) continue;
    if (!best || rank(pool) < rank(*best)) best = &pool;
  }
  return best;
}

// Somebody gives way: one of lower priority, the lowest first; or, of equal or lower priority, one whose tenant has
// borrowed beyond its quota while this job's tenant is within its own. Among equals the one that came last.
bool TuningQueue::make_room(const TuningJob& job) {
  const bool mine = owed(job.tenant);
  TuningJob* victim = nullptr;
  TuningAction::Why why{};
  for (auto& [id, other] : jobs_) {
    if (other.state == TuningState::Yielding && !other.pool.empty() && may_use(job, pools_.at(other.pool)) &&
        to_pause_.find(id) == to_pause_.end())
      return true;  // a place is on its way already
    if (other.state != TuningState::Running || !may_use(job, pools_.at(other.pool))) continue;
    const bool lower = other.priority > job.priority;
    const bool borrowed = mine && other.tenant != job.tenant && other.priority >= job.priority &&
                          held(other.tenant) > quota(other.tenant);
    if (!lower && !borrowed) continue;
    if (!victim || std::pair(other.priority, other.order) > std::pair(victim->priority, victim->order))
      victim = &other;
    if (victim == &other) why = lower ? TuningAction::Why::Priority : TuningAction::Why::Quota;
  }
  if (!victim) return false;
  victim->state = TuningState::Yielding;
  actions_.push_back({TuningAction::Kind::Snapshot, victim->id, victim->pool, why});
  return true;
}

void TuningQueue::turn() {
  std::vector<TuningJob*> waiting;
  for (auto& [id, job] : jobs_)
    if (job.state == TuningState::Waiting) waiting.push_back(&job);
  // Whose tenant has not got its own yet comes before those who would borrow.
  std::sort(waiting.begin(), waiting.end(), [this](const TuningJob* a, const TuningJob* b) {
    return std::tuple(a->priority, !owed(a->tenant), a->order) <
           std::tuple(b->priority, !owed(b->tenant), b->order);
  });
  for (TuningJob* job : waiting) {
    if (const TuningPool* pool = choose(*job)) {
      job->state = TuningState::Staging;
      job->pool = pool->id;
      actions_.push_back({TuningAction::Kind::Stage, job->id, pool->id, {}});
    } else if (make_room(*job)) {
      break;  // one at a time: what comes free may do for the next ones too
    }
  }
}

std::optional<TuningAction> TuningQueue::poll_action() {
  if (polled_ == actions_.size()) {
    actions_.clear();
    polled_ = 0;
    return std::nullopt;
  }
  return actions_[polled_++];
}

}  // namespace qanat::jobs
