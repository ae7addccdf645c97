// PlanRun: a level's plans of traffic, one at a time, on another thread where there is one. A plan counts a fixed time after
// what it was made of, however soon it was ready: the same ticks give the same bytes.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>

#include "base/time.hh"
#include "controller/domain/traffic_plan.hh"

namespace qanat::domain {

class PlanRun {
 public:
  // Between two plans, while there is any traffic to speak of.
  static constexpr base::Duration kEvery = std::chrono::seconds(3);
  // A plan that is not ready after this long counts kEvery later, or twice that …
  static constexpr base::Duration kTime = std::chrono::milliseconds(500);

  struct Options {
    // Runs work on another thread, one after the other; none: at once.
    std::function<void(std::function<void()>)> elsewhere{};
    std::function<base::Time()> stopwatch{};  // what work takes is told by it; none: 0
  };
  struct Planned {
    TrafficPlan plan;
    double rise_bps = 0;
    double seconds = 0;  // that it took
  };

  explicit PlanRun(Options options) : options_(std::move(options)) {}

  // Another one may begin: then either begin() it, or say that there is none to make.
  bool due(base::Time now) const { return under_way_ == nullptr && now - began_ >= kEvery; }
  void pass(base::Time now) { began_ = now; }
  void begin(TrafficQuestion question, base::Time now);
  // Once, when it counts.
  std::optional<Planned> take(base::Time now);
  std::uint64_t late() const { return late_; }  // that were not ready when they should have counted

 private:
  // Written by whom `elsewhere` runs until it is done, by us before and after.
  struct UnderWay {
    std::atomic<bool> done = false;
    Planned planned;
  };
  Options options_;
  std::shared_ptr<UnderWay> under_way_;
  base::Time began_{}, counts_at_{};
  std::uint64_t late_ = 0;
};

}  // namespace qanat::domain
