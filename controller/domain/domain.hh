// Domain: the controller of one domain. Enrols its nodes, takes their measurements, computes paths between them, mints
// its relays' tokens, and pushes each node its configuration as signed, versioned, acknowledged deltas.
// Works with and without the global level above it: what that gave is kept.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "controller/domain/canary.hh"
#include "controller/domain/capacity_book.hh"
#include "controller/domain/config_compiler.hh"
#include "controller/domain/demand_forecast.hh"
#include "controller/domain/limited_ways.hh"
#include "controller/domain/move_budget.hh"
#include "controller/domain/plan_run.hh"
#include "controller/domain/plane_reserves.hh"
#include "controller/domain/probe_budget.hh"
#include "controller/domain/sla_watch.hh"
#include "controller/domain/steering.hh"
#include "controller/domain/tenant_rates.hh"
#include "controller/domain/tier_ways.hh"
#include "controller/domain/traffic_load.hh"
#include "controller/domain/traffic_plan.hh"
#include "controller/paths/engine.hh"
#include "controller/session/ca_rotation.hh"
#include "controller/session/level.hh"
#include "controller/session/membership.hh"
#include "controller/telemetry/demand_book.hh"
#include "controller/telemetry/matrix.hh"
#include "controller/telemetry/talk_book.hh"
#include "controller/telemetry/vitals.hh"
#include "controller/topology/link_history.hh"
#include "controller/topology/link_table.hh"

namespace qanat::domain {

using session::MemberId;
using session::Now;

struct DomainConfig {
  std::string name;
  std::uint32_t domain = 1;
  proto::v1::ProbePlan probe_plan;
  // A node's mesh is asked at most this often in all: with many neighbours each is asked more rarely than
  // probe_plan.mesh_interval_ms, down to once in kSlowestMesh.
  std::uint32_t mesh_probes_per_s = 100;
  // Of lists in use, over one relay, by this domain's boxes: those that would ask more do so more rarely than every
  // probe_plan.active_interval_ms (probe_budget.hh). 0: no bound.
  std::uint32_t relay_probes_per_s = 20'000;
  session::RandomSource random = session::system_random();
  PlanRun::Options planning{};  // its stopwatch tells what other work takes, too
};

class Domain final : public session::Level {
 public:
  static constexpr base::Duration kTick = std::chrono::milliseconds(250);  // between two path computations
  // In a large domain's first seconds links come in by the thousand: so often is enough then.
  static constexpr base::Duration kWarmUpTick = std::chrono::seconds(1);
  static constexpr base::Duration kExpiry = std::chrono::seconds(1);  // between two looks for silent links
  // The global level hears at once of what changed, and this often of everything.
  static constexpr base::Duration kFullReport = std::chrono::seconds(5);
  // Between two configurations of one node of a large domain: what is measured in between goes together. What operators
  // say waits for none of it.
  static constexpr base::Duration kLargeGap = std::chrono::seconds(1);
  static constexpr base::Duration kAckLimit = std::chrono::seconds(10);
  static constexpr base::Duration kRefusedPause = std::chrono::seconds(5);
  // After a start, what was held is trusted this long: nodes come back and report again.
  static constexpr base::Duration kWarmUp = std::chrono::seconds(8);
  // One that takes over and does not know what nodes hold asks them, and tells them nothing new until they have answered,
  // or for so long: lists wait for relays, and whether those are ready is what they answer.
  static constexpr base::Duration kGather = std::chrono::seconds(2);
  // No plan of traffic before the boxes have told of it after a start.
  static constexpr base::Duration kTrafficWarmUp = std::chrono::seconds(15);
  // What the global level said of others' traffic holds so long, and this often it is told of ours.
  static constexpr base::Duration kForeignLives = std::chrono::seconds(15);
  static constexpr base::Duration kTrafficReport = std::chrono::seconds(3);

  // All three outlive it.
  Domain(DomainConfig config, store::Store& store, session::Authority& authority, session::Members& members,
         Now now);
  ~Domain() override;

  std::string_view member_kind() const override { return "node"; }
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
  std::vector<session::SlaView> slas() const override;
  std::vector<session::TenantView> tenants() const override;
  std::vector<session::TenantView> tenants_like(const session::TenantView& tenant) const override;
  std::variant<std::string, std::vector<std::string>> mint_join_token(const std::string& name, bool relay,
                                                                      std::uint64_t ttl_s, Now now) override;
  std::vector<std::string> put_tenant(const session::TenantView& tenant, Now now) override;
  std::vector<std::string> tenant_problems(const std::vector<session::TenantView>& all) const override;
  bool remove_tenant(const std::string& name, Now now) override;
  bool revoke(const std::string& name, Now now) override;
  session::RotationStatus ca_status() const override;
  std::vector<std::string> rotate_ca(Now now) override;
  std::vector<std::string> advance_ca(Now now) override;
  session::RotationStatus network_key_status() const override;
  std::vector<std::string> rotate_network_key(Now now) override;
  std::optional<std::vector<std::string>> rotate_member(const std::string& name) override;
  void set_rules(const policy::Rules& rules, Now now) override;
  std::function<session::WhatIfAnswer()> what_if(const session::WhatIf& question, Now now) const override;
  std::vector<std::string> begin_canary(const session::CanaryPlan& plan, Now now) override;
  void choose_canaries(Now now) override;
  std::optional<session::CanaryView> canary() const override;
  void end_canary(session::CanaryEnd end, Now now) override;

