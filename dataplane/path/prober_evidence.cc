// What both ends know of each other's probes: which came when, here and there, and which lie behind the others.
#include <algorithm>
#include <utility>

#include "dataplane/path/probe_clock.hh"
#include "dataplane/path/prober.hh"

namespace qanat::path {
namespace {
constexpr base::Duration kReorderHorizon = std::chrono::seconds{2};
constexpr std::int64_t kOtherClockUs = 10'000'000;  // a one-way value that leaps further is of another life
constexpr std::int64_t kMostRawUs = std::int64_t{1} << 52;
}  // namespace

void Prober::note_arrival(Path& path, const packet::ProbeReport& report) {
  const Path::Arrival& newest = path.arrivals[(path.next_arrival - 1) % path.arrivals.size()];
  if (report.last_transmit_us <= newest.transmit_us) return;
  path.arrivals[path.next_arrival++ % path.arrivals.size()] = {report.last_transmit_us, arrival_us(report)};
  const std::int64_t above = std::clamp(report.one_way_raw_us, -kMostRawUs, kMostRawUs) - path.least_raw_us;
  path.least_raw_us += path.next_arrival == 1 || above < 0 || above > kOtherClockUs ? above : above / 256;
}

// Beside the other paths that this peer's traffic could take: probes of all leave in the same instants.
void Prober::compare(const Path& path, const packet::ProbeReport& report, Heard& heard) const {
  if (!path.in_policy) return;
  const std::int64_t written = arrival_us(report) + report.since_heard_us;
  const auto slack_us =
      std::chrono::duration_cast<std::chrono::microseconds>(path.liveness.slack(path.estimate.jitter()))
          .count();
  const base::Time next = path.liveness.sent_at(report.last_sequence + 1);
  const std::uint64_t next_us = next == base::Time::max() ? UINT64_MAX : to_us(next);
  std::uint64_t overtaken = 0;
  std::int64_t behind = 0;
  for (const std::uint32_t p : peers_.at(path.config.peer).paths) {
    const Path& other = paths_[p];
    if (&other == &path || !other.in_policy) continue;
    const std::int64_t apart = path.least_raw_us - other.least_raw_us;
    for (const Path::Arrival& a : other.arrivals) {
      if (a.transmit_us <= report.last_transmit_us) continue;
      const std::int64_t expected = a.at_us + apart;
      if (a.transmit_us >= next_us) behind = std::max(behind, written - expected);
      if (expected + slack_us <= written) overtaken = std::max(overtaken, a.transmit_us);
    }
  }
  if (overtaken != 0) heard.overtaken = from_us(overtaken);
  heard.behind = std::chrono::microseconds{std::min(behind, kOtherClockUs)};
}

// Kept newest first.
Prober::HeardPath& Prober::note_heard(Peer& peer, const packet::Probe& probe, base::Time now) {
  auto heard =
      std::find_if(peer.heard.begin(), peer.heard.end(), [&](const auto& h) { return h.id == probe.path; });
  if (heard == peer.heard.end()) {
    if (peer.heard.size() == packet::Probe::kMaxReports) peer.heard.pop_back();
    HeardPath fresh;
    fresh.id = probe.path;
    fresh.now.at = now - kReorderHorizon;
    heard = peer.heard.insert(peer.heard.begin(), fresh);
  }
  if (heard->drains != drains_) {
    heard->drained = heard->now;
    heard->drains = drains_;
  }
  heard->witness.on_probe(probe.sequence, static_cast<std::int64_t>(to_us(now) - probe.transmit_us));
  Seen& seen = heard->now;
  ++seen.received;
  const bool again =
      now - seen.at >= kReorderHorizon;  // after a long silence: perhaps another life of theirs
  if (probe.padded_bytes != 0 && (again || probe.sequence > seen.padded_sequence))
    seen.padded_sequence = probe.sequence;
  // Newer by their clock.
  if (probe.transmit_us > seen.transmit_us || again) {
    heard->spacing_us = again ? 0 : probe.transmit_us - seen.transmit_us;
    seen.sequence = probe.sequence;
    seen.transmit_us = probe.transmit_us;
    seen.at = now;
    seen.one_way_raw_us = static_cast<std::int64_t>(to_us(now) - probe.transmit_us);
    std::rotate(peer.heard.begin(), heard, heard + 1);
    heard = peer.heard.begin();
  }
  return *heard;
}

Witness::Interval Prober::take_heard(ids::NodeId from, ids::PathId theirs) {
  const auto peer = peers_.find(from);
  if (peer == peers_.end()) return {};
  for (HeardPath& h : peer->second.heard)
    if (h.id == theirs) return h.witness.take_interval();
  return {};
}

// Whether some other path of theirs is missing probes that left no later than `ahead`'s newest.
bool Prober::lies_behind(const Peer& peer, const HeardPath& ahead, base::Time now) {
  constexpr auto kLatest = std::chrono::duration_cast<std::chrono::microseconds>(kLatestHaste).count();
  for (const HeardPath& h : peer.heard) {
    if (h.spacing_us == 0 || h.spacing_us > kLatest / 5 || now - h.now.at > kLatestHaste) continue;
    const std::uint64_t lag = ahead.now.transmit_us - h.now.transmit_us;
    if (ahead.now.transmit_us > h.now.transmit_us && 2 * lag > 5 * h.spacing_us) return true;
  }
  return false;
}

void Prober::on_drained(base::Time now) {
  drained_ = now;
  ++drains_;
  if (!suspects_) return;
  suspects_ = false;
  for (auto& [id, peer] : peers_) {
    if (!std::exchange(peer.suspects, false) || !peer.active) continue;
    // Still behind, now that all sockets were read?
    if (peer.heard.empty() || !lies_behind(peer, peer.heard.front(), now)) continue;
    if (now - peer.hastened < kLeastHaste) continue;
    peer.hastened = now;
    for (const std::uint32_t p : peer.paths)
      if (paths_[p].in_policy) probe_due_[p] = std::min(probe_due_[p], now);
    next_scan_ = std::min(next_scan_, now);
  }
}

}  // namespace qanat::path
