// Domain, traffic: what nodes say of it, and how pairs' flows are split for it. Without demand nothing is computed or sent.
#include <algorithm>

#include "controller/domain/domain.hh"
#include "controller/domain/traffic_plan.hh"

namespace qanat::domain {

void Domain::note_traffic(MemberId member, const proto::v1::Telemetry& telemetry, Now now) {
  const ids::NodeId node{member};
  for (const auto& d : telemetry.demands()) {
    if (d.tier() >= ids::kTierCount) continue;
    if (!membership_.current().contains(d.peer())) {
      note_across(node, d, now);
      continue;
    }
    demands_.on_report({node, ids::NodeId{d.peer()}, static_cast<ids::Tier>(d.tier())},
                       {std::uint64_t{d.kbps()} * 1000, d.packet_bytes(), d.limited()}, now.mono);
  }
  for (const auto& line : telemetry.lines()) {
    if (line.plane() > ids::PlaneId::kMax) continue;
    const ids::PlaneId plane{static_cast<std::uint8_t>(line.plane())};
    capacities_.set_line(node, plane, 1e3 * line.rate_kbps());
    capacities_.set_line_in(node, plane, 1e3 * line.rate_in_kbps());
  }
  if (telemetry.relay_packets_per_s() != 0) capacities_.set_relay(node, telemetry.relay_packets_per_s());
  for (const auto& path : telemetry.paths()) {
    if (path.capacity_kbps() == 0) continue;
    // Numbers of lists are those of the configuration that the node acknowledged.
    for (const auto& policy : rollouts_[member].held.policies())
      if (policy.endpoint() == path.endpoint() && policy.tier() == path.tier())
        for (const auto& held : policy.paths())
          if (const auto route = route_of(held, policy.endpoint()); route && held.path_id() == path.path_id())
            capacities_.measured(node, ids::NodeId{path.endpoint()}, *route, 1e3 * path.capacity_kbps(),
                                 now.mono);
  }
}

// The last step is not everywhere yet.
bool Domain::spreading() const {
  for (const auto& [id, rollout] : rollouts_)
    if (rollout.respread && rollout.connected && (rollout.dirty || rollout.inflight.version() != 0))
      return true;
  return false;
}

void Domain::run_traffic(Now now) {
  if (auto planned = plans_.take(now.mono)) apply_traffic(*planned, now);
  if (!plans_.due(now.mono)) return;
  plan_traffic(now);
  bound_probes(now);
}

void Domain::plan_traffic(Now now) {
  plans_.pass(now.mono);
  demands_.expire(now.mono);
  capacities_.expire(now.mono);
  forecast_.observe(demands_, now.mono, now.unix_s);
  auto expected = forecast_.expected(now.unix_s);
  if (demands_.empty() && spreads_.empty() && expected.empty()) {
    traffic_ = {};
    own_load_ = {};
    reserved_used_.clear();
    TrafficQuestion nothing;
    if (now.mono - started_ >= kTrafficWarmUp) reserve_planes(nothing, now);
    return;
  }
  if (now.mono - started_ < kTrafficWarmUp || spreading()) return;
  const base::Time began = stopwatch();
  const auto usable = [this](const Pair& pair, const paths::Route& route) {
    return engine_.evaluate(pair, route, paths::Resting::AreRelays).state == telemetry::LinkState::Usable;
  };
  std::map<std::uint8_t, double> prices;
  for (const auto& [plane, price] : rules_.prices) prices[plane] = price.at(now.unix_s);
  TrafficQuestion question = gather({demands_, capacities_, selections_, spreads_, usable,
                                     std::move(expected), std::move(prices), &limited_, &tier_ways_},
                                    now.mono);
  planned_tenants_.clear();
  if (const auto rated = rated_tenants(); !rated.empty()) {
    question.rated = true;
    divide(question.asks, rated);
    for (const auto& t : rated)
      planned_tenants_.push_back(
          {.tenant = t.name, .committed_bps = t.committed_bps, .burst_bps = t.burst_bps});
    for (const auto& ask : question.asks)
      if (ask.tenant) planned_tenants_[*ask.tenant].asked_bps += ask.bps;
  }
  add_foreign(question, now);
  reserve_planes(question, now);
  gather_seconds_ = seconds_since(began);
  plans_.begin(std::move(question), now.mono);
}

// Of what the level's own pairs ask for: what the other level plans shares lines and relays, not what is reserved.
void Domain::reserve_planes(TrafficQuestion& question, Now now) {
  if (reserves_.idle(rules_)) return;
  double committed = 0;
  for (const RatedTenant& tenant : rated_tenants()) committed += tenant.committed_bps;
  const auto made = reserves_.observe(rules_, demand_on(rules_, question), committed, now.unix_s);
  if (const auto kept = reserves_.to_keep()) store_.set_values({{std::string(kReservesKept), *kept}});
  for (const auto& reservation : made) emit(PlaneReserves::news_of(reservation));
  reserves_.limit(question.capacities);
}

// Whom rates are promised, and what is reserved, is said without demand too.
session::TrafficView Domain::traffic() const {
  session::TrafficView out = traffic_;
  out.late_plans = plans_.late();
  reserves_.show(rules_, reserved_used_, out);
  if (out.tenants.empty())
    for (const auto& t : rated_tenants())
      out.tenants.push_back({.tenant = t.name, .committed_bps = t.committed_bps, .burst_bps = t.burst_bps});
  return out;
}

std::vector<RatedTenant> Domain::rated_tenants() const {
  std::vector<RatedTenant> out;
  if (rules_.rates.empty()) return out;
  const auto names = own_names();
  for (const auto* tenant : tenants_in_force())
    for (const auto& rate : rules_.rates)
      if (rate.tenant == tenant->name())
        out.push_back({rate.tenant, rate.committed_bps, rate.burst_bps, member_ids(*tenant, names)});
  for (auto& tenant : out) std::sort(tenant.members.begin(), tenant.members.end());
  return out;
}

void Domain::apply_traffic(PlanRun::Planned& planned, Now now) {
  TrafficPlan& plan = planned.plan;
  for (auto& [id, rollout] : rollouts_) rollout.respread = false;
  const auto may_change = [&](const SpreadKey& key) {
    if (!move_budget_.spend(rules_, pairs_.size(), now)) return false;
    if (const auto at = rollouts_.find(key.first.first); at != rollouts_.end())
      at->second.dirty = at->second.respread = true;
    return true;
  };
  std::erase_if(plan.spreads,
                [this](const auto& s) { return !selections_.contains(s.first.first); });  // not any more
  follow(spreads_, plan.spreads, may_change);
  reserved_used_ = std::move(plan.reserved_bps);
  traffic_ = {.demands = plan.demands,
              .demand_bps = plan.demand_bps,
              .carried_bps = plan.carried_bps,
              .spread = spreads_.size(),
              .plan_seconds = planned.seconds,
              .hold_seconds = gather_seconds_,
              .rise_bps = planned.rise_bps,
              .forecasts = forecast_.size(),
              .plane_bps = plan.plane_bps,
              .cost_per_hour = plan.cost_per_hour,
              .tenants = std::move(planned_tenants_)};
  for (const auto& [tenant, bps] : plan.tenant_bps) traffic_.tenants[tenant].carried_bps = bps;
}

}  // namespace qanat::domain
