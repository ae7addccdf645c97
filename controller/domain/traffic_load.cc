#include "controller/domain/traffic_load.hh"

#include <algorithm>

namespace qanat::domain {

using Kind = CapacityBook::Kind;

void TrafficLoad::add(const CapacityBook::Key& resource, ids::Tier tier, double bps, std::uint32_t pairs) {
  if (bps <= 0 || pairs == 0) return;
  Amount& amount = rows_[{resource, tier}];
  amount.bps += bps;
  amount.pairs += pairs;
}

void TrafficLoad::join(std::vector<ForeignAsk>& asks, const CapacityBook& book) const {
  for (const auto& [row, amount] : rows_) {
    if (!book.knows(row.resource)) continue;
    const std::uint32_t parts = std::min(amount.pairs, kMostAsks);
    for (std::uint32_t i = 0; i < parts; ++i)
      asks.push_back({row.tier, amount.bps / parts, telemetry::DemandBook::kUsualPacket, {row.resource}});
  }
}

TrafficLoad TrafficLoad::read(const google::protobuf::RepeatedPtrField<proto::v1::TrafficUse>& uses,
                              const std::function<bool(std::uint32_t node)>& has) {
  TrafficLoad out;
  for (const auto& use : uses)
    if (const auto resource = resource_of(use.resource(), has); resource && use.tier() < ids::kTierCount)
      out.add(*resource, static_cast<ids::Tier>(use.tier()), 1e3 * static_cast<double>(use.kbps()),
              use.pairs());
  return out;
}

void TrafficLoad::write(google::protobuf::RepeatedPtrField<proto::v1::TrafficUse>& uses) const {
  for (const auto& [row, amount] : rows_) {
    auto& use = *uses.Add();
    domain::write(row.resource, *use.mutable_resource());
    use.set_tier(static_cast<std::uint32_t>(row.tier));
    use.set_kbps(static_cast<std::uint64_t>(amount.bps / 1e3));
    use.set_pairs(amount.pairs);
  }
}

void each_use(const TrafficQuestion& question,
              const std::function<void(const TrafficAsk&, const CapacityBook::Key&, double bps)>& take) {
  for (const TrafficAsk& ask : question.asks) {
    const auto held = question.held.find(ask.key);
    std::uint32_t whole = 0;  // of the split that is left on usable routes
    if (held != question.held.end())
      for (const auto& route : ask.routes) whole += held->second.of(route);
    for (std::size_t p = 0; p < ask.routes.size(); ++p) {
      const double part =
          whole == 0 ? (p == 0 ? 1 : 0) : static_cast<double>(held->second.of(ask.routes[p])) / whole;
      if (part <= 0) continue;
      for (const auto& resource : question.capacities.used_by(
               ids::NodeId{ask.key.first.first}, ids::NodeId{ask.key.first.second}, ask.routes[p]))
        take(ask, resource, ask.bps * part);
    }
  }
}

std::optional<CapacityBook::Key> resource_of(const proto::v1::TrafficResource& resource,
                                             const std::function<bool(std::uint32_t node)>& has) {
  if (!has(resource.node())) return std::nullopt;
  const ids::NodeId node{resource.node()};
  if (resource.kind() == 2) return CapacityBook::relay_of(node);
  if (resource.kind() > 2 || resource.plane() == 0 || resource.plane() > ids::PlaneId::kMax)
    return std::nullopt;
  return CapacityBook::line(resource.kind() == 0 ? Kind::Line : Kind::LineIn, node,
                            ids::PlaneId{static_cast<std::uint8_t>(resource.plane())});
}

void write(const CapacityBook::Key& resource, proto::v1::TrafficResource& out) {
  out.set_kind(resource.kind == Kind::Relay ? 2 : resource.kind == Kind::LineIn ? 1 : 0);
  out.set_node(resource.node.value);
  if (resource.kind != Kind::Relay) out.set_plane(resource.route.planes[0].value);
}

}  // namespace qanat::domain
