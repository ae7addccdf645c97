// How well a call was served, as its tenant saw it, against what was wished of it; and if it was not, why.
#include <chrono>
#include <string>

#include "base/clock.hh"
#include "gateway/relay/call.hh"

namespace qanat::relay {
namespace {

std::int64_t us_of(base::Duration d) { return d.count() / 1000; }
std::string ms_text(base::Duration d) { return std::to_string(d.count() / 1'000'000) + " ms"; }

}  // namespace

base::Counter& RelayMetrics::graded(meter::Miss miss) {
  base::Counter*& counter = graded_[static_cast<std::size_t>(miss)];
  if (!counter)
    counter = &registry.counter("qanat_gateway_calls_graded_total",
                                "Calls held against their SLA, by the cause of a miss",
                                {{"cause", std::string(to_string(miss))}});
  return *counter;
}

void Call::record_grade(meter::Service& service) {
  service.call = id_;
  service.tenant = key_.tenant;
  service.unix_ms = static_cast<std::int64_t>(base::unix_now_ms());
  service.wished_ttft_us = us_of(wish_.ttft);
  service.wished_tpot_us = us_of(wish_.tpot);
  relay_.metrics.graded(service.miss).add();
  relay_.grades.add(service);
}

void Call::grade_refusal(meter::Miss miss, std::string why) {
  meter::Service service;
  service.model = target_.request.model.empty() ? std::string_view(target_.text) : target_.request.model;
  service.miss = miss;
  service.detail = std::move(why);
  record_grade(service);
}

// Of a call that nobody can take: each pool, and what stands against it.
std::string Call::why_nobody() const {
  std::string why;
  for (const place::Option& o : decision_.options) {
    if (o.excluded == place::Excluded::Model || o.excluded == place::Excluded::Service) continue;
    why += (why.empty() ? "" : ", ") + o.instance + ": " + std::string(to_string(o.excluded));
  }
  return why;
}

void Call::grade(const place::Option& option, meter::Outcome outcome, std::uint64_t tokens) {
  if (outcome == meter::Outcome::Refused) return;  // the caller's mistake
  const base::Time now = base::monotonic_now();
  const bool begun = first_ != base::Time{};
  const base::Duration waited = (begun && scan_.stream ? first_ : now) - arrived_;
  const base::Duration most =
      scan_.stream ? wish_.ttft : wish_.ttft + wish_.tpot * static_cast<std::int64_t>(tokens);
  const bool late = waited > most;
  if (outcome == meter::Outcome::ClientGone && !begun && !late) return;  // it left of its own accord

  meter::Service service;
  service.model = option.model;
  service.answered = begun && outcome != meter::Outcome::UpstreamFailed;
  base::Duration pace{};
  if (begun && scan_.stream) {
    service.ttft_us = us_of(waited);
    if (tokens > 1) {
      pace = (now - first_) / static_cast<std::int64_t>(tokens - 1);
      service.tpot_us = us_of(pace);
    }
  }
  using enum meter::Miss;
  const std::string figures = late ? ms_text(waited) + " of " + ms_text(most) : std::string();
  const base::Duration before = dispatched_ - arrived_;  // that it waited here
  if (outcome == meter::Outcome::UpstreamFailed) {
    service.miss = PoolFailed;
    service.detail = tries_.empty() ? option.instance : tries_.back().pool + ": " + tries_.back().result;
  } else if (late && try_count_ > 1) {
    service.miss = Retried;
    service.detail = figures + "; " + tries_.front().pool + ": " + tries_.front().result;
  } else if (late && before > most / 2) {
    service.miss = warmed_ ? Cold : Full;
    service.detail = figures + ", " + ms_text(before) + " of them before a pool was asked";
  } else if (late && waited - option.path_rtt <= most) {
    service.miss = Network;
    service.detail = figures + "; the path's round trip " + ms_text(option.path_rtt);
  } else if (late) {
    service.miss = option.holds_sla ? PoolSlow : Full;
    service.detail = figures + " at " + option.instance + ", predicted " +
                     ms_text(scan_.stream ? option.forecast.ttft : option.forecast.total(tokens));
  } else if (pace > wish_.tpot) {
    service.miss = Pace;
    service.detail = option.instance + ": a token in " + std::to_string(us_of(pace)) + " µs of " +
                     std::to_string(us_of(wish_.tpot));
  }
  record_grade(service);
}

}  // namespace qanat::relay
