#include "dataplane/app/adjacency_news.hh"

#include <algorithm>

namespace qanat::app {
namespace {

using namespace std::chrono_literals;

// telemetry::Matrix takes a link for usable from its second good report on.
constexpr unsigned kReportsUntilUsable = 2;

bool moved(base::Duration told, base::Duration now, base::Duration least, int share) {
  return std::max(told - now, now - told) >= std::max(least, told / share);
}

}  // namespace

void AdjacencyNews::add(Adjacency& known, const forwarder::AdjacencyStatus& a) {
  forwarder::AdjacencyStatus sums = a;
  const forwarder::AdjacencyStatus& before = known.untold;
  if (a.samples != 0) known.rtt_sum += a.rtt_mean * a.samples;
  sums.samples += before.samples;
  sums.probes += before.probes;
  sums.lost += before.lost;
  sums.heard.probes += before.heard.probes;
  sums.heard.lost += before.heard.lost;
  sums.heard.reordered += before.heard.reordered;
  if (before.samples != 0)
    sums.rtt_min = a.samples != 0 ? std::min(before.rtt_min, a.rtt_min) : before.rtt_min;
  sums.rtt_mean = sums.samples != 0 ? known.rtt_sum / sums.samples : a.rtt;
  if (sums.samples == 0) sums.rtt_min = a.rtt;
  known.untold = sums;
}

bool AdjacencyNews::is_news(const Adjacency& known, bool alive) {
  const auto& a = known.untold;
  if (alive != known.alive) return true;
  if (!alive) return false;
  if (a.samples != 0 && known.told_alive < kReportsUntilUsable) return true;
  if (a.lost != 0 || a.heard.lost != 0 || (known.lossy && a.probes + a.heard.probes != 0)) return true;
  return moved(known.rtt, a.rtt, 100us, 64) || moved(known.jitter, a.jitter, 500us, 8) ||
         moved(known.heard_jitter, a.heard.jitter, 500us, 8);
}

std::optional<forwarder::AdjacencyStatus> AdjacencyNews::take(ids::NodeId peer,
                                                              const forwarder::AdjacencyStatus& a,
                                                              bool whole) {
  const auto [at, fresh] = known_.try_emplace({peer, a.local_plane, a.remote_plane});
  Adjacency& known = at->second;
  known.round = round_;
  add(known, a);
  const bool alive = a.state == path::State::Alive;
  if (!whole && !fresh && !is_news(known, alive)) return std::nullopt;
  const forwarder::AdjacencyStatus told = known.untold;
  known.told_alive = !alive ? 0 : known.told_alive + (told.samples != 0 ? 1 : 0);
  known.alive = alive;
  known.lossy = told.lost != 0 || told.heard.lost != 0;
  known.rtt = told.rtt;
  known.jitter = told.jitter;
  known.heard_jitter = told.heard.jitter;
  known.untold = {};
  known.rtt_sum = {};
  return told;
}

void AdjacencyNews::end_round() {
  std::erase_if(known_, [&](const auto& entry) { return entry.second.round != round_; });
  ++round_;
}

}  // namespace qanat::app
