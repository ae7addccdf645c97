#include "dataplane/path/prober.hh"

#include <algorithm>
#include <utility>

#include "dataplane/path/probe_clock.hh"

namespace qanat::path {
namespace {

constexpr base::Duration kHousekeeping = std::chrono::milliseconds{100};
constexpr std::size_t kMaxEvents = 1024;
constexpr std::uint32_t kHopelessProbes = 50;
constexpr int kHopelessFactor = 10;

// The next multiple of the interval, so that all fast probes of a box leave in one wake-up.
base::Time aligned(base::Time now, base::Duration interval) {
  return base::Time{(now.time_since_epoch() / interval + 1) * interval};
}

}  // namespace

void Prober::configure(ProberConfig config, base::Time now) {
  std::unordered_map<std::uint64_t, std::pair<Path, base::Time>> old;
  std::unordered_map<std::uint64_t, std::uint64_t> chosen;
  for (const Policy& p : policies_)
    if (p.chosen != kNoPath)
      chosen[std::uint64_t{p.config.endpoint.value} << 8 | static_cast<std::uint8_t>(p.config.tier)] =
          paths_[p.chosen].config.identity;
  for (std::size_t i = 0; i < paths_.size(); ++i)
    old.emplace(paths_[i].config.identity, std::pair(std::move(paths_[i]), probe_due_[i]));

  config_ = std::move(config);
  active_interval_ = config_.active_interval;
  busy_interval_ = config_.active_interval / 2;
  paths_.clear();
  probe_due_.clear();
  policies_.clear();
  due_.clear();
  due_next_ = 0;
  for (auto& [id, peer] : peers_) peer.paths.clear();
  for (std::uint32_t i = 0; i < config_.paths.size(); ++i) {
    const PathConfig& c = config_.paths[i];
    Path path;
    base::Time due{};
    if (const auto it = old.find(c.identity); it != old.end()) {
      path = std::move(it->second.first);
      due = it->second.second;
    } else {
      // Spread over the interval, so that a mesh does not beat in time.
      due = now + config_.mesh_interval * static_cast<int>(c.identity * 0x9e3779b97f4a7c15ULL >> 56) / 256;
    }
    if (path.config.largest != c.largest || path.sequence == 0) path.mtu = MtuSearch(c.largest);
    path.config = c;
    path.in_policy = false;
    path.policies.clear();
    path.peer = &peers_[c.peer];
    path.peer->paths.push_back(i);
    paths_.push_back(std::move(path));
    probe_due_.push_back(due);
  }
  std::erase_if(peers_, [](const auto& entry) { return entry.second.paths.empty(); });
  for (std::uint32_t i = 0; i < config_.policies.size(); ++i) {
    Policy policy;
    policy.config = config_.policies[i];
    std::size_t rank = 0;
    const auto before = chosen.find(std::uint64_t{policy.config.endpoint.value} << 8 |
                                    static_cast<std::uint8_t>(policy.config.tier));
    for (const std::uint32_t p : policy.config.paths) {
      paths_[p].policies.push_back(i);
      if (rank++ < kProbedPerPolicy) paths_[p].in_policy = true;
      if (before != chosen.end() && paths_[p].config.identity == before->second) policy.chosen = p;
    }
    policies_.push_back(std::move(policy));
  }
  for (Policy& p : policies_) select(p, now);
  look_due_.assign(paths_.size(), now);
  next_scan_ = now;
  next_housekeeping_ = now;
}

bool Prober::active(ids::NodeId peer, base::Time now) const {
  const auto it = peers_.find(peer);
  return it != peers_.end() && it->second.active && now - it->second.traffic < kActiveFor;
}

void Prober::on_traffic(ids::NodeId peer, base::Time now) {
  if (peer == traffic_peer_ && now == traffic_at_) return;  // the rest of a train
  traffic_peer_ = peer;
  traffic_at_ = now;
  const auto it = peers_.find(peer);
  if (it == peers_.end()) return;
  it->second.traffic = now;
  if (!it->second.active) set_active(it->second, true, now);
}

void Prober::set_active(Peer& peer, bool active, base::Time now) {
  peer.active = active;
  if (active)
    for (const std::uint32_t p : peer.paths)
      if (paths_[p].in_policy) probe_due_[p] = std::min(probe_due_[p], now);
  next_scan_ = std::min(next_scan_, now);
  std::int64_t fast = 0;
  for (const auto& [id, other] : peers_)
    if (other.active)
      fast +=
          std::count_if(other.paths.begin(), other.paths.end(), [&](auto p) { return paths_[p].in_policy; });
  const base::Duration least = base::Duration{std::chrono::seconds{1}} * fast / kMostProbesPerSecond;
  active_interval_ = std::max(config_.active_interval, least);
  busy_interval_ = std::max(config_.active_interval / 2, least);
}

base::Duration Prober::interval(std::uint32_t index, const Peer& peer, base::Time now) const {
  const Path& path = paths_[index];
  if (path.in_policy) {
    if (!peer.active) return config_.mesh_interval;
    const bool busy = now - peer.traffic < kBusyFor && foremost(index);
    return std::min(busy ? busy_interval_ : active_interval_, config_.mesh_interval);
  }
  // Lines that do not reach each other are asked now and then only.
  const State state = path.liveness.state();
  const bool hopeless = path.sequence > kHopelessProbes && (state == State::Untested || state == State::Dead);
  return hopeless ? kHopelessFactor * config_.mesh_interval : config_.mesh_interval;
}

void Prober::on_probe(ids::NodeId from, const packet::Probe& probe, base::Time now) {
  const auto it = peers_.find(from);
  if (it == peers_.end()) return;
  Peer& peer = it->second;

  // 1. What we heard of their path.
  if (lies_behind(peer, note_heard(peer, probe, now), now)) peer.suspects = suspects_ = true;

  // 2. What they heard of ours: first of all paths when, then of each what that means.
  const auto each = [&](auto&& take) {
    for (const packet::ProbeReport& report : probe.entries())
      for (const std::uint32_t p : peer.paths)
        if (paths_[p].config.id == report.path) {
          take(paths_[p], report);
          break;
        }
  };
  each([&](Path& path, const packet::ProbeReport& report) { note_arrival(path, report); });
  each([&](Path& path, const packet::ProbeReport& report) { on_report(path, report, probe, now); });
}

void Prober::on_report(Path& path, const packet::ProbeReport& report, const packet::Probe& carrier,
                       base::Time now) {
  const bool advanced =
      report.last_sequence > path.liveness.last_confirmed() && report.last_sequence <= path.sequence;
  const base::Time transmitted = from_us(report.last_transmit_us);
  const base::Duration since{std::chrono::microseconds{report.since_heard_us}};
  // An adjacency's RTT is that of the adjacency both ways: only the mirrored path's probe measures it. All mesh probes
  // may run in lock step, another path's report always being the first with the news: the mirror need only be new to us.
  const bool direct = packet::is_direct_path_id(path.config.id);
  const std::uint32_t pq = path.config.id.value & 0xff;
  const std::uint32_t mirror = 0xff000000u | (pq & 0x0f) << 4 | pq >> 4;
  const bool mirrored = carrier.path.value == mirror && report.last_sequence > path.rtt_sequence &&
                        report.last_sequence <= path.sequence;
  if (direct ? mirrored : advanced) {
    path.rtt_sequence = report.last_sequence;
    path.estimate.on_rtt(now - transmitted - since);
  }
  if (advanced) {
    path.estimate.on_one_way(report.one_way_raw_us);
    path.estimate.on_counts(report.last_sequence, report.received + path.mtu.expected_losses(), now);
  }
  if (report.last_sequence <= path.sequence &&
      path.mtu.on_report(report.padded_sequence, report.last_sequence, now))
    push({Event::Kind::MtuChanged, path.config.peer, {}, path.config.id, {}, now});
  Heard heard{report.last_sequence, transmitted, since, report.received + path.mtu.expected_losses()};
  if (!advanced) compare(path, report, heard);
  const auto index = static_cast<std::uint32_t>(&path - paths_.data());
  const bool changed =
      path.liveness.on_report(heard, {path.estimate.jitter(), path.estimate.loss_ppm()}, now);
  look_due_[index] = path.liveness.next_timeout();
  if (changed) state_changed(index, now);
}

void Prober::state_changed(std::uint32_t index, base::Time now) {
  Path& path = paths_[index];
  const State state = path.liveness.state();
  // What comes back, or loses too much, counts as down until it is used again.
  if (state == State::Alive || state == State::Dead || path.told_up) {
    path.told_up = state == State::Alive;
    push({path.told_up ? Event::Kind::PathUp : Event::Kind::PathDown,
          path.config.peer,
          {},
          path.config.id,
          {},
          now});
  }
  for (const std::uint32_t p : path.policies) select(policies_[p], now);
}

// In use by a policy, or what would be if that died now: probed twice as often while there is traffic.
bool Prober::foremost(std::uint32_t path) const {
  for (const std::uint32_t i : paths_[path].policies) {
    const Policy& policy = policies_[i];
    if (policy.chosen == path) return true;
    for (const std::uint32_t p : policy.config.paths) {
      if (p == path) return true;
      if (p != policy.chosen && paths_[p].liveness.usable()) break;
    }
  }
  return false;
}

// The first alive by preference; without one, what delivers again although held down; then what was never tested;
// then whatever was in use: a guess is better than none.
void Prober::select(Policy& policy, base::Time now) {
  const auto first = [&](State wanted) {
    for (const std::uint32_t p : policy.config.paths)
      if (paths_[p].liveness.state() == wanted) return p;
    return kNoPath;
  };
  std::uint32_t best = first(State::Alive);
  if (best == kNoPath) best = first(State::Returning);
  if (best == kNoPath) best = first(State::Untested);
  if (best == kNoPath) best = policy.chosen;
  if (best == kNoPath && !policy.config.paths.empty()) best = policy.config.paths.front();
  if (best == policy.chosen) return;
  const ids::PathId before = policy.chosen == kNoPath ? ids::PathId{} : paths_[policy.chosen].config.id;
  policy.chosen = best;
  push({Event::Kind::Switched, policy.config.endpoint, policy.config.tier, paths_[best].config.id, before,
        now});
}

void Prober::on_timer(base::Time now) {
  if (now >= next_housekeeping_) {
    next_housekeeping_ = now + kHousekeeping;
    for (auto& [id, peer] : peers_)
      if (peer.active && now - peer.traffic >= kActiveFor) set_active(peer, false, now);
    for (std::uint32_t i = 0; i < paths_.size(); ++i) {
      if (look_due_[i] > now) continue;
      const bool changed = paths_[i].liveness.on_timer(now);
      look_due_[i] = paths_[i].liveness.next_timeout();
      if (changed) state_changed(i, now);
    }
  }
  if (now < next_scan_) return;
  due_.erase(due_.begin(), due_.begin() + static_cast<std::ptrdiff_t>(due_next_));
  due_next_ = 0;
  base::Time next = now + config_.mesh_interval;
  for (std::uint32_t p = 0; p < probe_due_.size(); ++p) {
    base::Time& due = probe_due_[p];
    if (due <= now) {
      due_.push_back(p);
      const base::Duration every = interval(p, *paths_[p].peer, now);
      // No catching up after lateness: a burst of probes would say nothing more than one.
      due = every >= config_.mesh_interval ? std::max(due + every, now + every / 2) : aligned(now, every);
    }
    next = std::min(next, due);
  }
  next_scan_ = next;
}

base::Time Prober::next_timeout() const {
  if (due_next_ < due_.size()) return base::Time{};
  return std::min(next_scan_, next_housekeeping_);
}

std::optional<std::uint32_t> Prober::poll_due(base::Time) {
  if (due_next_ >= due_.size()) return std::nullopt;
  return due_[due_next_++];
}

packet::Probe Prober::make_probe(std::uint32_t index, base::Time now) {
  Path& path = paths_[index];
  packet::Probe probe;
  probe.path = path.config.id;
  probe.sequence = ++path.sequence;
  probe.transmit_us = to_us(now);
  probe.padded_bytes = path.mtu.on_send(probe.sequence, now);
  path.liveness.on_sent(probe.sequence, now);
  look_due_[index] = path.liveness.next_timeout();
  const base::Time reference = std::min(now, std::max(drained_, base::Time{}));
  for (const HeardPath& h : peers_.at(path.config.peer).heard) {
    const Seen& seen = h.drains == drains_ ? h.drained : h.now;
    if (seen.sequence == 0) continue;
    const auto since = std::chrono::duration_cast<std::chrono::microseconds>(reference - seen.at).count();
    probe.add({h.id, seen.sequence, seen.transmit_us,
               static_cast<std::uint32_t>(std::clamp<std::int64_t>(since, 0, 0xffffffffLL)), seen.received,
               seen.one_way_raw_us, seen.padded_sequence});
  }
  return probe;
}

PathView Prober::view(std::uint32_t index) const {
  const Path& p = paths_[index];
  return {p.config.peer,       p.config.id,           p.liveness.state(),          p.estimate.rtt(),
          p.estimate.jitter(), p.estimate.loss_ppm(), p.estimate.one_way_raw_us(), p.sequence,
          p.mtu.confirmed()};
}

void Prober::on_too_big(std::uint32_t index, std::uint16_t datagram_bytes, base::Time now) {
  Path& path = paths_[index];
  if (path.mtu.on_too_big(datagram_bytes, now))
    push({Event::Kind::MtuChanged, path.config.peer, {}, path.config.id, {}, now});
}

void Prober::push(Event event) {
  if (events_.size() == kMaxEvents) events_.pop_front();
  events_.push_back(event);
}

std::optional<Event> Prober::poll_event() {
  if (events_.empty()) return std::nullopt;
  const Event event = events_.front();
  events_.pop_front();
  return event;
}

}  // namespace qanat::path
