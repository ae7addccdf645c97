// Global: the controller above the domains. They enrol with it like nodes, report their nodes and measurements, and get
// back what one domain cannot know: the others' nodes, cross-domain policies with tokens, tenants, revocations.
// It never speaks to a node, and no domain needs it to keep what it has.
#pragma once

#include <boost/unordered/unordered_flat_set.hpp>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "controller/domain/config_compiler.hh"
#include "controller/domain/move_budget.hh"
#include "controller/domain/plan_run.hh"
#include "controller/domain/plane_reserves.hh"
#include "controller/domain/steering.hh"
#include "controller/domain/traffic_load.hh"
#include "controller/paths/borders.hh"
#include "controller/paths/engine.hh"
#include "controller/session/ca_rotation.hh"
#include "controller/session/level.hh"
#include "controller/session/membership.hh"
#include "controller/telemetry/matrix.hh"
#include "controller/topology/link_history.hh"
#include "controller/topology/link_table.hh"

namespace qanat::global {

// Whether one of the Ed25519 keys in `keys` (32 bytes each) made the signature.
bool bound_by(std::string_view keys, std::string_view message, std::string_view signature);

using session::MemberId;
using session::Now;

class Global final : public session::Level {
 public:
  static constexpr base::Duration kTick = std::chrono::milliseconds(250);
  static constexpr base::Duration kExpiry = std::chrono::seconds(1);  // between two looks for silent links
  // Between two directives of one domain, and between two looks at all of them (for tokens nobody wants any more).
  static constexpr base::Duration kDirectiveGap = std::chrono::milliseconds(250);
  static constexpr base::Duration kLargeGap = std::chrono::seconds(1);  // beyond domain::kEveryPairUpTo nodes
  static constexpr base::Duration kSweep = std::chrono::seconds(60);
  static constexpr base::Duration kMintRetry = std::chrono::seconds(2);
  static constexpr base::Duration kAckLimit = std::chrono::seconds(10);
  // After a restart nothing is sent for this long: domains come back and report first.
  static constexpr base::Duration kWarmUp = std::chrono::seconds(5);
  // What a domain told of its traffic holds so long.
  static constexpr base::Duration kTrafficLives = std::chrono::seconds(25);
  static constexpr std::size_t kMostMintsInFlight = 4096;
  static constexpr std::size_t kMostNodes = 16'384;  // of all domains

  Global(std::string name, store::Store& store, session::Authority& authority, session::Members& members,
         Now now, session::RandomSource random = session::system_random(),
         domain::PlanRun::Options planning = {}, std::size_t most_nodes = kMostNodes);
  ~Global() override;

  std::string_view member_kind() const override { return "domain"; }
  proto::v1::Envelope enrol(const proto::v1::EnrolRequest& request, Now now) override;
  std::optional<proto::v1::Refusal> admit(MemberId member, const session::Leaf& leaf,
                                          const proto::v1::Hello& hello) override;
  void on_open(MemberId member, const proto::v1::Hello& hello, Now now) override;
  bool on_envelope(MemberId member, const proto::v1::Envelope& envelope, Now now) override;
  void on_closed(MemberId member, Now now) override;
  void on_timer(Now now) override;

  session::Status status(Now now) const override;
  std::vector<session::NodeView> nodes() const override;
  std::vector<session::LinkView> matrix(Now now) const override;
  session::PastMatrix matrix_at(Now now, base::UnixSeconds at) const override;
  std::vector<session::PathView> paths(const session::PathQuery& query) const override;
  session::TrafficView traffic() const override;
  std::vector<session::TenantView> tenants() const override;
  std::variant<std::string, std::vector<std::string>> mint_join_token(const std::string& name, bool relay,
                                                                      std::uint64_t ttl_s, Now now) override;
  std::vector<std::string> put_tenant(const session::TenantView& tenant, Now now) override;
  std::vector<std::string> tenant_problems(const std::vector<session::TenantView>& all) const override;
  bool remove_tenant(const std::string& name, Now now) override;
  // A domain: its session ends, its nodes leave the others' configurations and are denied.
  bool revoke(const std::string& name, Now now) override;
  session::RotationStatus ca_status() const override;
  std::vector<std::string> rotate_ca(Now now) override;
  std::vector<std::string> advance_ca(Now now) override;
  session::RotationStatus network_key_status() const override;
  std::vector<std::string> rotate_network_key(Now now) override;
  std::optional<std::vector<std::string>> rotate_member(const std::string& name) override;
  void set_rules(const policy::Rules& rules, Now now) override;
  std::function<session::WhatIfAnswer()> what_if(const session::WhatIf& question, Now now) const override;

