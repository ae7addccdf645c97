#include "tools/sim/measuring.hh"

#include <algorithm>

#include "tools/sim/shard.hh"

namespace qanat::sim {
namespace {

constexpr std::uint64_t kIpAndUdpBytes = 28;

void add(Measuring::Each& to, std::uint64_t before, std::uint64_t now, double over_s) {
  const double per_s = static_cast<double>(now < before ? now : now - before) / over_s;
  to.all_per_s += per_s;
  to.most_per_s = std::max(to.most_per_s, per_s);
}

}  // namespace

std::vector<MeasuringWatch::Counted> MeasuringWatch::count(const World& world) {
  std::vector<Counted> out(world.reported.size());
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i].reports = world.reported[i].messages;
    out[i].report_bytes = world.reported[i].bytes;
    if (i >= world.boxes.size() || world.boxes[i] == nullptr || !world.boxes[i]->up()) continue;
    const auto& counters = world.boxes[i]->forwarder()->counters();
    out[i].probes = counters[forwarder::Counter::ProbesSent];
    out[i].probe_bytes = counters[forwarder::Counter::ProbeBytesSent] + kIpAndUdpBytes * out[i].probes;
  }
  return out;
}

void MeasuringWatch::begin(const World& world, base::Time now) {
  before_ = count(world);
  began_ = now;
}

Measuring MeasuringWatch::result(const World& world, base::Time now) const {
  Measuring out;
  out.over = now - began_;
  const double over_s = std::chrono::duration<double>(out.over).count();
  if (before_.empty() || over_s <= 0) return out;
  const std::vector<Counted> after = count(world);
  std::vector<std::uint64_t> to_controller(world.controllers.size());
  for (std::size_t i = 0; i < after.size(); ++i) {
    const std::uint64_t bytes = after[i].report_bytes - before_[i].report_bytes;
    if (i >= world.boxes.size()) {
      add(out.domain_report_bytes, 0, bytes, over_s);
      continue;
    }
    if (world.boxes[i] == nullptr) continue;
    ++out.boxes;
    add(out.probes, before_[i].probes, after[i].probes, over_s);
    add(out.probe_bytes, before_[i].probe_bytes, after[i].probe_bytes, over_s);
    add(out.reports, before_[i].reports, after[i].reports, over_s);
    add(out.report_bytes, 0, bytes, over_s);
    to_controller[world.boxes[i]->identity().controller - world.boxes.size()] += bytes;
    if (!world.boxes[i]->up()) continue;
    if (const auto& held = world.boxes[i]->held())
      out.most_peers =
          std::max(out.most_peers, static_cast<std::size_t>(std::max(held->config->nodes_size() - 1, 0)));
  }
  for (std::size_t c = 0; c < to_controller.size(); ++c)
    if (!world.controllers[c]->identity().global) add(out.controller_bytes, 0, to_controller[c], over_s);
  return out;
}

}  // namespace qanat::sim
