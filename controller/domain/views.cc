#include "controller/domain/views.hh"

#include <algorithm>
#include <map>

#include "controller/domain/path_reason.hh"
#include "controller/policy/tenant_check.hh"
#include "identifiers/ids/sid.hh"

namespace qanat::domain {

session::NodeView view_of(const proto::v1::NodeRecord& record) {
  session::NodeView view{.node = record.node_id(),
                         .name = record.name(),
                         .domain = record.domain_id(),
                         .relay = record.relay(),
                         .lines = {},
                         .location = record.location()};
  for (const auto& line : record.lines())
    view.lines.push_back({line.plane(), line.address(), line.port(), line.name()});
  return view;
}

session::TenantView view_of(const proto::v1::Tenant& tenant, const NameOf& name, bool from_parent) {
  session::TenantView view{
      .name = tenant.name(), .vni = tenant.vni(), .members = {}, .from_parent = from_parent};
  for (const auto& m : tenant.members()) {
    view.members.push_back({m.node().empty() ? name(m.node_id()) : m.node(),
                            {m.addresses().begin(), m.addresses().end()},
                            {m.prefixes().begin(), m.prefixes().end()},
                            {m.labels().begin(), m.labels().end()}});
  }
  if (tenant.has_policy())
    view.policy.emplace(tenant.policy().rules().begin(), tenant.policy().rules().end());
  return view;
}

proto::v1::Tenant tenant_of(const session::TenantView& view) {
  proto::v1::Tenant tenant;
  tenant.set_name(view.name);
  tenant.set_vni(view.vni);
  for (const auto& m : view.members) {
    auto& member = *tenant.add_members();
    member.set_node(m.node);
    for (const auto& address : m.addresses) member.add_addresses(address);
    for (const auto& prefix : m.prefixes) member.add_prefixes(prefix);
    for (const auto& label : m.labels) member.add_labels(label);
  }
  if (view.policy) tenant.mutable_policy()->mutable_rules()->Assign(view.policy->begin(), view.policy->end());
  return tenant;
}

std::vector<std::string> problems_of(const std::vector<session::TenantView>& all) {
  std::vector<std::string> problems;
  std::map<std::uint32_t, std::string> vnis;
  for (const auto& tenant : all) {
    for (auto& problem : policy::problems_of(tenant_of(tenant))) problems.push_back(std::move(problem));
    const auto [other, fresh] = vnis.emplace(tenant.vni, tenant.name);
    if (!fresh)
      problems.push_back("vni " + std::to_string(tenant.vni) + " is that of tenant '" + other->second + "'");
  }
  return problems;
}

std::vector<std::string> clashes(const proto::v1::Tenant& tenant,
                                 const std::vector<proto::v1::Tenant>& kept) {
  std::vector<std::string> problems;
  for (const auto& other : kept) {
    if (other.vni() == tenant.vni() && other.name() != tenant.name())
      problems.push_back("vni " + std::to_string(tenant.vni()) + " is that of tenant '" + other.name() + "'");
  }
  return problems;
}

std::vector<session::LinkView> views_of(const std::vector<telemetry::Link>& links, base::Time now,
                                        const NameOf& name) {
  std::vector<session::LinkView> out;
  for (const auto& link : links) {
    using State = telemetry::LinkState;
    out.push_back({name(link.key.from.value), name(link.key.to.value), link.key.from_plane.value,
                   link.key.to_plane.value, link.rtt_us, link.loss_ppm, link.jitter_us, link.reordered_ppm,
                   link.state == State::Usable ? "usable"
                   : link.state == State::Dead ? "dead"
                                               : "unknown",
                   std::chrono::duration_cast<std::chrono::milliseconds>(now - link.heard).count()});
  }
  return out;
}

session::PastMatrix past_matrix(const topology::LinkHistory& history, std::vector<telemetry::Link> published,
                                session::Now now, base::UnixSeconds at, const NameOf& name) {
  using std::chrono::seconds;
  const auto kept = std::chrono::ceil<seconds>(now.mono - history.began()).count();
  session::PastMatrix out;
  out.kept_since = now.unix_s - std::min(now.unix_s, static_cast<base::UnixSeconds>(kept));
  if (at < out.kept_since) return out;
  const base::Time when = std::max(now.mono - seconds(now.unix_s - at), history.began());
  if (const auto links = history.at(when, std::move(published))) out.links = views_of(*links, when, name);
  return out;
}

void append_views(std::uint32_t headend, const proto::v1::SrPolicy& policy, const session::PathQuery& query,
                  const NameOf& name, std::vector<session::PathView>& out) {
  const auto tier = static_cast<ids::Tier>(policy.tier());
  if (query.tier && *query.tier != tier) return;
  if (!query.to.empty() && name(policy.endpoint()) != query.to) return;
  const bool weighted =
      std::any_of(policy.paths().begin(), policy.paths().end(), [](const auto& p) { return p.weight() > 1; });
  if (policy.paths().empty())  // limits leave none
    out.push_back({.from = name(headend),
                   .to = name(policy.endpoint()),
                   .tier = tier,
                   .path = 0,
                   .segments = {},
                   .names = {},
                   .reason = std::string(to_string(PathReason::NoneAllowed))});
  for (const auto& path : policy.paths()) {
    session::PathView view{.from = name(headend),
                           .to = name(policy.endpoint()),
                           .tier = tier,
                           .path = path.path_id(),
                           .segments = {},
                           .names = {},
                           .first_plane = path.first_plane(),
                           .cost_us = path.cost_us(),
                           .preference = path.preference()};
    if (weighted) view.weight = path.weight();
    for (const std::uint32_t segment : path.segments()) {
      view.segments.push_back(to_string(ids::Sid{segment}));
      view.names.push_back(name(ids::Sid{segment}.node().value));
    }
    out.push_back(std::move(view));
  }
}

}  // namespace qanat::domain
