// Level: a controller (a domain, or the global one) as its shells see it: the listener below brings it members' messages,
// the northbound above brings it operators' wishes. Everything is called on one thread, with the time as an argument.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/time.hh"
#include "base/tls.hh"
#include "controller/session/canary.hh"
#include "controller/session/sla.hh"
#include "identifiers/ids/sid.hh"
#include "identifiers/ids/tier.hh"

namespace qanat::proto::v1 {
class Envelope;
class EnrolRequest;
class Hello;
class Refusal;
class Tenant;
}  // namespace qanat::proto::v1
namespace qanat::policy {
struct Rules;
}

namespace qanat::session {

struct Now {
  base::Time mono;
  base::UnixSeconds unix_s = 0;
};

// Fills its argument with random bytes: the system's in daemons, a seeded stream in simulations.
using RandomSource = std::function<void(std::span<std::uint8_t>)>;
// getrandom(2)'s.
RandomSource system_random();

using MemberId = std::uint32_t;  // a node id, or at the global level a domain id

// A member says which version it holds without proof. What no controller gets to in a thousand years is passed over, so that
// a lie costs nobody more than a snapshot.
constexpr std::uint64_t kEndOfVersions = 1ull << 48;

// The way back to members; the listener implements it. Sending to somebody who is not connected does nothing.
class Members {
 public:
  virtual ~Members() = default;
  virtual void send(MemberId member, const proto::v1::Envelope& envelope) = 0;
  // Tells the member why, then closes. The level is told by on_closed() before this returns.
  virtual void close(MemberId member, std::string_view code, std::string_view message, bool retryable) = 0;
};

// ---- what operators see ----
struct Status {
  std::string name;
  std::string role;
  std::uint32_t domain = 0;
  std::uint64_t epoch = 0;
  std::size_t members = 0;
  std::size_t connected = 0;
  std::size_t links_usable = 0;
  std::size_t policies = 0;
  // Pairs whose tier has no way that works within its limits, by tier.
  std::array<std::size_t, ids::kTierCount> cut_off{};
  // Of a domain: what the newest computation of paths, and the newest round of telling members, kept everything else waiting;
  // members with a session that have not acknowledged what they were told, and since when the first of them.
  double paths_seconds = 0, push_seconds = 0;
  std::size_t behind = 0;
  double behind_seconds = 0;
  // Likewise: probes over the relay that carries most of those that boxes ask their lists in use with, and how many boxes ask
  // theirs more rarely than the plan says, to keep relays within bounds.
  std::uint32_t relay_probes_per_s = 0;
  std::size_t probes_stretched = 0;
  std::string parent{};  // "", "connected", "lost"
  std::string
      leader{};  // of several that stand in for each other, where this one only stands by: its northbound address
};
struct LineView {
  std::uint32_t plane = 0;
  std::string address;
  std::uint32_t port = 0;
  std::string name;
};
struct NodeView {
  std::uint32_t node = 0;
  std::string name;
  std::uint32_t domain = 0;
  bool connected = false;
  bool relay = false;
  std::vector<LineView> lines;
  std::string location;
  std::uint64_t version_sent = 0;
  std::uint64_t version_acked = 0;
};
struct LinkView {
  std::string from;
  std::string to;
  std::uint32_t from_plane = 0;
  std::uint32_t to_plane = 0;
  std::uint32_t rtt_us = 0;
  std::uint32_t loss_ppm = 0;
  std::uint32_t jitter_us = 0;
  std::uint32_t reordered_ppm = 0;
  std::string state;  // "usable", "dead", "unknown"
  std::int64_t age_ms = 0;
};
// As it was published then; nullopt: that is not kept any more.
struct PastMatrix {
  base::UnixSeconds kept_since = 0;
  std::optional<std::vector<LinkView>> links;
};
struct PathView {
  std::string from;
  std::string to;
  ids::Tier tier = ids::Tier::Bulk;
  std::uint32_t path = 0;             // the id, 0 where another level numbers it
  std::vector<std::string> segments;  // "n4098:x2", "n4099"; none: the tier has no list
  std::vector<std::string> names;     // relays, then the endpoint
  std::uint32_t first_plane = 0;
  std::uint32_t cost_us = 0;
  std::uint32_t preference = 0;
  std::optional<std::uint32_t> weight = {};  // in 1/1000, where flows are spread
  double allocated_bps = 0;                  // likewise, to this list; 0: nothing was
  std::vector<std::string> shares{};         // risks that its relays share with the first list's
  std::string reason{};  // why this list; "" where another level chose it, or this one does not say
};
// What a tenant with rates asks for and gets, by the newest plan.
struct TenantTraffic {
  std::string tenant;
  double committed_bps = 0;  // as promised
  double burst_bps = 0;
  double asked_bps = 0;
  double carried_bps = 0;
};
// What is reserved of a plane for all of this level's pairs, in a slot of the day, paid for whether used or not.
struct PlaneReserveView {
  base::UnixSeconds from = 0, until = 0;  // of the slot that runs
  double reserved_bps = 0;
  double used_bps = 0;                  // by the newest plan: what goes over lists of that plane, each once
  std::optional<double> next_bps = {};  // of the next slot, once that is decided
};
// What this level's pairs ask of what can be full, and what was allocated: the newest plan's.
struct TrafficView {
  std::size_t demands = 0;  // of a pair in a tier
  double demand_bps = 0;
  double carried_bps = 0;     // of these, by the plan
  std::size_t spread = 0;     // of them, split over several lists
  double plan_seconds = 0;    // that the plan took, on a thread of its own
  double hold_seconds = 0;    // that gathering what it is made of kept everything else waiting
  double rise_bps = 0;        // of demand_bps, what is expected by the time of day and not asked for yet
  std::size_t forecasts = 0;  // pairs and tiers whose days are followed
  std::map<std::uint8_t, double> plane_bps = {};           // of carried_bps, over each hop's plane
  std::map<std::uint8_t, PlaneReserveView> reserves = {};  // by plane
  double cost_per_hour = 0;                                // by the planes' prices, and what is reserved
  std::vector<TenantTraffic> tenants = {};                 // that have rates
  std::uint64_t late_plans = 0;  // that were not ready when they should have counted
};
// Empty or absent: any.
struct PathQuery {
  std::string from;
  std::string to;
  std::optional<ids::Tier> tier;
};
struct TenantMemberView {
  std::string node;
  std::vector<std::string> addresses;
  std::vector<std::string> prefixes;
  std::vector<std::string> labels = {};
};
struct TenantView {
  std::string name;
  std::uint32_t vni = 0;
  std::vector<TenantMemberView> members;
  bool from_parent = false;
  std::optional<std::vector<std::string>> policy = {};  // rules; none: members reach each other freely
};
// A CA or a network key that is being replaced: how far it is, and whom it waits for.
struct RotationStatus {
  std::string phase;             // "stable", "announced", "switched"
  std::uint64_t serial = 0;      // of the CAs; 0 before the first rotation
  std::string fingerprint = {};  // of the CA that signs, SHA-256, hexadecimal
  base::UnixSeconds expires_unix_s = 0;
  std::size_t members = 0;
  std::size_t done = 0;                       // with what this phase asks of them
  std::vector<std::string> waiting_for = {};  // the others; " (away)" after those without a session
};
struct Event {
  std::string kind;  // "node_connected", "paths_changed" …
  std::vector<std::pair<std::string, std::string>> fields;
};

// Thrown by a level that only stands by, for what only the leader can say or do. what() names the leader.
struct NotLeader : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct WhatIf;
struct WhatIfAnswer;

// The certificate that a member showed: of a CA of ours, and in its time.
struct Leaf {
  base::Fingerprint fingerprint{};
  base::UnixSeconds not_before = 0;  // as it says
  std::string name{};                // likewise, the common name
};

class Level {
 public:
  virtual ~Level() = default;
  Level() = default;
  Level(const Level&) = delete;
  Level& operator=(const Level&) = delete;

