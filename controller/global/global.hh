// Global: the controller above the domains. They enrol with it like nodes, report their nodes and measurements, and get
// back what one domain cannot know: the others' nodes, cross-domain policies with tokens, tenants, revocations.
// It never speaks to a node, and no domain needs it to keep what it has.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "controller/domain/config_compiler.hh"
#include "controller/session/level.hh"
#include "controller/session/membership.hh"
#include "controller/telemetry/matrix.hh"

namespace qanat::global {

using session::MemberId;
using session::Now;

class Global final : public session::Level {
 public:
  static constexpr base::Duration kTick = std::chrono::milliseconds(250);
  static constexpr base::Duration kMintRetry = std::chrono::seconds(2);
  static constexpr base::Duration kAckLimit = std::chrono::seconds(10);
  // After a restart nothing is sent for this long: domains come back and report first.
  static constexpr base::Duration kWarmUp = std::chrono::seconds(5);
  static constexpr std::size_t kMostMintsInFlight = 4096;

  Global(std::string name, store::Store& store, const session::Authority& authority,
         session::Members& members, Now now);
  ~Global() override;

  std::string_view member_kind() const override { return "domain"; }
  proto::v1::Envelope enrol(const proto::v1::EnrolRequest& request, Now now) override;
  std::optional<proto::v1::Refusal> admit(MemberId member, const base::Fingerprint& leaf,
                                          const proto::v1::Hello& hello) override;
  void on_open(MemberId member, const proto::v1::Hello& hello, Now now) override;
  bool on_envelope(MemberId member, const proto::v1::Envelope& envelope, Now now) override;
  void on_closed(MemberId member, Now now) override;
  void on_timer(Now now) override;

  session::Status status(Now now) const override;
  std::vector<session::NodeView> nodes() const override;
  std::vector<session::LinkView> matrix(Now now) const override;
  std::vector<session::PathView> paths(const session::PathQuery& query) const override;
  std::vector<session::TenantView> tenants() const override;
  std::variant<std::string, std::vector<std::string>> mint_join_token(const std::string& name, bool relay,
                                                                      std::uint64_t ttl_s, Now now) override;
  std::vector<std::string> put_tenant(const session::TenantView& tenant, Now now) override;
  bool remove_tenant(const std::string& name, Now now) override;
  // A domain: its session ends, its nodes leave the others' configurations and are denied.
  bool revoke(const std::string& name, Now now) override;

 private:
  struct DomainState {
    std::map<std::uint32_t, proto::v1::NodeRecord> nodes;  // as reported last; bindings verified
    std::vector<std::uint32_t> denied;
    proto::v1::DomainDirective sent;
    std::uint64_t version = 0;
    std::uint64_t acknowledged = 0;
    bool awaiting = false;
    bool connected = false;
    base::Time not_before{};
    base::Time sent_at{};
  };
  // What a token is for; relays' domains mint them.
  struct MintKey {
    std::uint32_t relay = 0;
    std::uint32_t headend = 0;
    std::uint32_t tier = 0;
    std::uint64_t expires = 0;
    std::vector<std::uint32_t> segments;
    auto operator<=>(const MintKey&) const = default;
  };
  struct Mint {
    std::optional<std::uint64_t> token;
    std::uint64_t request = 0;
    base::Time asked{};
    bool wanted = false;  // by the latest compilation
  };

  void load(Now now);
  void on_report(MemberId domain, const proto::v1::DomainReport& report, Now now);
  void on_minted(MemberId domain, const proto::v1::MintReply& reply);
  bool sound(MemberId domain, const proto::v1::NodeRecord& record) const;
  void name_nodes();
  void recompute(Now now);
  void push(Now now);
  proto::v1::DomainDirective compile(MemberId domain, Now now);
  bool make_path(std::uint32_t headend, std::uint32_t endpoint, std::uint32_t tier,
                 const paths::Choice& choice, Now now, proto::v1::CandidatePath& path);
  std::string name_of(std::uint32_t node) const;

  std::string name_;
  store::Store& store_;
  session::Members& members_;
  session::Membership membership_;
  telemetry::Matrix matrix_;
  domain::Selections selections_;
  std::map<MemberId, DomainState> domains_;
  std::map<std::uint32_t, std::string> names_;  // of all nodes, unique
  std::map<std::string, std::uint32_t> node_by_name_;
  std::vector<proto::v1::Tenant> tenants_;
  std::map<MintKey, Mint> mints_;
  std::map<std::uint64_t, MintKey> requests_;
  std::uint64_t next_request_ = 0;
  std::uint64_t epoch_ = 0;
  std::string psk_;
  base::Time quiet_until_{};
  base::Time computed_{};
  bool dirty_ = true;
};

}  // namespace qanat::global