  // ---- the global level above, when there is one ----
  // Epoch and version of the directive held.
  proto::v1::Hello parent_hello() const;
  void on_parent(bool connected);
  // A DomainDirective or a MintRequest; what to answer.
  std::optional<proto::v1::Envelope> on_parent_envelope(const proto::v1::Envelope& envelope, Now now);
  // Our nodes and what they measured.
  proto::v1::DomainReport report(Now now);

 private:
  // One node's place in the rollout.
  struct Rollout {
    proto::v1::NodeConfig held;      // acknowledged; empty when unknown
    proto::v1::NodeConfig inflight;  // sent, not yet acknowledged; version 0: none
    proto::v1::NodeConfig untold;  // sent before the session or this controller ended, and never acknowledged
    std::uint64_t version = 0;     // the highest ever sent, or that it says it holds
    std::uint64_t sent_before = 0;  // the highest ever sent when its session began
    bool connected = false;
    bool dirty = true;        // what it should hold may have changed
    bool waiting = false;     // for a relay's acknowledgement
    bool asked = false;       // what it holds; see not_before
    bool respread = false;    // the last plan of traffic changed its weights
    bool hurry = false;       // an operator waits for it: without kLargeGap
    std::uint64_t bound = 0;  // the authority's serial whose bindings it holds all of
    base::Time not_before{};
    base::Time paced_until{};  // kLargeGap after the last one
    base::Time sent{};
  };

  void load(Now now);
  // What it says now is compared with what it said before; without one: nothing took any time.
  base::Time stopwatch() const {
    return config_.planning.stopwatch ? config_.planning.stopwatch() : base::Time{};
  }
  double seconds_since(base::Time began) const {
    return std::chrono::duration<double>(stopwatch() - began).count();
  }
  void on_ack(MemberId member, const proto::v1::ConfigAck& ack, Now now);
  void on_held(MemberId member, const proto::v1::ConfigDelta& told, Now now);
  void learn_from(Rollout& rollout, const proto::v1::NodeConfig& held);
  void revoke_again(MemberId told_by, Now now);
  bool gathering(Now now);
  void on_telemetry(MemberId member, const proto::v1::Telemetry& telemetry, Now now);
  void measured(const telemetry::LinkKey& key, base::Time now);
  void expire(base::Time now);
  void settle_pairs();
  void steer(Now now);
  std::map<std::string, std::uint32_t> own_names() const;
  std::vector<const proto::v1::Tenant*> tenants_in_force() const;
  void recompute(Now now);
  void compute(const Pair& pair, paths::Unknowns unknowns, const paths::RelayLoad& load, Now now);
  TierLists tier_lists() const { return TierLists(selections_, &limited_, &tier_ways_); }
  paths::RelayLoad& relay_load();
  void explain(const Pair& pair, const proto::v1::SrPolicy& policy, std::span<session::PathView> views) const;
  // domain_limits.cc
  void settle_limits();
  std::map<std::uint32_t, std::string> locations() const;
  void compute_limited(const Pair& pair, paths::Unknowns unknowns, const paths::RelayLoad& load, Now now);
  // domain_traffic.cc
  void note_traffic(MemberId member, const proto::v1::Telemetry& telemetry, Now now);
  void run_traffic(Now now);
  void plan_traffic(Now now);
  void reserve_planes(TrafficQuestion& question, Now now);
  std::vector<RatedTenant> rated_tenants() const;
  void apply_traffic(PlanRun::Planned& planned, Now now);
  // domain_probes.cc
  void note_talk(MemberId member, const proto::v1::Telemetry& telemetry, Now now);
  std::vector<Pair> pairs_in_use(Now now) const;
  ProbeBudget::Headends asked_fast(const std::vector<Pair>& in_use) const;
  void bound_probes(Now now);
  // domain_across.cc
  void keep_own_spreads();  // others' were chosen by the global level
  void note_across(ids::NodeId headend, const proto::v1::DemandReport& demand, Now now);
  void add_foreign(TrafficQuestion& question, Now now);
  void on_foreign(const proto::v1::ForeignTraffic& foreign, Now now);
  void tell_traffic(proto::v1::DomainReport& report, Now now);
  bool spreading() const;
  // domain_sla.cc
  void watch_slas(Now now);
  void begin_sla_look(Now now);
  std::optional<WayFigures> way_of(const Pair& pair, const paths::Choices& lists) const;
  void serve(const Pair& pair, const policy::Sla& sla, Now now);
  void end_adoption();
  void drop_tier_ways();
  session::SlaView sla_view(const SlaWatch::Key& key, const SlaWatch::State& state) const;
  void tell(const SlaWatch::News& news) const;
  void rotate_keys(Now now);
  // domain_keys.cc
  void on_renew(MemberId member, const proto::v1::RenewRequest& request, Now now);
  void note_bindings(MemberId member);
  void run_rotations(Now now);
  bool holds_next_key(const Rollout& rollout) const;
  const std::string& network_key() const;
  const std::string& next_network_key() const;
  // A member has one configuration on its way at a time; who is revoked waits for no acknowledgement, and the next one
  // follows on the heels of the last.
  enum class Pace { OneAtATime, AtOnce };
  void push(Now now, Pace pace = Pace::OneAtATime);
  void push_soon(Now now);
  void note_vitals(MemberId member, const proto::v1::Telemetry& telemetry, Now now);
  void judge_canary(Now now);
  bool held_back(MemberId member, const Rollout& rollout) const;
  void note_acknowledged(MemberId member, std::uint64_t version);
  void all_dirty();
  void tenant_changed(const proto::v1::Tenant& before, const proto::v1::Tenant& after);
  void leave(MemberId member, Now now);
  World world() const;
  std::string name_of(std::uint32_t node) const;
  proto::v1::Envelope mint(const proto::v1::MintRequest& request, Now now) const;
  bool adopt_directive(const proto::v1::DomainDirective& directive, std::string& why);
  void dirty_what_differs(const proto::v1::DomainDirective& before);
  bool for_parent(const telemetry::LinkKey& key) const;
  void index_directive();

