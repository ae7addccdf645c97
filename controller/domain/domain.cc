// Domain, southbound: members come and go, measurements in, configurations out.
#include "controller/domain/domain.hh"

#include <algorithm>

#include "base/hex.hh"
#include "base/log.hh"
#include "controller/policy/token_schedule.hh"
#include "identifiers/proto/config_state.hh"

namespace qanat::domain {

using session::Event;

Domain::Domain(DomainConfig config, store::Store& store, session::Authority& authority,
               session::Members& members, Now now)
    : config_(std::move(config)),
      store_(store),
      authority_(authority),
      members_(members),
      membership_(store, authority, session::Membership::Kind::Nodes, config_.domain),
      ca_rotation_(authority, membership_, members,
                   [this](MemberId member) {
                     const auto at = rollouts_.find(member);
                     return at != rollouts_.end() && at->second.bound == authority_.serial();
                   }),
      history_(now.mono),
      probe_budget_({.relay_probes_per_s = config_.relay_probes_per_s,
                     .active_ms = config_.probe_plan.active_interval_ms(),
                     .mesh_ms = config_.probe_plan.mesh_interval_ms()}),
      plans_(config_.planning),
      started_(now.mono) {
  load(now);
}

Domain::~Domain() = default;

void Domain::load(Now now) {
  if (const auto kept = store_.value("epoch")) {
    epoch_ = std::stoull(*kept);
  } else {
    epoch_ = now.unix_s;  // a lost database comes back with a higher one
    store_.set_value("epoch", std::to_string(epoch_));
  }
  if (const auto kept = store_.value("network_psk")) {
    psk_ = *kept;
  } else {
    std::array<std::uint8_t, 32> fresh{};
    config_.random(fresh);
    psk_.assign(fresh.begin(), fresh.end());
    store_.set_value("network_psk", psk_);
  }
  next_psk_ = store_.value("network_psk_next").value_or("");
  for (const store::RelayKeyRow& row : store_.relay_keys()) relay_keys_[{row.relay, row.week}] = row.key;
  tenants_ = store_.tenants();
  if (const auto kept = store_.value(kReservesKept)) reserves_.load(*kept);
  if (const auto kept = store_.value("directive")) {
    if (directive_.ParseFromString(*kept)) index_directive();
  }
  for (const auto& [id, member] : membership_.current()) rollouts_[id];
  for (const store::Pushed& row : store_.pushed()) {
    const auto rollout = rollouts_.find(row.id);
    proto::v1::NodeConfig config;
    if (rollout == rollouts_.end() || !config.ParseFromString(row.content)) continue;
    rollout->second.version = row.version;
    adopt(config, selections_);
    adopt(config, spreads_);
    adopt(config, tier_ways_);
    limited_.adopt(config);
    probe_budget_.adopt(row.id, config.probe_plan().active_interval_ms());
    (row.acknowledged ? rollout->second.held : rollout->second.untold) = std::move(config);
  }
  keep_own_spreads();
  gathering_ =
      std::all_of(rollouts_.begin(), rollouts_.end(), [](const auto& r) { return r.second.version == 0; });
  rotate_keys(now);
}

proto::v1::Envelope Domain::enrol(const proto::v1::EnrolRequest& request, Now now) {
  MemberId joined = 0, replaced = 0;
  auto reply = membership_.enrol(request, now, joined, replaced);
  if (joined == 0) return reply;
  if (replaced != 0) leave(replaced, now);
  rollouts_[joined];
  keys_checked_ = 0;
  everything_ = true;
  rotate_keys(now);
  all_dirty();
  base::log_info("node {} enrolled as {}", joined, request.name());
  emit({"node_enrolled", {{"name", request.name()}, {"node", std::to_string(joined)}}});
  return reply;
}

std::optional<proto::v1::Refusal> Domain::admit(MemberId member, const session::Leaf& leaf,
                                                const proto::v1::Hello& hello) {
  // Its certificate is ours, and verified.
  if (membership_.given_out(member)) {
    base::log_warn("node {} is a stranger with a certificate of ours: this state is older than it", member);
    all_dirty();
  }
  if (membership_.take_over(member, leaf)) {
    base::log_warn("node {} ({}) has a certificate of ours that is newer than this state: it is taken over",
                   member, name_of(member));
    taken_over_.insert(member);
  }
  return membership_.admit(member, leaf, hello);
}

void Domain::on_open(MemberId member, const proto::v1::Hello& hello, Now now) {
  Rollout& rollout = rollouts_[member];
  rollout.connected = true;
  rollout.inflight.Clear();
  rollout.not_before = {};
  rollout.dirty = true;
  if (membership_.update(member, hello)) {
    everything_ = true;  // it may stand elsewhere
    all_dirty();
  }
  // What it says it holds decides between a delta and a snapshot.
  const bool known = hello.epoch() == epoch_ && hello.version() != 0;
  if (!known || rollout.held.version() != hello.version()) {
    rollout.held.Clear();
    if (known && hello.version() == rollout.untold.version()) {  // sent, applied, but the ack was lost
      rollout.held.Swap(&rollout.untold);
      note_acknowledged(member, hello.version());
    }
  }
  rollout.untold.Clear();
  rollout.sent_before = rollout.version;
  if (known && hello.version() < session::kEndOfVersions)
    rollout.version = std::max(rollout.version, hello.version());
  rollout.asked = rollout.held.version() == 0 && hello.version() != 0 && hello.tells_config();
  if (rollout.asked) {
    proto::v1::Envelope question;
    question.set_tell_config(true);
    members_.send(member, question);
    rollout.not_before = now.mono + kGather;
  }
  ca_rotation_.on_open(member, hello);
  note_bindings(member);
  if (taken_over_.erase(member) != 0) {
    // Its static key may be newer than this state too; it alone knows, and a next one both know.
    proto::v1::Envelope rotate;
    rotate.set_rotate_key(true);
    members_.send(member, rotate);
    emit({"certificate_taken_over", {{"name", name_of(member)}}});
  }
  base::log_info("node {} ({}) connected, holds version {}", member, name_of(member), hello.version());
  emit({"node_connected", {{"name", name_of(member)}}});
  push_soon(now);
}

bool Domain::on_envelope(MemberId member, const proto::v1::Envelope& envelope, Now now) {
  switch (envelope.body_case()) {
    case proto::v1::Envelope::kAck: on_ack(member, envelope.ack(), now); return true;
    case proto::v1::Envelope::kHeld: on_held(member, envelope.held(), now); return true;
    case proto::v1::Envelope::kTelemetry: on_telemetry(member, envelope.telemetry(), now); return true;
    case proto::v1::Envelope::kTrustAck: ca_rotation_.on_ack(member, envelope.trust_ack()); return true;
    case proto::v1::Envelope::kRenew: on_renew(member, envelope.renew(), now); return true;
    default: return false;
  }
}

void Domain::on_closed(MemberId member, Now) {
  const auto at = rollouts_.find(member);
  if (at == rollouts_.end()) return;
  at->second.connected = false;
  if (at->second.inflight.version() != 0) at->second.untold.Swap(&at->second.inflight);
  at->second.inflight.Clear();
  ca_rotation_.on_closed(member);
  base::log_info("node {} ({}) disconnected", member, name_of(member));
  emit({"node_lost", {{"name", name_of(member)}}});
}

void Domain::on_telemetry(MemberId member, const proto::v1::Telemetry& telemetry, Now now) {
  if (telemetry.counters_size() != 0) note_vitals(member, telemetry, now);
  note_traffic(member, telemetry, now);
  note_talk(member, telemetry, now);
  for (const auto& a : telemetry.adjacencies()) {
    const bool known = membership_.current().contains(a.peer()) || remote_.contains(a.peer());
    if (!known || a.peer() == member || a.local_plane() == 0 || a.local_plane() > ids::PlaneId::kMax ||
        a.remote_plane() == 0 || a.remote_plane() > ids::PlaneId::kMax) {
      continue;
    }
    const telemetry::LinkKey key{ids::NodeId{member}, ids::NodeId{a.peer()},
                                 ids::PlaneId{static_cast<std::uint8_t>(a.local_plane())},
                                 ids::PlaneId{static_cast<std::uint8_t>(a.remote_plane())}};
    matrix_.on_report(
        key,
        {.rtt_us = a.rtt_mean_us(),
         .alive = a.alive(),
         .sent = {.probes = a.probes_sent(), .lost = a.probes_lost(), .jitter_us = a.jitter_us()},
         .heard = {a.heard_probes(), a.heard_lost(), a.heard_jitter_us(), a.heard_reordered()}},
        now.mono);
    measured(key, now.mono);
  }
}

// Paths and counters come together, in a box's whole reports.
void Domain::note_vitals(MemberId member, const proto::v1::Telemetry& telemetry, Now now) {
  telemetry::Vitals vitals;
  for (const auto& path : telemetry.paths()) {
    if (!path.active()) continue;
    ++vitals.paths;
    if (!path.alive()) {
      ++vitals.dead;
      continue;
    }
    vitals.loss_ppm += path.loss_ppm();
    vitals.rtt_us += path.rtt_us();
  }
  std::uint64_t dropped = 0;
  for (const auto& counter : telemetry.counters())
    if (counter.name().starts_with("drop_")) dropped += counter.value();
  vitals_.on_report(ids::NodeId{member}, vitals, dropped, now.mono);
}

// Either end's report speaks of both directions.
void Domain::measured(const telemetry::LinkKey& key, base::Time now) {
  for (const auto& way : {key, key.reversed()}) {
    const auto link = matrix_.link(way, now);
    const auto before = link ? links_.update(*link) : links_.erase(way);
    if (!before) continue;
    history_.note(*before, now);
    if (has_parent_) unreported_.insert(way);
  }
}

void Domain::expire(base::Time now) {
  expired_ = now;
  for (const auto& key : matrix_.expire(now)) measured(key, now);
}

void Domain::on_timer(Now now) {
  rotate_keys(now);
  run_rotations(now);
  const bool many = membership_.current().size() > kEveryPairUpTo;
  if (now.mono - computed_ >= (many && warming_up_ ? kWarmUpTick : kTick)) {
    if (now.mono - expired_ >= kExpiry) expire(now.mono);
    recompute(now);
    computed_ = now.mono;
  }
  for (auto& [id, rollout] : rollouts_) {
    if (rollout.inflight.version() == 0 || now.mono - rollout.sent < kAckLimit) continue;
    members_.close(id, "no_acknowledgement", "a configuration was not acknowledged within 10 s", true);
  }
  run_traffic(now);
  watch_slas(now);
  judge_canary(now);
  push(now);
  if (!acknowledged_.empty()) store_.set_acknowledged(std::exchange(acknowledged_, {}));
}

std::map<std::string, std::uint32_t> Domain::own_names() const {
  std::map<std::string, std::uint32_t> names;
  for (const auto& [id, member] : membership_.current()) names[member.record.name()] = id;
  return names;
}

// The global level's word on a VNI counts.
std::vector<const proto::v1::Tenant*> Domain::tenants_in_force() const {
  std::vector<const proto::v1::Tenant*> out;
  std::set<std::uint32_t> taken;
  for (const auto& tenant : directive_.tenants()) {
    out.push_back(&tenant);
    taken.insert(tenant.vni());
  }
  for (const auto& tenant : tenants_)
    if (!taken.contains(tenant.vni())) out.push_back(&tenant);
  return out;
}

// A member that was revoked or replaced: nothing of it stays.
void Domain::leave(MemberId member, Now now) {
  matrix_.forget(ids::NodeId{member});
  for (const auto& before : links_.forget(ids::NodeId{member})) history_.note(before, now.mono);
  vitals_.forget(ids::NodeId{member});
  demands_.forget(ids::NodeId{member});
  across_.forget(ids::NodeId{member});
  talks_.forget(ids::NodeId{member});
  forecast_.forget(ids::NodeId{member});
  capacities_.forget(ids::NodeId{member});
  std::erase_if(selections_,
                [member](const auto& s) { return s.first.first == member || s.first.second == member; });
  drop_tier_ways();
  load_.reset();
  members_.close(member, "revoked", "this node is not a member any more", false);
  rollouts_.erase(member);
  everything_ = true;
  all_dirty();
}

std::string Domain::name_of(std::uint32_t node) const {
  if (const auto own = membership_.current().find(node); own != membership_.current().end())
    return own->second.record.name();
  if (const auto other = remote_.find(node); other != remote_.end()) return other->second->name();
  return "n" + std::to_string(node);
}

}  // namespace qanat::domain
