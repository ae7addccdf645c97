// Global, northbound: what operators see and ask for.
#include <algorithm>

#include "base/log.hh"
#include "controller/domain/views.hh"
#include "controller/domain/what_if.hh"
#include "controller/global/global.hh"
#include "controller/policy/tenant_check.hh"
#include "identifiers/ids/tier.hh"

namespace qanat::global {

session::Status Global::status(Now) const {
  session::Status s{.name = name_, .role = "global", .domain = 0, .epoch = epoch_};
  s.members = membership_.current().size();
  s.connected = static_cast<std::size_t>(
      std::count_if(domains_.begin(), domains_.end(), [](const auto& d) { return d.second.connected; }));
  s.links_usable = links_.usable();
  s.policies = selections_.size() * ids::kTierCount;
  s.cut_off = limited_.cut_off();
  return s;
}

std::vector<session::NodeView> Global::nodes() const {
  std::vector<session::NodeView> out;
  for (const auto& [id, state] : domains_) {
    for (const auto& [node, record] : state.nodes) {
      auto view = domain::view_of(record);
      view.name = name_of(node);
      view.connected = state.connected;
      view.version_sent = state.version;
      view.version_acked = state.acknowledged;
      out.push_back(std::move(view));
    }
  }
  return out;
}

std::vector<session::LinkView> Global::matrix(Now now) const {
  return domain::views_of(matrix_.links(now.mono), now.mono,
                          [this](std::uint32_t node) { return name_of(node); });
}

session::PastMatrix Global::matrix_at(Now now, base::UnixSeconds at) const {
  return domain::past_matrix(history_, links_.links(), now, at,
                             [this](std::uint32_t node) { return name_of(node); });
}

std::vector<session::PathView> Global::paths(const session::PathQuery& query) const {
  std::vector<session::PathView> out;
  const auto name = [this](std::uint32_t node) { return name_of(node); };
  for (const auto& [id, state] : domains_) {
    for (const auto& headend : state.sent.headends()) {
      if (!query.from.empty() && name_of(headend.headend()) != query.from) continue;
      for (const auto& policy : headend.policies()) {
        const std::size_t first = out.size();
        domain::append_views(headend.headend(), policy, query, name, out);
        const auto spread =
            spreads_.find({{headend.headend(), policy.endpoint()}, static_cast<ids::Tier>(policy.tier())});
        if (spread == spreads_.end()) continue;
        for (std::size_t i = first; i < out.size(); ++i)
          out[i].allocated_bps =
              spread->second.allocated_bps * out[i].weight.value_or(0) / domain::Spread::kWhole;
      }
    }
  }
  return out;
}

std::vector<session::TenantView> Global::tenants() const {
  std::vector<session::TenantView> out;
  for (const auto& tenant : tenants_) {
    out.push_back(domain::view_of(
        tenant, [this](std::uint32_t node) { return name_of(node); }, false));
  }
  return out;
}

std::variant<std::string, std::vector<std::string>> Global::mint_join_token(const std::string& name, bool,
                                                                            std::uint64_t ttl_s, Now now) {
  return membership_.mint_join_token(name, false, ttl_s, now);
}

std::vector<std::string> Global::tenant_problems(const std::vector<session::TenantView>& all) const {
  return domain::problems_of(all);
}

std::vector<std::string> Global::put_tenant(const session::TenantView& view, Now) {
  const proto::v1::Tenant tenant = domain::tenant_of(view);
  auto problems = tenant_problems({view});
  for (auto& problem : domain::clashes(tenant, tenants_)) problems.push_back(std::move(problem));
  if (!problems.empty()) return problems;
  store_.put_tenant(tenant);
  std::erase_if(tenants_, [&](const auto& t) { return t.name() == tenant.name(); });
  tenants_.push_back(tenant);
  std::sort(tenants_.begin(), tenants_.end(), [](const auto& a, const auto& b) { return a.vni() < b.vni(); });
  everything_ = true;
  emit({"tenant_changed", {{"name", tenant.name()}}});
  return {};
}

bool Global::remove_tenant(const std::string& name, Now) {
  if (std::erase_if(tenants_, [&](const auto& t) { return t.name() == name; }) == 0) return false;
  store_.remove_tenant(name);
  everything_ = true;
  emit({"tenant_changed", {{"name", name}}});
  return true;
}

bool Global::revoke(const std::string& name, Now now) {
  const auto id = membership_.revoke(name);
  if (!id) return false;
  members_.close(*id, "revoked", "this domain is not a member any more", false);
  DomainState& state = domains_[*id];
  proto::v1::DomainReport kept;
  for (const auto& [node, record] : state.nodes) {
    matrix_.forget(ids::NodeId{node});
    for (const auto& before : links_.forget(ids::NodeId{node})) history_.note(before, now.mono);
    state.denied.push_back(node);
  }
  std::sort(state.denied.begin(), state.denied.end());
  state.denied.erase(std::unique(state.denied.begin(), state.denied.end()), state.denied.end());
  state.nodes.clear();
  kept.mutable_denied_headends()->Add(state.denied.begin(), state.denied.end());
  store_.set_reported(*id, kept.SerializeAsString());
  name_nodes();
  everything_ = true;
  base::log_warn("domain {} ({}) revoked", *id, name);
  emit({"domain_revoked", {{"name", name}, {"domain", std::to_string(*id)}}});
  recompute(now);
  push(now);
  return true;
}

void Global::set_rules(const policy::Rules& rules, Now) {
  rules_ = rules;
  everything_ = true;  // with the next tick
}

std::function<session::WhatIfAnswer()> Global::what_if(const session::WhatIf& question, Now now) const {
  domain::Frozen frozen;
  frozen.links = links_.links();
  frozen.pairs = pairs_;
  frozen.selections = selections_;
  frozen.limited = limited_;
  frozen.numbers = node_by_name_;
  frozen.rules = rules_;
  frozen.now = now.unix_s;
  for (const auto& [id, state] : domains_) {
    frozen.drained.insert(state.drained.begin(), state.drained.end());
    for (const auto& [node, record] : state.nodes) {
      topology::Node added{.id = ids::NodeId{node}, .domain = ids::DomainId{static_cast<std::uint16_t>(id)}};
      added.relay = record.relay() && (borders_.may_carry(node) || steering_.drained_softly(node));
      frozen.nodes.push_back(added);
      frozen.locations[node] = record.location();
    }
  }
  for (const auto& tenant : tenants_)
    frozen.tenants[tenant.name()] = domain::member_ids(tenant, node_by_name_);
  return [frozen = std::move(frozen), question] { return domain::answer(frozen, question); };
}

}  // namespace qanat::global
