#include "controller/app/standby.hh"

#include <nlohmann/json.hpp>

#include "controller/domain/views.hh"
#include "controller/session/what_if.hh"
#include "controller/store/etcd_store.hh"

namespace qanat::app {

using nlohmann::json;

Standby::Standby(std::string name, bool global, std::uint32_t domain, store::EtcdStore& store)
    : name_(std::move(name)), global_(global), domain_(domain), store_(store) {}

void Standby::ask_the_leader() const {
  const std::string leader = leader_address(store_.leader());
  throw session::NotLeader(leader.empty() ? "this controller only stands by, and nobody leads just now"
                                          : "this controller only stands by; the leader is at " + leader);
}

proto::v1::Envelope Standby::enrol(const proto::v1::EnrolRequest&, session::Now) { ask_the_leader(); }
std::optional<proto::v1::Refusal> Standby::admit(session::MemberId, const session::Leaf&,
                                                 const proto::v1::Hello&) {
  ask_the_leader();
}

session::Status Standby::status(session::Now) const {
  session::Status s{.name = name_, .role = "standby", .domain = domain_};
  s.epoch = std::stoull(store_.value("epoch").value_or("0"));
  for (const auto& member : store_.members()) s.members += !member.revoked;
  const std::string leader = leader_address(store_.leader());
  s.leader = leader.empty() ? "none" : leader;
  return s;
}

std::vector<session::NodeView> Standby::nodes() const {
  std::vector<session::NodeView> out;
  for (const auto& member : store_.members())
    if (!member.revoked) out.push_back(domain::view_of(member.record));
  return out;
}

std::vector<session::TenantView> Standby::tenants() const {
  std::vector<session::TenantView> out;
  const auto name = [](std::uint32_t node) { return "n" + std::to_string(node); };
  for (const auto& tenant : store_.tenants()) out.push_back(domain::view_of(tenant, name, false));
  return out;
}

std::vector<session::LinkView> Standby::matrix(session::Now) const { ask_the_leader(); }
session::PastMatrix Standby::matrix_at(session::Now, base::UnixSeconds) const { ask_the_leader(); }
std::vector<session::PathView> Standby::paths(const session::PathQuery&) const { ask_the_leader(); }
std::variant<std::string, std::vector<std::string>> Standby::mint_join_token(const std::string&, bool,
                                                                             std::uint64_t, session::Now) {
  ask_the_leader();
}
std::vector<std::string> Standby::put_tenant(const session::TenantView&, session::Now) { ask_the_leader(); }
bool Standby::remove_tenant(const std::string&, session::Now) { ask_the_leader(); }
bool Standby::revoke(const std::string&, session::Now) { ask_the_leader(); }
session::RotationStatus Standby::ca_status() const { ask_the_leader(); }
std::vector<std::string> Standby::rotate_ca(session::Now) { ask_the_leader(); }
std::vector<std::string> Standby::advance_ca(session::Now) { ask_the_leader(); }
session::RotationStatus Standby::network_key_status() const { ask_the_leader(); }
std::vector<std::string> Standby::rotate_network_key(session::Now) { ask_the_leader(); }
std::optional<std::vector<std::string>> Standby::rotate_member(const std::string&) { ask_the_leader(); }
std::vector<std::string> Standby::tenant_problems(const std::vector<session::TenantView>&) const {
  ask_the_leader();
}
std::function<session::WhatIfAnswer()> Standby::what_if(const session::WhatIf&, session::Now) const {
  ask_the_leader();
}

std::string leader_record(const std::string& name, const std::string& northbound,
                          const std::vector<std::string>& listen, base::UnixSeconds now) {
  return json{
      {"name", name}, {"northbound", northbound}, {"members_connect_to", listen}, {"since_unix_s", now}}
      .dump();
}

std::string leader_address(const std::string& record) {
  const json row = json::parse(record, nullptr, false);
  if (!row.is_object()) return {};
  const std::string northbound = row.value("northbound", "");
  if (!northbound.empty()) return northbound;
  const auto listen = row.find("members_connect_to");
  return listen != row.end() && listen->is_array() && !listen->empty() ? listen->front().get<std::string>()
                                                                       : row.value("name", "");
}

}  // namespace qanat::app
