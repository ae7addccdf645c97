// Domain, northbound: what operators see and ask for.
#include <algorithm>

#include "base/log.hh"
#include "controller/domain/domain.hh"
#include "controller/domain/views.hh"
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
  const auto links = matrix_.links(now.mono);
  s.links_usable = static_cast<std::size_t>(std::count_if(
      links.begin(), links.end(), [](const auto& l) { return l.state == telemetry::LinkState::Usable; }));
  s.policies = selections_.size() * ids::kTierCount;
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

std::vector<PathView> Domain::paths(const session::PathQuery& query) const {
  std::vector<PathView> out;
  const auto name = [this](std::uint32_t node) { return name_of(node); };
  for (const auto& [id, rollout] : rollouts_) {
    if (!query.from.empty() && name_of(id) != query.from) continue;
    const auto& config = rollout.inflight.version() != 0 ? rollout.inflight : rollout.held;
    for (const auto& policy : config.policies()) append_views(id, policy, query, name, out);
  }
  return out;
}

std::vector<TenantView> Domain::tenants() const {
  std::vector<TenantView> out;
  const auto name = [this](std::uint32_t node) { return name_of(node); };
  for (const auto& tenant : tenants_) out.push_back(view_of(tenant, name, false));
  for (const auto& tenant : directive_.tenants()) out.push_back(view_of(tenant, name, true));
  return out;
}

std::variant<std::string, std::vector<std::string>> Domain::mint_join_token(const std::string& name,
                                                                            bool relay, std::uint64_t ttl_s,
                                                                            Now now) {
  return membership_.mint_join_token(name, relay, ttl_s, now);
}

std::vector<std::string> Domain::put_tenant(const TenantView& view, Now now) {
  const proto::v1::Tenant tenant = tenant_of(view);
  auto problems = policy::problems_of(tenant);
  for (const auto& other : tenants_) {
    if (other.vni() == tenant.vni() && other.name() != tenant.name()) {
      problems.push_back("vni " + std::to_string(tenant.vni()) + " is that of tenant '" + other.name() + "'");
    }
  }
  for (const auto& other : directive_.tenants()) {
    if (other.vni() == tenant.vni() || other.name() == tenant.name()) {
      problems.push_back("tenant '" + other.name() + "' with vni " + std::to_string(other.vni()) +
                         " is the global controller's");
    }
  }
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
      if (const auto at = rollouts_.find(id); at != rollouts_.end()) at->second.dirty = true;
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
  push(now);
  return true;
}

}  // namespace qanat::domain