  // What members' certificates call them: "node" or "domain".
  virtual std::string_view member_kind() const = 0;

  // ---- southbound ----
  // An EnrolReply or a Refusal. The only thing that somebody without a certificate may ask for.
  virtual proto::v1::Envelope enrol(const proto::v1::EnrolRequest& request, Now now) = 0;
  // Is this certificate that of a current member, and does the Hello say the same? A refusal if not.
  virtual std::optional<proto::v1::Refusal> admit(MemberId member, const Leaf& leaf,
                                                  const proto::v1::Hello& hello) = 0;
  virtual void on_open(MemberId member, const proto::v1::Hello& hello, Now now) = 0;
  // False when the message is none that a member may send; the session is then closed.
  virtual bool on_envelope(MemberId member, const proto::v1::Envelope& envelope, Now now) = 0;
  virtual void on_closed(MemberId member, Now now) = 0;
  // Called ten times a second or so.
  virtual void on_timer(Now now) = 0;

  // ---- northbound ----
  virtual Status status(Now now) const = 0;
  virtual std::vector<NodeView> nodes() const = 0;
  virtual std::vector<LinkView> matrix(Now now) const = 0;
  virtual PastMatrix matrix_at(Now now, base::UnixSeconds at) const = 0;  // `at`: not after `now`
  virtual std::vector<PathView> paths(const PathQuery& query) const = 0;
  // Of this level's own pairs: inside a domain, or between domains.
  virtual TrafficView traffic() const { return {}; }
  // What became of tenants' promises, term by term; the global level judges none.
  virtual std::vector<SlaView> slas() const { return {}; }
  virtual std::vector<TenantView> tenants() const = 0;
  // Of those that this level keeps itself, who has this one's name or its VNI.
  virtual std::vector<TenantView> tenants_like(const TenantView& tenant) const {
    std::vector<TenantView> out;
    for (auto& held : tenants())
      if (!held.from_parent && (held.name == tenant.name || held.vni == tenant.vni))
        out.push_back(std::move(held));
    return out;
  }
  // The token's text, or why not.
  virtual std::variant<std::string, std::vector<std::string>> mint_join_token(const std::string& name,
                                                                              bool relay, std::uint64_t ttl_s,
                                                                              Now now) = 0;
  // All that is wrong; empty: done.
  virtual std::vector<std::string> put_tenant(const TenantView& tenant, Now now) = 0;
  // What put_tenant() would say of these if they were all the tenants that this level keeps.
  virtual std::vector<std::string> tenant_problems(const std::vector<TenantView>& all) const = 0;
  // False: no such tenant.
  virtual bool remove_tenant(const std::string& name, Now now) = 0;
  // False: no such member. The member's session ends and it is denied everywhere at once.
  virtual bool revoke(const std::string& name, Now now) = 0;

