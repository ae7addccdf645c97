// Which peers are managed, and the pipes that stand for their paths.
#include <algorithm>

#include "dataplane/forwarder/forwarder.hh"

namespace qanat::forwarder {

using ids::Tier;

namespace {

constexpr base::Duration kLook = std::chrono::milliseconds{50};
constexpr double kRateMemory = 1.0 / 20;  // of a look: a second, as often as followers tell

}  // namespace

// The lead decides for all workers: it alone sees probes, and hears from the others how much they send.
void Forwarder::watch_modes(base::Time now) {
  if (now - modes_looked_ < kLook) return;
  const double seconds = std::chrono::duration<double>(now - modes_looked_).count();
  modes_looked_ = now;
  for (const auto& [id, state] : peers_) {
    PeerState& to = *state;
    const bool quiet = to.sent_bytes == to.looked_bytes && to.managed == nullptr && to.rate < 1;
    if (quiet && options_.adaptive != Adaptive::On && !policy_->shapes_lines()) continue;
    const double rate = static_cast<double>(to.sent_bytes - to.looked_bytes) / seconds;
    to.looked_bytes = to.sent_bytes;
    to.rate += (rate - to.rate) * kRateMemory;
    set_managed(to, wants_managing(to, now), now);
  }
}

bool Forwarder::wants_managing(PeerState& to, base::Time now) {
  if (!to.session.established(now)) return false;
  if (policy_->shapes_lines())
    for (const std::uint32_t r : routes_.adjacencies(to.id))
      if (policy_->line(routes_.routes()[r].line) != nullptr) return true;
  if (options_.adaptive != Adaptive::Auto) return options_.adaptive == Adaptive::On;
  const std::uint32_t policy = routes_.policy(to.id, Tier::Bulk);
  if (policy == path::kNoPath || (to.rate < 1 && !to.modes.managed())) return false;
  const std::uint32_t probe = chosen(policy);
  if (probe == path::kNoPath || !usable(probe)) return to.modes.managed();
  const path::PathView view = prober_.view(probe);
  const bool limited = to.managed != nullptr && now - to.managed->limited < 2 * kLook;
  return to.modes.look(to.rate, view.id, view.rtt, view.loss_ppm, limited, now);
}

void Forwarder::set_managed(PeerState& to, bool managed, base::Time now) {
  if (managed) {
    if (to.managed == nullptr) {
      to.managed = std::make_unique<ManagedPeer>(path::BundleOptions{}, now);
      managed_.push_back(&to);
    }
    to.managed->draining = false;
    return;
  }
  if (to.managed == nullptr) return;
  to.managed->draining = true;
  if (backlog(to.id) == 0 && to.managed->bundle.in_flight() == 0 && to.managed->bundle.lost_waiting() == 0) {
    std::erase(managed_, &to);
    to.managed.reset();
  }
}

void Forwarder::forget_managed(PeerState& to) {
  std::erase(managed_, &to);
  to.managed.reset();
}

std::optional<PipeStatus> Forwarder::pipe_status(const ManagedPeer& managed, std::uint32_t probe) {
  const auto i = managed.pipe_of(probe);
  if (!i) return std::nullopt;
  const path::Pipe& pipe = managed.bundle.pipe(*i);
  PipeStatus out;
  out.rate_bps = pipe.bandwidth() * 8;
  out.measured = pipe.congestion().measured();
  out.srtt = pipe.rtt();
  out.queue = pipe.congestion().queue_delay();
  out.loss_ppm = static_cast<std::uint32_t>(pipe.loss() * 1e6);
  out.window_bytes = pipe.congestion().window();
  out.in_flight_bytes = pipe.in_flight();
  out.resent = managed.bundle.counts().resent;
  return out;
}

// The paths worth a pipe: what bulk uses and every usable one that no single failure takes with it or with each other;
// what the other tiers use; what carries the copies of `critical`.
std::vector<std::uint32_t> Forwarder::wanted_probes(const PeerState& to) {
  std::vector<std::uint32_t> probes;
  // What the prober chose is the best there is, held down or not.
  const auto add = [&](std::uint32_t probe, bool best = false) {
    if (probe != path::kNoPath && (best || usable(probe)) && probes.size() < ManagedPeer::kMostPipes &&
        std::find(probes.begin(), probes.end(), probe) == probes.end())
      probes.push_back(probe);
  };
  const auto add_weighted = [&](std::uint32_t policy) {
    if (routes_.policies()[policy].weighted)
      for (const std::uint32_t r : routes_.policies()[policy].routes)
        if (routes_.routes()[r].weight != 0) add(routes_.routes()[r].probe);
  };
  const std::uint32_t bulk = routes_.policy(to.id, Tier::Bulk);
  if (bulk != path::kNoPath) {
    add(chosen(bulk), true);
    add_weighted(bulk);
    for (const std::uint32_t r : routes_.policies()[bulk].routes) {
      const Route& route = routes_.routes()[r];
      const bool apart = std::all_of(probes.begin(), probes.end(), [&](std::uint32_t p) {
        return overlap(routes_.routes()[routes_.probe_routes()[p]], route) == Overlap::None;
      });
      if (apart) add(route.probe);
    }
  }
  for (const Tier tier : ids::kTiers)
    if (const std::uint32_t policy = routes_.policy(to.id, tier); policy != path::kNoPath) {
      add(chosen(policy), true);
      add_weighted(policy);
      if (tier != Tier::Critical) continue;
      const CopyPair& pair = copies(policy);
      if (pair.second == nullptr) continue;
      add(pair.first->probe);
      add(pair.second->probe);
    }
  return probes;
}

// What striping may give to a way at most, against the others; nothing: as much as it takes.
std::optional<double> Forwarder::bulk_share(ids::NodeId to, std::uint32_t probe) {
  const std::uint32_t policy = routes_.policy(to, Tier::Bulk);
  if (policy == path::kNoPath || !routes_.policies()[policy].weighted) return std::nullopt;
  const Route* route = routes_.route(policy, probe);
  return route == nullptr ? 0 : route->weight;
}

void Forwarder::refresh_pipes(PeerState& to, base::Time now) {
  renew_pipes(to, now);
  if (policy_->shapes_lines()) hold_to_lines(*to.managed);
}

// A pipe whose line is full has no room: else what waits would wait for it while another line stands idle.
void Forwarder::hold_to_lines(ManagedPeer& managed) {
  for (std::size_t i = 0; i < managed.pipes.size(); ++i) {
    const ManagedPipe& pipe = managed.pipes[i];
    if (pipe.identity == 0) continue;
    const Route& route = routes_.routes()[routes_.probe_routes()[pipe.probe]];
    if (const qos::TokenBucket* line = policy_->line(route.line))
      managed.bundle.pipe(i).hold_to_line(line->rate_bps() / 8, line->ready_at());
    else
      managed.bundle.pipe(i).hold_to_line(0, {});
  }
}

void Forwarder::renew_pipes(PeerState& to, base::Time now) {
  ManagedPeer& managed = *to.managed;
  if (managed.generation == paths_generation_) return;
  managed.generation = paths_generation_;
  const std::vector<std::uint32_t> wanted = wanted_probes(to);
  const auto identity_of = [&](std::uint32_t probe) {
    return identity(routes_.routes()[routes_.probe_routes()[probe]]);
  };
  // 1. Pipes whose way is still configured go on, under its present number; others give up what is under way.
  const auto& probes = routes_.probe_routes();
  for (std::size_t i = 0; i < managed.pipes.size(); ++i) {
    ManagedPipe& pipe = managed.pipes[i];
    if (pipe.identity == 0) continue;
    const auto still = std::find_if(probes.begin(), probes.end(), [&](std::uint32_t r) {
      return routes_.routes()[r].peer == to.id && identity(routes_.routes()[r]) == pipe.identity;
    });
    if (still == probes.end()) {
      managed.bundle.remove_pipe(i, now);
      pipe = {};
    } else {
      pipe.probe = static_cast<std::uint32_t>(still - probes.begin());
    }
  }
  // 2. New ones.
  for (const std::uint32_t probe : wanted) {
    if (managed.pipe_of(probe)) continue;
    const Route& route = routes_.routes()[routes_.probe_routes()[probe]];
    path::Pipe::Options options;
    if (options_.share.lead()) {
      const path::PathView view = prober_.view(probe);
      if (view.rtt > base::Duration{}) options.congestion.initial_rtt = view.rtt;
      options.congestion.initial_loss = view.loss_ppm * 1e-6;
    }
    if (probe == wanted.front()) options.congestion.initial_rate = to.rate;  // it carried that unmanaged
    const std::size_t i = managed.bundle.add_pipe(options, now);
    if (managed.pipes.size() <= i) managed.pipes.resize(i + 1);
    managed.pipes[i] = {};
    managed.pipes[i].identity = identity_of(probe);
    managed.pipes[i].probe = probe;
  }
  // 3. Which of them live, and each tier's way on them.
  managed.usable = 0;
  for (std::size_t i = 0; i < managed.pipes.size(); ++i) {
    ManagedPipe& pipe = managed.pipes[i];
    if (pipe.identity == 0) continue;
    pipe.lives = std::find(wanted.begin(), wanted.end(), pipe.probe) != wanted.end();
    managed.bundle.set_usable(i, pipe.lives, now);
    managed.usable += pipe.lives ? 1 : 0;
    managed.bundle.set_share(i, bulk_share(to.id, pipe.probe));
    for (const Tier tier : ids::kTiers) {
      const std::uint32_t policy = routes_.policy(to.id, tier);
      Route*& route = pipe.routes[static_cast<std::size_t>(tier)];
      route = policy == path::kNoPath ? nullptr : routes_.route(policy, pipe.probe);
      Route& any = routes_.routes()[routes_.probe_routes()[pipe.probe]];
      // What carries a copy of `critical` is none of the other tiers' policies.
      const bool copies =
          tier == Tier::Critical && policy != path::kNoPath && routes_.policies()[policy].allows(any);
      managed.bundle.set_open(i, tier, policy == path::kNoPath || route != nullptr || copies);
      if (route == nullptr) route = &any;
    }
  }
  for (const Tier tier : ids::kTiers) {
    const std::uint32_t policy = routes_.policy(to.id, tier);
    if (policy == path::kNoPath) continue;
    if (const auto preferred = managed.pipe_of(chosen(policy)))
      managed.bundle.set_preferred(tier, *preferred);
  }
}

}  // namespace qanat::forwarder
