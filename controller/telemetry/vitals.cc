#include "controller/telemetry/vitals.hh"

namespace qanat::telemetry {

Vitals& Vitals::operator+=(const Vitals& other) {
  nodes += other.nodes;
  paths += other.paths;
  dead += other.dead;
  loss_ppm += other.loss_ppm;
  rtt_us += other.rtt_us;
  drops_milli += other.drops_milli;
  return *this;
}

void VitalsBook::on_report(ids::NodeId node, Vitals paths, std::uint64_t dropped, base::Time now) {
  const auto [at, fresh] = known_.try_emplace(node.value);
  Kept& kept = at->second;
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now - kept.heard).count();
  const bool counted = !fresh && ms > 0 && dropped >= kept.dropped;
  paths.nodes = 1;
  paths.drops_milli = counted ? (dropped - kept.dropped) * 1'000'000 / static_cast<std::uint64_t>(ms)
                              : kept.vitals.drops_milli;
  kept.vitals = paths;
  kept.heard = now;
  kept.dropped = dropped;
}

const VitalsBook::Entry* VitalsBook::of(ids::NodeId node) const {
  const auto at = known_.find(node.value);
  return at == known_.end() ? nullptr : &at->second;
}

}  // namespace qanat::telemetry
