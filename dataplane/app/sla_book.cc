#include "dataplane/app/sla_book.hh"

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

namespace qanat::app {
namespace {

using nlohmann::json;

constexpr std::size_t kMostDestinations = 4096;  // of one SLA

base::Duration from_seconds(double s) {
  return base::Duration{static_cast<std::int64_t>(std::llround(s * 1e9))};
}
double rounded(double value) { return std::round(value * 1000) / 1000; }

const char* unit(qos::SlaTerm term) {
  switch (term) {
    case qos::SlaTerm::Latency:
    case qos::SlaTerm::Jitter: return "ms";
    case qos::SlaTerm::Loss: return "percent";
    case qos::SlaTerm::Bandwidth: return "mbit_s";
    case qos::SlaTerm::Deadline: return "s";
    case qos::SlaTerm::Path: break;
  }
  return "paths";
}

// What the active path of (endpoint, tier) measures now. The rate of a path that nothing holds back is not known.
qos::SlaSample sample_of(const forwarder::Status& status, ids::NodeId endpoint, ids::Tier tier) {
  qos::SlaSample out;
  for (const forwarder::PathStatus& p : status.paths) {
    if (p.endpoint != endpoint || p.tier != tier) continue;
    out.bytes += p.bytes;
    if (!p.active) continue;
    out.path = p.id;
    out.alive = p.state == path::State::Alive;
    if (p.rtt > base::Duration{}) out.rtt = p.rtt;
    out.jitter = p.jitter;
    out.loss_ppm = p.loss_ppm;
    if (!p.pipe) continue;
    if (p.pipe->srtt > base::Duration{}) out.rtt = p.pipe->srtt;
    if (p.pipe->rate_bps > 0) out.rate_bps = p.pipe->rate_bps;
  }
  return out;
}

}  // namespace

SlaRequest read_sla(const json& body, std::vector<std::string>& problems) {
  SlaRequest out;
  if (!body.is_object()) {
    problems.push_back("the body is no JSON object");
    return out;
  }
  static const std::set<std::string> kKeys{"to",       "tier",           "latency_ms", "jitter_ms",
                                           "loss_pct", "bandwidth_mbps", "bytes",      "deadline_s"};
  for (const auto& [key, value] : body.items())
    if (!kKeys.contains(key)) problems.push_back(key + ": unknown");
  const auto text = [&](const char* key) -> std::optional<std::string> {
    const auto it = body.find(key);
    if (it == body.end()) return std::nullopt;
    if (it->is_string()) return it->get<std::string>();
    problems.push_back(std::string(key) + ": not a string");
    return std::nullopt;
  };
  const auto number = [&](const char* key, double least, double most) -> std::optional<double> {
    const auto it = body.find(key);
    if (it == body.end()) return std::nullopt;
    const double value = it->is_number() ? it->get<double>() : least - 1;
    if (value >= least && value <= most) return value;
    problems.push_back(std::string(key) + ": not a number in its range");
    return std::nullopt;
  };
  out.to = text("to").value_or("");
  if (const auto tier = text("tier")) {
    if (const auto parsed = ids::parse_tier(*tier))
      out.tier = *parsed;
    else
      problems.push_back("tier: '" + *tier + "' is none of critical, interactive, bulk, scavenger");
  }
  if (const auto ms = number("latency_ms", 0.001, 3'600'000)) out.terms.latency = from_seconds(*ms / 1e3);
  if (const auto ms = number("jitter_ms", 0.001, 3'600'000)) out.terms.jitter = from_seconds(*ms / 1e3);
  if (const auto pct = number("loss_pct", 0, 100))
    out.terms.loss_ppm = static_cast<std::uint32_t>(std::lround(*pct * 1e4));
  if (const auto mbps = number("bandwidth_mbps", 0.001, 1e7))
    out.terms.bandwidth_bps = static_cast<std::uint64_t>(*mbps * 1e6);
  const auto bytes = number("bytes", 1, 1e18);
  const auto deadline = number("deadline_s", 0.1, 1e8);
  if (bytes.has_value() != deadline.has_value())
    problems.push_back("bytes, deadline_s: a deadline is both, so many bytes within so long");
  if (bytes && deadline) {
    out.terms.bytes = static_cast<std::uint64_t>(*bytes);
    out.terms.deadline = from_seconds(*deadline);
    if (out.to.empty()) problems.push_back("to: a deadline needs the destination that its bytes go to");
  }
  const qos::SlaTerms& t = out.terms;
  if (problems.empty() && !t.latency && !t.jitter && !t.loss_ppm && !t.bandwidth_bps && !t.deadline)
    problems.push_back(
        "asks for nothing: latency_ms, jitter_ms, loss_pct, bandwidth_mbps, or bytes with deadline_s");
  return out;
}

bool SlaBook::put(const std::string& name, SlaRequest request, base::Time now) {
  if (entries_.size() == kMost && !entries_.contains(name)) return false;
  entries_[name] = {std::move(request), now, {}};
  return true;
}

std::vector<HubEvent> SlaBook::evaluate(const forwarder::Status& status, base::Time now) {
  std::vector<HubEvent> out;
  for (auto& [name, entry] : entries_) {
    std::set<ids::NodeId> there;
    for (const forwarder::PathStatus& p : status.paths)
      if (p.tier == entry.request.tier &&
          (entry.request.to.empty() || name_of_(p.endpoint) == entry.request.to))
        there.insert(p.endpoint);
    for (const ids::NodeId endpoint : there)
      if (entry.monitors.size() < kMostDestinations)
        entry.monitors.try_emplace(endpoint, entry.request.terms, entry.set);
    for (auto& [endpoint, monitor] : entry.monitors) {
      monitor.on_sample(sample_of(status, endpoint, entry.request.tier), now);
      while (const auto event = monitor.poll_event()) {
        const char* kind = event->state == qos::SlaState::Violated    ? "sla_violated"
                           : event->state == qos::SlaState::Predicted ? "sla_predicted"
                                                                      : "sla_cleared";
        const json data{{"sla", name},
                        {"to", name_of_(endpoint)},
                        {"tier", ids::to_string(entry.request.tier)},
                        {"term", qos::to_string(event->term)},
                        {"value", rounded(event->value)},
                        {"limit", rounded(event->limit)},
                        {"unit", unit(event->term)},
                        {"path", event->path.value}};
        out.push_back({kind, data.dump()});
      }
    }
  }
  return out;
}

json SlaBook::show(const std::string& name, const Entry& entry) const {
  json destinations = json::array();
  for (const auto& [endpoint, monitor] : entry.monitors) {
    json terms = json::array();
    for (std::size_t t = 0; t < qos::kSlaTerms; ++t) {
      const auto term = static_cast<qos::SlaTerm>(t);
      if (!monitor.watches(term)) continue;
      const auto view = monitor.view(term);
      json one{{"term", qos::to_string(term)}, {"state", qos::to_string(view.state)}, {"unit", unit(term)}};
      if (view.state != qos::SlaState::Unknown) {
        one["value"] = rounded(view.value);
        one["limit"] = rounded(view.limit);
      }
      terms.push_back(std::move(one));
    }
    destinations.push_back({{"to", name_of_(endpoint)},
                            {"state", qos::to_string(monitor.state())},
                            {"terms", std::move(terms)}});
  }
  const qos::SlaTerms& t = entry.request.terms;
  const auto ms = [](base::Duration d) {
    return rounded(std::chrono::duration<double, std::milli>(d).count());
  };
  json out{{"name", name},
           {"to", entry.request.to},
           {"tier", ids::to_string(entry.request.tier)},
           {"destinations", std::move(destinations)}};
  if (t.latency) out["latency_ms"] = ms(*t.latency);
  if (t.jitter) out["jitter_ms"] = ms(*t.jitter);
  if (t.loss_ppm) out["loss_pct"] = *t.loss_ppm / 1e4;
  if (t.bandwidth_bps) out["bandwidth_mbps"] = static_cast<double>(*t.bandwidth_bps) / 1e6;
  if (t.deadline) {
    out["bytes"] = t.bytes;
    out["deadline_s"] = ms(*t.deadline) / 1e3;
  }
  return out;
}

json SlaBook::list() const {
  json out = json::array();
  for (const auto& [name, entry] : entries_) out.push_back(show(name, entry));
  return out;
}

std::optional<json> SlaBook::show(const std::string& name) const {
  const auto it = entries_.find(name);
  if (it == entries_.end()) return std::nullopt;
  return show(name, it->second);
}

}  // namespace qanat::app
