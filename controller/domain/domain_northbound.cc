// Domain, northbound: what operators see and ask for.
#include <algorithm>

#include "base/log.hh"
#include "controller/domain/domain.hh"
#include "controller/domain/path_reason.hh"
#include "controller/domain/views.hh"
#include "controller/domain/what_if.hh"
#include "controller/policy/tenant_check.hh"

namespace qanat::domain {

using session::LinkView;
using session::NodeView;
using session::PathView;
using session::TenantView;

session::Status Domain::status(Now now) const {
  session::Status s{.name = config_.name, .role = "domain", .domain = config_.domain, .epoch = epoch_};
  s.members = membership_.current().size();
  s.connected = static_cast<std::size_t>(
      std::count_if(rollouts_.begin(), rollouts_.end(), [](const auto& r) { return r.second.connected; }));
  s.links_usable = links_.usable();
  s.policies = selections_.size() * ids::kTierCount;
  s.cut_off = limited_.cut_off();
  s.paths_seconds = paths_seconds_;
  s.push_seconds = push_seconds_;
  s.relay_probes_per_s = probe_budget_.worst().probes_per_s;
  s.probes_stretched = probe_budget_.stretched();
  for (const auto& [id, r] : rollouts_) {
    if (!r.connected || r.inflight.version() == 0) continue;
    ++s.behind;
    s.behind_seconds = std::max(s.behind_seconds, std::chrono::duration<double>(now.mono - r.sent).count());
  }
  s.parent = !has_parent_ ? "" : parent_up_ ? "connected" : "lost";
  return s;
}

std::vector<NodeView> Domain::nodes() const {
  std::vector<NodeView> out;
  for (const auto& [id, member] : membership_.current()) {
    NodeView view = view_of(member.record);
    if (const auto at = rollouts_.find(id); at != rollouts_.end()) {
      view.connected = at->second.connected;
      view.version_sent = at->second.version;
      view.version_acked = at->second.held.version();
    }
    out.push_back(std::move(view));
  }
  for (const auto& [id, record] : remote_) out.push_back(view_of(*record));
  return out;
}

std::vector<LinkView> Domain::matrix(Now now) const {
  return views_of(matrix_.links(now.mono), now.mono, [this](std::uint32_t node) { return name_of(node); });
}

session::PastMatrix Domain::matrix_at(Now now, base::UnixSeconds at) const {
  return past_matrix(history_, links_.links(), now, at, [this](std::uint32_t node) { return name_of(node); });
}

std::vector<PathView> Domain::paths(const session::PathQuery& query) const {
  std::vector<PathView> out;
  const auto name = [this](std::uint32_t node) { return name_of(node); };
  for (const auto& [id, rollout] : rollouts_) {
    if (!query.from.empty() && name_of(id) != query.from) continue;
    const auto& config = rollout.inflight.version() != 0 ? rollout.inflight : rollout.held;
    for (const auto& policy : config.policies()) {
      const std::size_t first = out.size();
      append_views(id, policy, query, name, out);
      explain({id, policy.endpoint()}, policy, std::span(out).subspan(first));
      const auto spread = spreads_.find({{id, policy.endpoint()}, static_cast<ids::Tier>(policy.tier())});
      if (spread == spreads_.end()) continue;
      for (std::size_t i = first; i < out.size(); ++i)
        out[i].allocated_bps = spread->second.allocated_bps * out[i].weight.value_or(0) / Spread::kWhole;
    }
  }
  return out;
}

// Why the first list is first; those after it stand by, or take what the plan of traffic gives them.
void Domain::explain(const Pair& pair, const proto::v1::SrPolicy& policy, std::span<PathView> views) const {
  if (views.empty() || policy.paths().empty() || !membership_.current().contains(pair.second)) return;
  const auto tier = static_cast<ids::Tier>(policy.tier());
  const auto first = route_of(policy.paths(0), pair.second);
  views.front().reason =
      to_string(first ? reason_of(engine_, steering_, pair, limited_.limits().of(pair, tier),
                                  tier_lists().chosen(pair, tier), tier_ways_.of(pair, tier), *first)
                      : PathReason::Pending);
  const auto risks = [&](std::size_t list) {
    const auto route = route_of(policy.paths(static_cast<int>(list)), pair.second);
    return route ? engine_.risks_of(pair, *route) : 0;
  };
  for (std::size_t list = 1; list < views.size(); ++list) {
    views[list].reason = views[list].weight.value_or(0) > 0 ? "split" : "backup";
    const std::uint32_t shared = risks(0) & risks(list);
    for (std::size_t bit = 0; shared >> bit != 0; ++bit)
      if ((shared >> bit & 1) != 0 && bit < rules_.risks.size())
        views[list].shares.push_back(rules_.risks[bit].name);
  }
}

std::vector<TenantView> Domain::tenants() const {
  std::vector<TenantView> out;
  const auto name = [this](std::uint32_t node) { return name_of(node); };
  for (const auto& tenant : tenants_) out.push_back(view_of(tenant, name, false));
  for (const auto& tenant : directive_.tenants()) out.push_back(view_of(tenant, name, true));
  return out;
}

std::vector<TenantView> Domain::tenants_like(const TenantView& tenant) const {
  std::vector<TenantView> out;
  const auto name = [this](std::uint32_t node) { return name_of(node); };
  for (const auto& held : tenants_)
    if (held.name() == tenant.name || held.vni() == tenant.vni) out.push_back(view_of(held, name, false));
  return out;
}

std::variant<std::string, std::vector<std::string>> Domain::mint_join_token(const std::string& name,
                                                                            bool relay, std::uint64_t ttl_s,
                                                                            Now now) {
  return membership_.mint_join_token(name, relay, ttl_s, now);
}

std::vector<std::string> Domain::tenant_problems(const std::vector<TenantView>& all) const {
  std::vector<std::string> problems = problems_of(all);
  for (const TenantView& tenant : all) {
    for (const auto& other : directive_.tenants()) {
      if (other.vni() == tenant.vni || other.name() == tenant.name) {
        problems.push_back("tenant '" + other.name() + "' with vni " + std::to_string(other.vni()) +
                           " is the global controller's");
      }
    }
  }
  return problems;
}

std::vector<std::string> Domain::put_tenant(const TenantView& view, Now now) {
  const proto::v1::Tenant tenant = tenant_of(view);
  auto problems = tenant_problems({view});
  for (auto& problem : clashes(tenant, tenants_)) problems.push_back(std::move(problem));
  if (!problems.empty()) return problems;
  store_.put_tenant(tenant);
  const auto before = std::find_if(tenants_.begin(), tenants_.end(),
                                   [&](const auto& t) { return t.name() == tenant.name(); });
  tenant_changed(before == tenants_.end() ? proto::v1::Tenant() : *before, tenant);
  if (before != tenants_.end()) tenants_.erase(before);
  tenants_.push_back(tenant);
  emit({"tenant_changed", {{"name", tenant.name()}}});
  push(now);
  return {};
}

// Its members, those of before and those of now, are told anew; pairs are settled anew when others belong to it.
void Domain::tenant_changed(const proto::v1::Tenant& before, const proto::v1::Tenant& after) {
  const auto names = own_names();
  const auto old_ids = member_ids(before, names), new_ids = member_ids(after, names);
  everything_ |= old_ids != new_ids;
  for (const auto* ids : {&old_ids, &new_ids})
    for (const std::uint32_t id : *ids)
      if (const auto at = rollouts_.find(id); at != rollouts_.end())
        at->second.dirty = at->second.hurry = true;
}

bool Domain::remove_tenant(const std::string& name, Now now) {
  const auto gone =
      std::find_if(tenants_.begin(), tenants_.end(), [&](const auto& t) { return t.name() == name; });
  if (gone == tenants_.end()) return false;
  store_.remove_tenant(name);
  tenant_changed(*gone, proto::v1::Tenant());
  tenants_.erase(gone);
  emit({"tenant_changed", {{"name", name}}});
  push(now);
  return true;
}

bool Domain::revoke(const std::string& name, Now now) {
  const auto id = membership_.revoke(name);
  if (!id) return false;
  base::log_warn("node {} ({}) revoked", *id, name);
  leave(*id, now);
  emit({"node_revoked", {{"name", name}, {"node", std::to_string(*id)}}});
  push(now, Pace::AtOnce);
  return true;
}

// Drains begin and end by the time; what a hard one forbids is given up at once.
void Domain::steer(Now now) {
  if (!everything_ && steering_.holds_at(now.unix_s)) return;
  Steering next(rules_, own_names(), now.unix_s);
  if (next == steering_) return;
  if (next.all_drained() != steering_.all_drained()) emit({"drains_changed", {}});
  steering_ = std::move(next);
  everything_ = true;
  full_report_ = {};
  for (const std::uint32_t headend : steering_.give_up_forbidden(selections_))
    rollouts_[headend].dirty = true;
  for (const std::uint32_t headend : limited_.give_up_forbidden(steering_)) rollouts_[headend].dirty = true;
}

void Domain::set_rules(const policy::Rules& rules, Now now) {
  rules_ = rules;
  sla_look_ = {};
  everything_ = true;
  recompute(now);
  push(now);
}

std::function<session::WhatIfAnswer()> Domain::what_if(const session::WhatIf& question, Now now) const {
  Frozen frozen;
  frozen.links = links_.links();
  frozen.pairs = pairs_;
  frozen.selections = selections_;
  frozen.limited = limited_;
  frozen.tier_ways = tier_ways_;
  frozen.numbers = own_names();
  frozen.rules = rules_;
  frozen.now = now.unix_s;
  frozen.locations = locations();
  for (const auto& [id, member] : membership_.current()) {
    topology::Node node{.id = ids::NodeId{id}, .domain = {}};
    node.relay = member.record.relay();
    frozen.nodes.push_back(node);
  }
  for (const auto* tenant : tenants_in_force())
    frozen.tenants[tenant->name()] = member_ids(*tenant, frozen.numbers);
  return [frozen = std::move(frozen), question] { return answer(frozen, question); };
}

}  // namespace qanat::domain
