// Standby: the level of a controller that waits to lead: it shows what the store holds, and sends everything else to
// the leader. Members find no listener where it stands, and try the next address.
#pragma once

#include <string>

#include "controller/session/level.hh"

namespace qanat::store {
class EtcdStore;
}

namespace qanat::app {

class Standby final : public session::Level {
 public:
  // The store outlives it.
  Standby(std::string name, bool global, std::uint32_t domain, store::EtcdStore& store);

  std::string_view member_kind() const override { return global_ ? "domain" : "node"; }
  proto::v1::Envelope enrol(const proto::v1::EnrolRequest& request, session::Now now) override;
  std::optional<proto::v1::Refusal> admit(session::MemberId member, const session::Leaf& leaf,
                                          const proto::v1::Hello& hello) override;
  void on_open(session::MemberId, const proto::v1::Hello&, session::Now) override {}
  bool on_envelope(session::MemberId, const proto::v1::Envelope&, session::Now) override { return false; }
  void on_closed(session::MemberId, session::Now) override {}
  void on_timer(session::Now) override {}

  session::Status status(session::Now now) const override;
  std::vector<session::NodeView> nodes() const override;
  std::vector<session::LinkView> matrix(session::Now now) const override;
  session::PastMatrix matrix_at(session::Now now, base::UnixSeconds at) const override;
  std::vector<session::PathView> paths(const session::PathQuery& query) const override;
  std::vector<session::TenantView> tenants() const override;
  std::variant<std::string, std::vector<std::string>> mint_join_token(const std::string& name, bool relay,
                                                                      std::uint64_t ttl_s,
                                                                      session::Now now) override;
  std::vector<std::string> put_tenant(const session::TenantView& tenant, session::Now now) override;
  bool remove_tenant(const std::string& name, session::Now now) override;
  bool revoke(const std::string& name, session::Now now) override;
  session::RotationStatus ca_status() const override;
  std::vector<std::string> rotate_ca(session::Now now) override;
  std::vector<std::string> advance_ca(session::Now now) override;
  session::RotationStatus network_key_status() const override;
  std::vector<std::string> rotate_network_key(session::Now now) override;
  std::optional<std::vector<std::string>> rotate_member(const std::string& name) override;
  std::vector<std::string> tenant_problems(const std::vector<session::TenantView>& all) const override;
  void set_rules(const policy::Rules&, session::Now) override {}  // the leader's
  std::function<session::WhatIfAnswer()> what_if(const session::WhatIf& question,
                                                 session::Now now) const override;

 private:
  [[noreturn]] void ask_the_leader() const;

  std::string name_;
  bool global_;
  std::uint32_t domain_;
  store::EtcdStore& store_;
};

// What a leader key says: where the leader's northbound interface is, and since when it leads.
std::string leader_record(const std::string& name, const std::string& northbound,
                          const std::vector<std::string>& listen, base::UnixSeconds now);
// The address in it; empty: none, or nobody leads.
std::string leader_address(const std::string& record);

}  // namespace qanat::app
