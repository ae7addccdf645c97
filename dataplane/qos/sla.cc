#include "dataplane/qos/sla.hh"

#include <algorithm>
#include <cmath>

namespace qanat::qos {
namespace {

constexpr std::size_t kLeastPoints = 8;  // fewer are no trend
constexpr double kExplained = 0.6;       // of the variance, by the line: less is noise
constexpr std::size_t kMaxEvents = 64;

double seconds(base::Duration d) { return std::chrono::duration<double>(d).count(); }
double milliseconds(base::Duration d) { return seconds(d) * 1e3; }

}  // namespace

std::string_view to_string(SlaTerm term) {
  constexpr std::array<std::string_view, kSlaTerms> kNames{"path", "latency",   "jitter",
                                                           "loss", "bandwidth", "deadline"};
  return kNames[static_cast<std::size_t>(term)];
}

std::string_view to_string(SlaState state) {
  constexpr std::array<std::string_view, 4> kNames{"unknown", "holds", "predicted", "violated"};
  return kNames[static_cast<std::size_t>(state)];
}

bool SlaMonitor::watches(SlaTerm term) const {
  switch (term) {
    case SlaTerm::Path: return true;
    case SlaTerm::Latency: return terms_.latency.has_value();
    case SlaTerm::Jitter: return terms_.jitter.has_value();
    case SlaTerm::Loss: return terms_.loss_ppm.has_value();
    case SlaTerm::Bandwidth: return terms_.bandwidth_bps.has_value();
    case SlaTerm::Deadline: return terms_.deadline.has_value();
  }
  return false;
}

SlaMonitor::View SlaMonitor::view(SlaTerm term) const {
  const Watch& w = watch(term);
  return {w.state, w.value, w.limit};
}

SlaState SlaMonitor::state() const {
  SlaState worst = SlaState::Unknown;
  for (const Watch& w : watches_) worst = std::max(worst, w.state);
  return worst;
}

std::optional<SlaEvent> SlaMonitor::poll_event() {
  if (events_.empty()) return std::nullopt;
  const SlaEvent event = events_.front();
  events_.pop_front();
  return event;
}

void SlaMonitor::enter(SlaTerm term, SlaState state, double value, ids::PathId path, base::Time now) {
  Watch& w = watch(term);
  const bool silent = state == SlaState::Holds && w.state == SlaState::Unknown;
  w.state = state;
  w.calm_since = base::Time{};
  if (silent) return;
  if (events_.size() == kMaxEvents) events_.pop_front();
  events_.push_back({term, state, path, value, w.limit, now});
}

// Where the line through the newest samples is at the horizon; nothing when they are no line.
std::optional<double> SlaMonitor::expected(const Watch& w, base::Time now) {
  if (w.points.size() < kLeastPoints || now - w.points.front().at < kTrend / 2) return std::nullopt;
  double t_mean = 0, v_mean = 0;
  for (const Point& p : w.points) {
    t_mean += seconds(p.at - now);
    v_mean += p.value;
  }
  const auto n = static_cast<double>(w.points.size());
  t_mean /= n;
  v_mean /= n;
  double tt = 0, tv = 0, vv = 0;
  for (const Point& p : w.points) {
    const double t = seconds(p.at - now) - t_mean, v = p.value - v_mean;
    tt += t * t;
    tv += t * v;
    vv += v * v;
  }
  if (tt <= 0 || vv <= 0 || tv * tv < kExplained * tt * vv) return std::nullopt;
  return v_mean + tv / tt * (seconds(kHorizon) - t_mean);
}

void SlaMonitor::judge(SlaTerm term, double value, double limit, bool at_least, ids::PathId path,
                       base::Time now) {
  Watch& w = watch(term);
  w.value = value;
  w.limit = limit;
  w.points.push_back({now, value});
  while (now - w.points.front().at > kTrend || w.points.size() > kMaxSamples) w.points.pop_front();

  const auto broken = [&](double v, double bound) { return at_least ? v < bound : v > bound; };
  const bool beyond = broken(value, limit);
  const bool calm = !broken(value, at_least ? limit / 0.9 : limit * 0.9);
  w.beyond = beyond ? w.beyond + 1 : 0;
  if (!calm)
    w.calm_since = base::Time{};
  else if (w.calm_since == base::Time{})
    w.calm_since = now;
  const bool quiet = calm && now - w.calm_since >= kQuiet;

  if (w.state != SlaState::Violated && w.beyond >= kIn)
    return enter(term, SlaState::Violated, value, path, now);
  const auto soon = w.state == SlaState::Violated ? std::nullopt : expected(w, now);
  const bool trend = soon && broken(*soon, limit);
  switch (w.state) {
    case SlaState::Unknown:
      if (!beyond) enter(term, SlaState::Holds, value, path, now);
      break;
    case SlaState::Holds:
      if (trend && !beyond) enter(term, SlaState::Predicted, *soon, path, now);
      break;
    case SlaState::Predicted:
      if (quiet && !trend) enter(term, SlaState::Holds, value, path, now);
      break;
    case SlaState::Violated:
      if (quiet) enter(term, SlaState::Holds, value, path, now);
      break;
  }
}

// A transfer: late is what is not done in time; it will be late if it goes on as it did.
void SlaMonitor::judge_deadline(const SlaSample& sample, base::Time now) {
  if (!bytes_at_first_) bytes_at_first_ = sample.bytes;
  // Counters begin anew with a path's configuration: what was sent before it is not known any more.
  if (sample.bytes < *bytes_at_first_) bytes_at_first_ = sample.bytes;
  const double done = static_cast<double>(sample.bytes - *bytes_at_first_);
  const double left = std::max(0.0, static_cast<double>(terms_.bytes) - done);
  progress_.push_back({now, done});
  while (now - progress_.front().at > kTrend || progress_.size() > kMaxSamples) progress_.pop_front();

  Watch& w = watch(SlaTerm::Deadline);
  w.limit = seconds(*terms_.deadline);
  const double passed = seconds(now - set_);
  const double span = seconds(now - progress_.front().at);
  const double rate = span > 0 ? (done - progress_.front().value) / span : 0;
  w.value = left <= 0 ? std::min(passed, w.limit) : rate > 0 ? passed + left / rate : w.limit * 1000;
  if (left <= 0) {
    if (w.state != SlaState::Holds && w.state != SlaState::Violated)
      enter(SlaTerm::Deadline, SlaState::Holds, w.value, sample.path, now);
    return;
  }
  if (passed > w.limit) {
    if (w.state != SlaState::Violated)
      enter(SlaTerm::Deadline, SlaState::Violated, w.value, sample.path, now);
    return;
  }
  if (span < seconds(kTrend) / 2) return;
  const bool late = w.value > w.limit;
  w.beyond = late ? w.beyond + 1 : 0;
  if (late && w.beyond >= kIn && w.state != SlaState::Predicted)
    enter(SlaTerm::Deadline, SlaState::Predicted, w.value, sample.path, now);
  else if (w.value < 0.9 * w.limit && w.state != SlaState::Holds)
    enter(SlaTerm::Deadline, SlaState::Holds, w.value, sample.path, now);
}

void SlaMonitor::on_sample(const SlaSample& sample, base::Time now) {
  Watch& path = watch(SlaTerm::Path);
  path.value = sample.alive ? 1 : 0;
  path.limit = 1;
  const SlaState reached = sample.alive ? SlaState::Holds : SlaState::Violated;
  if (path.state != reached) enter(SlaTerm::Path, reached, path.value, sample.path, now);
  if (sample.alive) {
    if (terms_.latency && sample.rtt)
      judge(SlaTerm::Latency, milliseconds(*sample.rtt), milliseconds(*terms_.latency), false, sample.path,
            now);
    if (terms_.jitter && sample.jitter)
      judge(SlaTerm::Jitter, milliseconds(*sample.jitter), milliseconds(*terms_.jitter), false, sample.path,
            now);
    if (terms_.loss_ppm && sample.loss_ppm)
      judge(SlaTerm::Loss, *sample.loss_ppm / 1e4, *terms_.loss_ppm / 1e4, false, sample.path, now);
    if (terms_.bandwidth_bps && sample.rate_bps)
      judge(SlaTerm::Bandwidth, *sample.rate_bps / 1e6, static_cast<double>(*terms_.bandwidth_bps) / 1e6,
            true, sample.path, now);
  }
  if (terms_.deadline) judge_deadline(sample, now);
}

}  // namespace qanat::qos