  // ---- keys anew; what is wrong, or empty: begun ----
  virtual RotationStatus ca_status() const = 0;
  virtual std::vector<std::string> rotate_ca(Now now) = 0;
  // Goes on without those that are missing: they have to join again.
  virtual std::vector<std::string> advance_ca(Now now) = 0;
  virtual RotationStatus network_key_status() const = 0;
  virtual std::vector<std::string> rotate_network_key(Now now) = 0;
  // Asks a member for a new static key; nothing: no such member.
  virtual std::optional<std::vector<std::string>> rotate_member(const std::string& name) = 0;

  // ---- rules and questions ----
  // What operators say about ways, in force from now on; the level does not keep them over a restart.
  virtual void set_rules(const policy::Rules& rules, Now now) = 0;
  // A copy of what is known now, ready to answer: the function may run on another thread.
  virtual std::function<WhatIfAnswer()> what_if(const WhatIf& question, Now now) const = 0;

  // ---- canaries: a change that some boxes get first (domains alone have boxes) ----
  // From now on nobody is told of a change; what is wrong with the plan, or empty: begun.
  virtual std::vector<std::string> begin_canary(const CanaryPlan&, Now) {
    return {"canaries are boxes: a domain's controller has them"};
  }
  // After the change was said: some of those that it concerns are told.
  virtual void choose_canaries(Now) {}
  // Nothing: none is under way.
  virtual std::optional<CanaryView> canary() const { return std::nullopt; }
  // The others are told what is in force now: the change, or, after it was taken back, what was before.
  virtual void end_canary(CanaryEnd, Now) {}

  // Somebody who wants to hear of events; called on the same thread.
  void on_event(std::function<void(const Event&)> listener) { listener_ = std::move(listener); }

 protected:
  void emit(Event event) const {
    if (listener_) listener_(event);
  }

 private:
  std::function<void(const Event&)> listener_;
};

}  // namespace qanat::session
