#include "controller/domain/spread.hh"

#include <algorithm>

#include "controller/paths/segment_route.hh"

namespace qanat::domain {

std::optional<paths::Route> route_of(const proto::v1::CandidatePath& path, std::uint32_t endpoint) {
  paths::Route route;
  const std::vector<std::uint32_t> segments(path.segments().begin(), path.segments().end());
  if (!paths::route_of(segments, static_cast<std::uint8_t>(path.first_plane()), ids::NodeId{endpoint}, route))
    return std::nullopt;
  return route;
}

std::uint32_t Spread::of(const paths::Route& route) const {
  for (const Part& part : parts)
    if (part.route == route) return part.permille;
  return 0;
}

std::vector<std::uint32_t> Spread::weights_for(const proto::v1::SrPolicy& policy) const {
  std::vector<std::uint32_t> out;
  std::uint32_t sum = 0;
  for (const auto& path : policy.paths()) {
    const auto route = route_of(path, policy.endpoint());
    out.push_back(route ? of(*route) : 0);
    sum += out.back();
  }
  if (sum != kWhole) out.clear();
  return out;
}

void follow(Spreads& held, const Spreads& plan, const std::function<bool(const SpreadKey&)>& may_change) {
  std::erase_if(held, [&](const auto& s) { return !plan.contains(s.first) && may_change(s.first); });
  for (const auto& [key, spread] : plan) {
    const auto at = held.find(key);
    if (at != held.end() && at->second.parts == spread.parts)
      at->second.allocated_bps = spread.allocated_bps;
    else if (may_change(key))
      held[key] = spread;
  }
}

void adopt(const proto::v1::NodeConfig& config, Spreads& spreads) {
  for (const auto& policy : config.policies()) {
    const auto& paths = policy.paths();
    if (std::none_of(paths.begin(), paths.end(), [](const auto& p) { return p.weight() > 1; })) continue;
    Spread spread;
    for (const auto& path : paths)
      if (const auto route = route_of(path, policy.endpoint()))
        spread.parts.push_back({*route, path.weight()});
    spreads[{{config.node_id(), policy.endpoint()}, static_cast<ids::Tier>(policy.tier())}] =
        std::move(spread);
  }
}

}  // namespace qanat::domain
