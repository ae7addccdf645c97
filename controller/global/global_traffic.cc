// Global, traffic: how flows between domains are split over their lists. Domains tell what their boxes send to others' and what
// their own pairs take of lines and relays; a plan shares these, and each domain hears what others send through it. Domains
// plan their own pairs by that: each level takes the other's traffic as it is.
#include <algorithm>

#include "controller/global/global.hh"
#include "controller/paths/segment_route.hh"

namespace qanat::global {

using domain::CapacityBook;
using session::Membership;
using telemetry::DemandBook;

// All of it anew. A domain speaks for its own nodes alone.
void Global::on_traffic(MemberId domain, const proto::v1::DomainTraffic& traffic, Now now) {
  DomainState& state = domains_[domain];
  const auto has = [&state](std::uint32_t node) { return state.nodes.contains(node); };
  state.tells_traffic = true;
  Traffic told;
  told.heard = now.mono;
  for (const auto& d : traffic.demands())
    if (has(d.headend()) && !has(d.endpoint()) && names_.contains(d.endpoint()) &&
        d.tier() < ids::kTierCount && d.kbps() != 0)
      told.demands[{ids::NodeId{d.headend()}, ids::NodeId{d.endpoint()}, static_cast<ids::Tier>(d.tier())}] =
          {1e3 * static_cast<double>(d.kbps()), d.packet_bytes()};
  for (const auto& c : traffic.capacities())
    if (const auto key = domain::resource_of(c.resource(), has); key && c.amount() != 0)
      told.capacities.emplace_back(
          *key, static_cast<double>(c.amount()) * (key->kind == CapacityBook::Kind::Relay ? 1 : 1e3));
  for (const auto& way : traffic.ways()) {
    CapacityBook::Key key{CapacityBook::Kind::Way, ids::NodeId{way.headend()}, ids::NodeId{way.endpoint()}};
    const std::vector<std::uint32_t> segments(way.segments().begin(), way.segments().end());
    if (has(way.headend()) && names_.contains(way.endpoint()) && way.first_plane() <= ids::PlaneId::kMax &&
        way.kbps() != 0 &&
        paths::route_of(segments, static_cast<std::uint8_t>(way.first_plane()), key.endpoint, key.route))
      told.capacities.emplace_back(key, 1e3 * static_cast<double>(way.kbps()));
  }
  told.own = domain::TrafficLoad::read(traffic.uses(), has);
  state.traffic = std::move(told);
}

// The last step has not reached every domain yet; their boxes follow within a second.
bool Global::spreading() const {
  return std::any_of(domains_.begin(), domains_.end(),
                     [](const auto& d) { return d.second.respread && d.second.connected; });
}

void Global::run_traffic(Now now) {
  if (auto planned = plans_.take(now.mono)) apply_traffic(*planned, now);
  if (plans_.due(now.mono)) plan_traffic(now);
}

void Global::plan_traffic(Now now) {
  plans_.pass(now.mono);
  static const DemandBook kNone;  // domains have smoothed it
  CapacityBook capacities;
  std::map<DemandBook::Key, double> demands;
  for (auto& [id, state] : domains_) {
    if (now.mono - state.traffic.heard > kTrafficLives) state.traffic = {};
    for (const auto& [key, demand] : state.traffic.demands) demands[key] = demand.bps;
    for (const auto& [key, amount] : state.traffic.capacities) capacities.set(key, amount);
  }
  if (demands.empty() && spreads_.empty()) {
    traffic_ = {};
    reserved_used_.clear();
    domain::TrafficQuestion nothing;
    if (now.mono >= quiet_until_) reserve_planes(nothing, now);
    return;
  }
  if (spreading()) return;
  const auto clock = [this] { return stopwatch_ ? stopwatch_() : base::Time{}; };
  const base::Time began = clock();
  const auto usable = [this](const domain::Pair& pair, const paths::Route& route) {
    return engine_.evaluate(pair, route, paths::Resting::AreRelays).state == telemetry::LinkState::Usable;
  };
  std::map<std::uint8_t, double> prices;
  for (const auto& [plane, price] : rules_.prices) prices[plane] = price.at(now.unix_s);
  domain::TrafficQuestion question =
      domain::gather({kNone, capacities, selections_, spreads_, usable, std::move(demands), std::move(prices),
                      &limited_, nullptr},
                     now.mono);
  question.rise_bps = 0;
  for (auto& ask : question.asks) {
    ask.rise_bps = 0;
    const auto& [pair, tier] = ask.key;
    const Traffic& told = domains_.at(Membership::domain_of(pair.first)).traffic;
    const auto demand = told.demands.find({ids::NodeId{pair.first}, ids::NodeId{pair.second}, tier});
    if (demand != told.demands.end() && demand->second.packet_bytes != 0)
      ask.packet_bytes = demand->second.packet_bytes;
  }
  tell_foreign(question);
  for (const auto& [id, state] : domains_) state.traffic.own.join(question.foreign, question.capacities);
  reserve_planes(question, now);
  gather_seconds_ = std::chrono::duration<double>(clock() - began).count();
  plans_.begin(std::move(question), now.mono);
}

// What each domain's lines and relays carry for headends of others, as it is split now; and once that it is nothing any more.
void Global::tell_foreign(const domain::TrafficQuestion& question) {
  std::map<MemberId, domain::TrafficLoad> foreign;
  domain::each_use(
      question, [&](const domain::TrafficAsk& ask, const CapacityBook::Key& resource, double bps) {
        const MemberId owner = Membership::domain_of(resource.node.value);
        if (resource.kind != CapacityBook::Kind::Way && owner != Membership::domain_of(ask.key.first.first))
          foreign[owner].add(resource, ask.key.second, bps);
      });
  for (auto& [id, state] : domains_) {
    const auto load = foreign.find(id);
    const bool any = load != foreign.end();
    if (!state.connected || !state.tells_traffic || (!any && !state.told_foreign)) continue;
    state.told_foreign = any;
    proto::v1::Envelope envelope;
    auto& out = *envelope.mutable_foreign_traffic();
    if (any) load->second.write(*out.mutable_uses());
    members_.send(id, envelope);
  }
}

// As Domain::reserve_planes, of the pairs across domains; tenants' rates are domains' own.
void Global::reserve_planes(domain::TrafficQuestion& question, Now now) {
  if (reserves_.idle(rules_)) return;
  const auto made = reserves_.observe(rules_, domain::demand_on(rules_, question), 0, now.unix_s);
  if (const auto kept = reserves_.to_keep()) store_.set_values({{std::string(domain::kReservesKept), *kept}});
  for (const auto& reservation : made) emit(domain::PlaneReserves::news_of(reservation));
  reserves_.limit(question.capacities);
}

// As Domain::apply_traffic.
void Global::apply_traffic(domain::PlanRun::Planned& planned, Now now) {
  domain::TrafficPlan& plan = planned.plan;
  for (auto& [id, state] : domains_) state.respread = false;
  const auto may_change = [&](const domain::SpreadKey& key) {
    if (!move_budget_.spend(rules_, pairs_.size(), now)) return false;
    DomainState& state = domains_[Membership::domain_of(key.first.first)];
    state.dirty = state.respread = true;
    return true;
  };
  std::erase_if(plan.spreads,
                [this](const auto& s) { return !selections_.contains(s.first.first); });  // not any more
  domain::follow(spreads_, plan.spreads, may_change);
  reserved_used_ = std::move(plan.reserved_bps);
  traffic_ = {.demands = plan.demands,
              .demand_bps = plan.demand_bps,
              .carried_bps = plan.carried_bps,
              .spread = spreads_.size(),
              .plan_seconds = planned.seconds,
              .hold_seconds = gather_seconds_,
              .plane_bps = plan.plane_bps,
              .cost_per_hour = plan.cost_per_hour};
}

session::TrafficView Global::traffic() const {
  session::TrafficView out = traffic_;
  out.late_plans = plans_.late();
  reserves_.show(rules_, reserved_used_, out);
  return out;
}

}  // namespace qanat::global
