#include "controller/domain/plan_run.hh"

#include <chrono>
#include <utility>

namespace qanat::domain {

void PlanRun::begin(TrafficQuestion question, base::Time now) {
  began_ = now;
  counts_at_ = now + kTime;
  under_way_ = std::make_shared<UnderWay>();
  const auto clock = options_.stopwatch ? options_.stopwatch : [] { return base::Time{}; };
  auto work = [under_way = under_way_, clock, question = std::move(question)] {
    const base::Time start = clock();
    under_way->planned.plan = plan_traffic(question);
    under_way->planned.rise_bps = question.rise_bps;
    under_way->planned.seconds = std::chrono::duration<double>(clock() - start).count();
    under_way->done.store(true, std::memory_order_release);
  };
  if (options_.elsewhere)
    options_.elsewhere(std::move(work));
  else
    work();
}

std::optional<PlanRun::Planned> PlanRun::take(base::Time now) {
  if (under_way_ == nullptr || now < counts_at_) return std::nullopt;
  if (!under_way_->done.load(std::memory_order_acquire)) {
    if (counts_at_ == began_ + kTime) ++late_;
    counts_at_ += kEvery;
    return std::nullopt;
  }
  return std::move(std::exchange(under_way_, nullptr)->planned);
}

}  // namespace qanat::domain
