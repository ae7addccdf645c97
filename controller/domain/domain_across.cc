// Domain, traffic across domains: what our boxes send to others' over the lists that the global level chose, and what others
// send through ours. Neither is split here; both take their part of what our own pairs share.
#include <algorithm>

#include "controller/domain/domain.hh"

namespace qanat::domain {
namespace {

struct HeldWay {
  paths::Route route;
  double part = 0;
};

// Where a box's flows to an endpoint go by what it holds: by weights, or all by the list that is used first.
std::vector<HeldWay> ways_of(const proto::v1::NodeConfig& held, std::uint32_t endpoint, ids::Tier tier) {
  std::vector<HeldWay> out;
  for (const auto& policy : held.policies()) {
    if (policy.endpoint() != endpoint || policy.tier() != static_cast<std::uint32_t>(tier)) continue;
    const auto& paths = policy.paths();
    const bool weighted =
        std::any_of(paths.begin(), paths.end(), [](const auto& p) { return p.weight() > 1; });
    const auto first = std::min_element(paths.begin(), paths.end(), [](const auto& a, const auto& b) {
      return a.preference() < b.preference();
    });
    for (auto path = paths.begin(); path != paths.end(); ++path) {
      const double part = weighted ? path->weight() / double{Spread::kWhole} : path == first ? 1 : 0;
      if (const auto route = route_of(*path, endpoint); route && part > 0) out.push_back({*route, part});
    }
  }
  return out;
}

std::uint64_t kbps(double bps) { return static_cast<std::uint64_t>(bps / 1e3); }

}  // namespace

void Domain::keep_own_spreads() {
  std::erase_if(spreads_,
                [this](const auto& s) { return !membership_.current().contains(s.first.first.second); });
}

void Domain::note_across(ids::NodeId headend, const proto::v1::DemandReport& demand, Now now) {
  if (!remote_.contains(demand.peer())) return;
  across_.on_report({headend, ids::NodeId{demand.peer()}, static_cast<ids::Tier>(demand.tier())},
                    {std::uint64_t{demand.kbps()} * 1000, demand.packet_bytes(), demand.limited()}, now.mono);
}

void Domain::on_foreign(const proto::v1::ForeignTraffic& foreign, Now now) {
  foreign_ = TrafficLoad::read(foreign.uses(),
                               [this](std::uint32_t node) { return membership_.current().contains(node); });
  foreign_until_ = now.mono + kForeignLives;
}

// Of our own pairs first, which is what the global level is told.
void Domain::add_foreign(TrafficQuestion& question, Now now) {
  own_load_ = {};
  if (!has_parent_) return;
  each_use(question, [this](const TrafficAsk& ask, const CapacityBook::Key& resource, double bps) {
    if (resource.kind != CapacityBook::Kind::Way) own_load_.add(resource, ask.key.second, bps);
  });
  across_.expire(now.mono);
  for (const auto& [key, row] : across_.rows()) {
    const auto rollout = rollouts_.find(key.from.value);
    if (rollout == rollouts_.end()) continue;
    for (const HeldWay& way : ways_of(rollout->second.held, key.to.value, key.tier)) {
      auto uses = capacities_.used_by(key.from, key.to, way.route);
      if (!uses.empty())
        question.foreign.push_back(
            {key.tier, row.bps(now.mono) * way.part, row.packet_bytes(), std::move(uses)});
    }
  }
  if (now.mono < foreign_until_) foreign_.join(question.foreign, capacities_);
}

// Once more with nothing in it after the last of it.
void Domain::tell_traffic(proto::v1::DomainReport& report, Now now) {
  if (now.mono - traffic_told_ < kTrafficReport) return;
  across_.expire(now.mono);
  const bool any = !across_.empty() || !own_load_.empty() || !capacities_.empty();
  if (!any && !told_traffic_) return;
  traffic_told_ = now.mono;
  told_traffic_ = any;
  auto& traffic = *report.mutable_traffic();
  if (!any) return;
  for (const auto& [key, row] : across_.rows()) {
    auto& demand = *traffic.add_demands();
    demand.set_headend(key.from.value);
    demand.set_endpoint(key.to.value);
    demand.set_tier(static_cast<std::uint32_t>(key.tier));
    demand.set_kbps(kbps(row.bps(now.mono)));
    demand.set_packet_bytes(row.packet_bytes());
  }
  for (const auto& [key, amount] : capacities_.all()) {
    if (key.kind != CapacityBook::Kind::Way) {
      auto& capacity = *traffic.add_capacities();
      write(key, *capacity.mutable_resource());
      capacity.set_amount(key.kind == CapacityBook::Kind::Relay ? static_cast<std::uint64_t>(amount)
                                                                : kbps(amount));
    } else if (remote_.contains(key.endpoint.value)) {
      auto& way = *traffic.add_ways();
      way.set_headend(key.node.value);
      way.set_endpoint(key.endpoint.value);
      way.set_first_plane(key.route.planes[0].value);
      const auto segments = paths::segments_of(key.route, key.endpoint);
      way.mutable_segments()->Add(segments.begin(), segments.end());
      way.set_kbps(kbps(amount));
    }
  }
  own_load_.write(*traffic.mutable_uses());
}

}  // namespace qanat::domain
