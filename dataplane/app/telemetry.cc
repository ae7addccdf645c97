#include "dataplane/app/telemetry.hh"

#include <string>

#include "identifiers/proto/southbound.pb.h"

namespace qanat::app {
namespace {

std::uint32_t to_us(base::Duration d) {
  return static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::microseconds>(d).count());
}

}  // namespace

void TelemetryReporter::begin() {
  news_ = {};
  next_full_ = {};
}

void TelemetryReporter::append(const forwarder::Status& status, const packet::DropCounters& drops,
                               const forwarder::Counters& counters, base::Time now,
                               proto::v1::Telemetry& out) {
  const bool full = now >= next_full_;
  if (full) next_full_ = now + kEverything;
  for (const forwarder::PeerStatus& peer : status.peers)
    for (const forwarder::AdjacencyStatus& taken : peer.adjacencies) {
      const auto told = news_.take(peer.node, taken, full);
      if (!told) continue;
      const forwarder::AdjacencyStatus& a = *told;
      auto& report = *out.add_adjacencies();
      report.set_peer(peer.node.value);
      report.set_local_plane(a.local_plane.value);
      report.set_remote_plane(a.remote_plane.value);
      report.set_rtt_min_us(to_us(a.rtt_min));
      report.set_rtt_mean_us(to_us(a.rtt_mean));
      report.set_one_way_raw_us(a.one_way_raw_us);
      report.set_jitter_us(to_us(a.jitter));
      report.set_probes_sent(a.probes);
      report.set_probes_lost(a.lost);
      report.set_alive(a.state == path::State::Alive);
      report.set_heard_probes(a.heard.probes);
      report.set_heard_lost(a.heard.lost);
      report.set_heard_reordered(a.heard.reordered);
      report.set_heard_jitter_us(to_us(a.heard.jitter));
    }
  news_.end_round();
  if (demands_.append(status, now, out)) {
    for (const KnownRates::Line& known : rates_.lines) {
      auto& line = *out.add_lines();
      line.set_plane(known.plane.value);
      line.set_rate_kbps(static_cast<std::uint32_t>(known.bps / 1000));
      line.set_rate_in_kbps(static_cast<std::uint32_t>(known.in_bps / 1000));
    }
    out.set_relay_packets_per_s(rates_.relay_packets_per_s);
  }
  if (!full) return;
  for (const forwarder::PathStatus& p : status.paths) {
    auto& report = *out.add_paths();
    report.set_path_id(p.id.value);
    report.set_endpoint(p.endpoint.value);
    report.set_tier(static_cast<std::uint32_t>(p.tier));
    report.set_rtt_us(to_us(p.rtt));
    report.set_loss_ppm(p.loss_ppm);
    report.set_alive(p.state == path::State::Alive);
    report.set_active(p.active);
    report.set_bytes_sent(p.bytes);
    report.set_capacity_kbps(static_cast<std::uint32_t>(p.capacity_bps / 1000));
  }
  const auto add = [&](std::string name, std::uint64_t value) {
    auto& counter = *out.add_counters();
    counter.set_name(std::move(name));
    counter.set_value(value);
  };
  for (std::size_t i = 0; i < packet::kDropReasonCount; ++i) {
    const auto reason = static_cast<packet::DropReason>(i);
    if (drops[reason] != 0) add("drop_" + std::string(packet::to_string(reason)), drops[reason]);
  }
  for (std::size_t i = 0; i < forwarder::kCounterCount; ++i) {
    const auto counter = static_cast<forwarder::Counter>(i);
    add(std::string(forwarder::to_string(counter)), counters[counter]);
  }
}

}  // namespace qanat::app