  DomainConfig config_;
  store::Store& store_;
  session::Authority& authority_;
  session::Members& members_;
  session::Membership membership_;
  session::CaRotation ca_rotation_;
  telemetry::Matrix matrix_;
  topology::LinkTable links_;
  topology::LinkHistory history_;
  std::set<telemetry::LinkKey> unreported_;  // published since the last report to the global level
  policy::Rules rules_;
  Steering steering_;
  MoveBudget move_budget_;
  paths::Engine engine_;
  Selections selections_;     // none of them empty
  std::set<Pair> pairs_;      // that get lists
  std::set<Pair> unsettled_;  // whose last computation changed them: once more, until it does not
  telemetry::DemandBook demands_;
  telemetry::TalkBook talks_;
  ProbeBudget probe_budget_;
  bool told_stretched_ = false;
  DemandForecast forecast_;
  CapacityBook capacities_;
  Spreads spreads_;
  PlanRun plans_;
  PlaneReserves reserves_;
  std::map<std::uint8_t, double> reserved_used_;         // by the newest plan
  std::vector<session::TenantTraffic> planned_tenants_;  // of the plan under way, but for what is carried
  // Across domains: what our boxes send to others', what others send through ours, and what our own pairs take.
  telemetry::DemandBook across_;
  TrafficLoad foreign_, own_load_;
  base::Time foreign_until_{};
  base::Time traffic_told_{};
  bool told_traffic_ = false;  // last time there was something
  double gather_seconds_ = 0, paths_seconds_ = 0, push_seconds_ = 0;
  session::TrafficView traffic_;
  SlaWatch sla_watch_;
  TierWays tier_ways_;
  LimitedWays limited_;
  std::optional<paths::RelayLoad> load_;  // by what pairs hold; none: to be counted anew
  // A look at all promises, over as many ticks as it takes.
  struct SlaLook {
    struct Tenant {
      std::vector<policy::Sla> slas;
      std::vector<std::uint32_t> members;
    };
    base::Time began{};
    bool under_way = false;
    std::vector<Tenant> tenants{};
    std::size_t tenant = 0, row = 0;  // whose pairs are next
  };
  SlaLook sla_look_;
  RelayKeys relay_keys_;
  std::map<MemberId, Rollout> rollouts_;
  std::set<MemberId> taken_over_;  // whose session is about to open: Membership::take_over
  std::vector<std::pair<MemberId, std::uint64_t>> acknowledged_;  // not yet in the store
  telemetry::VitalsBook vitals_;
  std::optional<Canary> canary_;
  Selections selections_before_;  // while there is one: as they were when it began
  std::map<MemberId, telemetry::Vitals> vitals_before_;
  std::vector<proto::v1::Tenant> tenants_;
  proto::v1::DomainDirective directive_;
  std::set<std::uint32_t> measured_relays_;  // its; empty: all
  std::map<std::uint32_t, const proto::v1::NodeRecord*> remote_;
  std::uint64_t epoch_ = 0;
  std::string psk_;
  std::string next_psk_;  // while it is rotated
  std::uint64_t report_sequence_ = 0;
  base::Time started_{};
  base::Time computed_{};
  base::Time expired_{};
  base::Time full_report_{};  // when the next one is due
  base::UnixSeconds keys_checked_ = 0;
  base::UnixSeconds day_ = 0;
  bool everything_ = true;  // compute all pairs anew: nodes, tenants or the rules changed
  bool warming_up_ = true;
  bool gathering_ = false;
  bool has_parent_ = false;
  bool parent_up_ = false;
};

}  // namespace qanat::domain