 private:
  // What a domain told of its traffic: checked, nodes of its own alone.
  struct Traffic {
    struct Demand {
      double bps = 0;
      std::uint32_t packet_bytes = 0;
    };
    std::map<telemetry::DemandBook::Key, Demand> demands;  // across domains
    std::vector<std::pair<domain::CapacityBook::Key, double>> capacities;
    domain::TrafficLoad own;  // of its own pairs
    base::Time heard{};
  };
  struct DomainState {
    std::map<std::uint32_t, proto::v1::NodeRecord> nodes;  // as reported last; bindings verified
    std::vector<std::uint32_t> denied;
    domain::Drained drained;     // of its relays, as reported last
    std::size_t over_bound = 0;  // nodes left out because there are most_nodes_ already
    std::string psk_held;        // SHA-256, as reported last
    proto::v1::DomainDirective sent;
    std::uint64_t version = 0;
    std::uint64_t acknowledged = 0;
    bool awaiting = false;
    bool connected = false;
    bool dirty = true;        // its directive may have changed
    bool incomplete = false;  // a token is missing: to be compiled again
    bool respread = false;    // the last plan of traffic changed weights of its headends
    bool tells_traffic =
        false;  // in this session: a domain of the release before would not understand an answer
    bool told_foreign = false;  // of foreign traffic, last time
    Traffic traffic;
    base::Time not_before{};
    base::Time compiled_at{};
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

  void load(Now now, const session::RandomSource& random);
  void on_minted(MemberId domain, const proto::v1::MintReply& reply);
  void name_nodes();
  // global_reports.cc
  void on_report(MemberId domain, const proto::v1::DomainReport& report, Now now);
  bool sound(MemberId domain, const proto::v1::NodeRecord& record) const;
  std::size_t room_for_more() const;  // nodes, up to most_nodes_
  void tell_over_bound(MemberId domain, std::size_t over);
  void measured(const telemetry::LinkKey& key, base::Time now);
  // Could be part of a list: what else is known of a large network nobody computes with.
  bool matters(const telemetry::LinkKey& key) const;
  void recompute(Now now);
  void settle_limits();
  void compute(const domain::Pair& pair, const paths::RelayLoad& load, Now now);
  void compute_limited(const domain::Pair& pair, const paths::RelayLoad& load, Now now);
  void settle_pairs();
  void steer(Now now);
  void all_dirty();
  void begin_epoch_after(std::uint64_t held, MemberId domain);
  // global_traffic.cc
  void on_traffic(MemberId domain, const proto::v1::DomainTraffic& traffic, Now now);
  void run_traffic(Now now);
  void plan_traffic(Now now);
  void apply_traffic(domain::PlanRun::Planned& planned, Now now);
  void reserve_planes(domain::TrafficQuestion& question, Now now);
  void tell_foreign(const domain::TrafficQuestion& question);
  bool spreading() const;
  // global_keys.cc
  void adopt_cas(MemberId domain, const proto::v1::Trust& trust);
  void on_renew(MemberId member, const proto::v1::RenewRequest& request, Now now);
  void run_rotations(Now now);
  void push(Now now);
  std::set<std::uint32_t> measured_relays() const;
  proto::v1::DomainDirective compile(MemberId domain, const std::set<std::uint32_t>& measured, Now now);
  void weigh(const domain::SpreadKey& key, proto::v1::SrPolicy& policy) const;
  bool make_path(std::uint32_t headend, std::uint32_t endpoint, std::uint32_t tier,
                 const paths::Choice& choice, Now now, proto::v1::CandidatePath& path);
  std::string name_of(std::uint32_t node) const;

  std::string name_;
  std::size_t most_nodes_;
  store::Store& store_;
  session::Members& members_;
  session::Membership membership_;
  session::CaRotation ca_rotation_;
  telemetry::Matrix matrix_;
  topology::LinkTable links_;
  topology::LinkHistory history_;
  std::set<domain::Pair> pairs_;      // across domains, that get lists
  std::set<domain::Pair> unsettled_;  // whose last computation changed them
  policy::Rules rules_;
  domain::Steering steering_;
  domain::MoveBudget move_budget_;
  domain::LimitedWays limited_;
  paths::Borders borders_;
  boost::unordered_flat_set<std::uint32_t> carriers_;  // whom lists may go over, by the last rebuild
  paths::Engine engine_;
  domain::Selections selections_;  // none of them empty
  domain::Spreads spreads_;
  domain::PlanRun plans_;
  domain::PlaneReserves reserves_;
  std::map<std::uint8_t, double> reserved_used_;  // by the newest plan
  session::TrafficView traffic_;
  double gather_seconds_ = 0;
  std::function<base::Time()> stopwatch_;  // none: nothing took any time
  std::map<MemberId, DomainState> domains_;
  std::map<std::uint32_t, std::string> names_;  // of all nodes, unique
  std::map<std::string, std::uint32_t> node_by_name_;
  std::vector<proto::v1::Tenant> tenants_;
  std::map<MintKey, Mint> mints_;
  std::map<std::uint64_t, MintKey> requests_;
  std::uint64_t next_request_ = 0;
  std::uint64_t epoch_ = 0;
  std::string psk_;
  std::string next_psk_;  // while it is rotated
  base::Time quiet_until_{};
  base::Time computed_{};
  base::Time expired_{};
  base::Time swept_{};
  base::UnixSeconds day_ = 0;
  bool everything_ = true;  // compute all pairs anew: nodes or tenants changed
};

}  // namespace qanat::global
