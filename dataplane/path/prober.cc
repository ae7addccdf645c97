#include "dataplane/path/prober.hh"

#include <algorithm>
#include <utility>

namespace qanat::path {
namespace {

constexpr base::Duration kHousekeeping = std::chrono::milliseconds{100};
constexpr base::Duration kReorderHorizon = std::chrono::seconds{2};
constexpr std::size_t kMaxEvents = 1024;
constexpr std::uint32_t kHopelessProbes = 50;
constexpr int kHopelessFactor = 10;

std::uint64_t to_us(base::Time t) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(t.time_since_epoch()).count());
}
base::Time from_us(std::uint64_t us) {
  return base::Time{std::chrono::microseconds{static_cast<std::int64_t>(us & 0x7fffffffffffffULL)}};
}
// The next multiple of the interval, so that all fast probes of a box leave in one wake-up.
base::Time aligned(base::Time now, base::Duration interval) {
  return base::Time{(now.time_since_epoch() / interval + 1) * interval};
}

}  // namespace

void Prober::configure(ProberConfig config, base::Time now) {
  std::unordered_map<std::uint64_t, Path> old;
  std::unordered_map<std::uint64_t, std::uint64_t> chosen;
  for (const Policy& p : policies_)
    if (p.chosen != kNoPath)
      chosen[std::uint64_t{p.config.endpoint.value} << 8 | static_cast<std::uint8_t>(p.config.tier)] =
          paths_[p.chosen].config.identity;
  for (Path& p : paths_) old.emplace(p.config.identity, std::move(p));

  config_ = std::move(config);
  active_interval_ = config_.active_interval;
  paths_.clear();
  policies_.clear();
  due_.clear();
  due_next_ = 0;
  for (auto& [id, peer] : peers_) peer.paths.clear();
  for (std::uint32_t i = 0; i < config_.paths.size(); ++i) {
    const PathConfig& c = config_.paths[i];
    Path path;
    if (const auto it = old.find(c.identity); it != old.end()) {
      path = std::move(it->second);
    } else {
      // Spread over the interval, so that a mesh does not beat in time.
      path.due =
          now + config_.mesh_interval * static_cast<int>(c.identity * 0x9e3779b97f4a7c15ULL >> 56) / 256;
    }
    if (path.config.largest != c.largest || path.sequence == 0) path.mtu = MtuSearch(c.largest);
    path.config = c;
    path.in_policy = false;
    path.policies.clear();
    paths_.push_back(std::move(path));
    peers_[c.peer].paths.push_back(i);
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
      if (paths_[p].in_policy) paths_[p].due = std::min(paths_[p].due, now);
  next_scan_ = std::min(next_scan_, now);
  std::int64_t fast = 0;
  for (const auto& [id, other] : peers_)
    if (other.active)
      fast +=
          std::count_if(other.paths.begin(), other.paths.end(), [&](auto p) { return paths_[p].in_policy; });
  active_interval_ = std::max(config_.active_interval,
                              base::Duration{std::chrono::seconds{1}} * fast / kMostProbesPerSecond);
}

base::Duration Prober::interval(const Path& path, const Peer& peer) const {
  if (path.in_policy)
    return peer.active ? std::min(active_interval_, config_.mesh_interval) : config_.mesh_interval;
  // Lines that do not reach each other are asked now and then only.
  const State state = path.liveness.state();
  const bool hopeless = path.sequence > kHopelessProbes && (state == State::Untested || state == State::Dead);
  return hopeless ? kHopelessFactor * config_.mesh_interval : config_.mesh_interval;
}

void Prober::on_probe(ids::NodeId from, const packet::Probe& probe, base::Time now) {
  const auto it = peers_.find(from);
  if (it == peers_.end()) return;
  Peer& peer = it->second;

  // 1. What we heard of their path; kept newest first.
  auto heard =
      std::find_if(peer.heard.begin(), peer.heard.end(), [&](const auto& h) { return h.id == probe.path; });
  if (heard == peer.heard.end()) {
    if (peer.heard.size() == packet::Probe::kMaxReports) peer.heard.pop_back();
    peer.heard.insert(peer.heard.begin(), HeardPath{probe.path, 0, 0, now - kReorderHorizon, 0, 0, 0});
    heard = peer.heard.begin();
  }
  ++heard->received;
  const bool again = now - heard->at >= kReorderHorizon;  // as below: perhaps another life of theirs
  if (probe.padded_bytes != 0 && (again || probe.sequence > heard->padded_sequence))
    heard->padded_sequence = probe.sequence;
  // Newer by their clock; after a long silence anything is (they may have started again).
  if (probe.transmit_us > heard->transmit_us || now - heard->at >= kReorderHorizon) {
    heard->sequence = probe.sequence;
    heard->transmit_us = probe.transmit_us;
    heard->at = now;
    heard->one_way_raw_us = static_cast<std::int64_t>(to_us(now) - probe.transmit_us);
    std::rotate(peer.heard.begin(), heard, heard + 1);
  }

  // 2. What they heard of ours.
  for (const packet::ProbeReport& report : probe.entries())
    for (const std::uint32_t p : peer.paths)
      if (paths_[p].config.id == report.path) {
        on_report(paths_[p], report, probe, now);
        break;
      }
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
  const Heard heard{report.last_sequence, transmitted, since};
  if (path.liveness.on_report(heard, path.estimate.jitter(), now))
    state_changed(static_cast<std::uint32_t>(&path - paths_.data()), now);
}

void Prober::state_changed(std::uint32_t index, base::Time now) {
  Path& path = paths_[index];
  const State state = path.liveness.state();
  if (state == State::Alive || state == State::Dead)
    push({state == State::Alive ? Event::Kind::PathUp : Event::Kind::PathDown,
          path.config.peer,
          {},
          path.config.id,
          {},
          now});
  for (const std::uint32_t p : path.policies) select(policies_[p], now);
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
    for (std::uint32_t i = 0; i < paths_.size(); ++i)
      if (paths_[i].liveness.on_timer(now)) state_changed(i, now);
  }
  if (now < next_scan_) return;
  due_.erase(due_.begin(), due_.begin() + static_cast<std::ptrdiff_t>(due_next_));
  due_next_ = 0;
  base::Time next = now + config_.mesh_interval;
  for (auto& [id, peer] : peers_) {
    for (const std::uint32_t p : peer.paths) {
      Path& path = paths_[p];
      const base::Duration every = interval(path, peer);
      if (path.due <= now) {
        due_.push_back(p);
        // No catching up after lateness: a burst of probes would say nothing more than one.
        path.due = every >= config_.mesh_interval ? std::max(path.due + every, now + every / 2)
                                                  : aligned(now, every);
      }
      next = std::min(next, path.due);
    }
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
  const base::Time reference = std::min(now, std::max(drained_, base::Time{}));
  for (const HeardPath& h : peers_.at(path.config.peer).heard) {
    const auto since = std::chrono::duration_cast<std::chrono::microseconds>(reference - h.at).count();
    probe.add({h.id, h.sequence, h.transmit_us,
               static_cast<std::uint32_t>(std::clamp<std::int64_t>(since, 0, 0xffffffffLL)), h.received,
               h.one_way_raw_us, h.padded_sequence});
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
