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
    if (row.acknowledged) rollout->second.held = std::move(config);
  }
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

std::optional<proto::v1::Refusal> Domain::admit(MemberId member, const base::Fingerprint& leaf,
                                                const proto::v1::Hello& hello) {
  return membership_.admit(member, leaf, hello);
}

void Domain::on_open(MemberId member, const proto::v1::Hello& hello, Now now) {
  Rollout& rollout = rollouts_[member];
  rollout.connected = true;
  rollout.inflight.Clear();
  rollout.not_before = {};
  rollout.dirty = true;
  if (membership_.update(member, hello)) all_dirty();
  // What it says it holds decides between a delta and a snapshot.
  const bool known = hello.epoch() == epoch_ && hello.version() != 0;
  if (!known || rollout.held.version() != hello.version()) {
    rollout.held.Clear();
    if (known && hello.version() == rollout.version) {  // sent, applied, but the ack was lost
      for (const store::Pushed& row : store_.pushed()) {
        if (row.id == member && row.version == hello.version()) rollout.held.ParseFromString(row.content);
      }
      store_.set_acknowledged(member, hello.version());
    }
  }
  if (known) rollout.version = std::max(rollout.version, hello.version());
  rollout.asked = rollout.held.version() == 0 && hello.version() != 0 && hello.tells_config();
  if (rollout.asked) {
    proto::v1::Envelope question;
    question.set_tell_config(true);
    members_.send(member, question);
    rollout.not_before = now.mono + kGather;
  }
  ca_rotation_.on_open(member, hello);
  note_bindings(member);
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
  at->second.inflight.Clear();
  ca_rotation_.on_closed(member);
  base::log_info("node {} ({}) disconnected", member, name_of(member));
  emit({"node_lost", {{"name", name_of(member)}}});
}

void Domain::on_ack(MemberId member, const proto::v1::ConfigAck& ack, Now now) {
  Rollout& rollout = rollouts_[member];
  if (rollout.inflight.version() == 0 || ack.epoch() != epoch_ || ack.version() != rollout.inflight.version())
    return;
  if (!ack.applied()) {
    const std::string why = ack.error().substr(0, 500);
    base::log_warn("node {} ({}) refused version {}: {}", member, name_of(member), ack.version(), why);
    emit({"config_refused", {{"name", name_of(member)}, {"error", why}}});
    rollout.held.Clear();  // a full snapshot next, but not at once: it may be refused again
    rollout.inflight.Clear();
    rollout.not_before = now.mono + kRefusedPause;
    rollout.dirty = true;
    return;
  }
  rollout.held = std::move(rollout.inflight);
  rollout.inflight.Clear();
  store_.set_acknowledged(member, ack.version());
  note_bindings(member);
  emit({"config_acked", {{"name", name_of(member)}, {"version", std::to_string(ack.version())}}});
  // Lists wait for relays alone.
  const auto self = membership_.current().find(member);
  if (self != membership_.current().end() && self->second.record.relay())
    for (auto& [id, other] : rollouts_) other.dirty |= other.waiting;
  push_soon(now);
}

// What a node holds counts only as one of our configurations: signed, and for this node.
void Domain::on_held(MemberId member, const proto::v1::ConfigDelta& told, Now now) {
  Rollout& rollout = rollouts_[member];
  if (!std::exchange(rollout.asked, false)) return;
  rollout.not_before = {};
  const auto keys = proto::config_keys_of(authority_.config_publics());
  auto config = proto::apply_verified({}, told, member, keys);
  if (!config) {
    base::log_warn("node {} ({}) holds what this controller did not sign: {}", member, name_of(member),
                   config.error().message());
  } else {
    if (warming_up_) {  // a new leader changes nothing by itself
      Selections theirs;
      adopt(*config, theirs);
      for (auto& [pair, choices] : theirs)
        if (membership_.current().contains(pair.second)) selections_.try_emplace(pair, std::move(choices));
    }
    rollout.held = std::move(*config);
  }
  push_soon(now);
}

// Until every node is back and has told what it holds.
bool Domain::gathering(Now now) {
  const auto told = [](const auto& r) { return r.second.connected && !r.second.asked; };
  gathering_ =
      gathering_ && now.mono - started_ < kGather && !std::all_of(rollouts_.begin(), rollouts_.end(), told);
  return gathering_;
}

void Domain::on_telemetry(MemberId member, const proto::v1::Telemetry& telemetry, Now now) {
  for (const auto& a : telemetry.adjacencies()) {
    const bool known = membership_.current().contains(a.peer()) || remote_.contains(a.peer());
    if (!known || a.peer() == member || a.local_plane() == 0 || a.local_plane() > ids::PlaneId::kMax ||
        a.remote_plane() == 0 || a.remote_plane() > ids::PlaneId::kMax) {
      continue;
    }
    const telemetry::LinkKey key{ids::NodeId{member}, ids::NodeId{a.peer()},
                                 ids::PlaneId{static_cast<std::uint8_t>(a.local_plane())},
                                 ids::PlaneId{static_cast<std::uint8_t>(a.remote_plane())}};
    matrix_.on_report(key, {a.rtt_mean_us(), a.jitter_us(), a.probes_sent(), a.probes_lost(), a.alive()},
                      now.mono);
    measured(key, now.mono);
  }
}

// Either end's report speaks for both directions.
void Domain::measured(const telemetry::LinkKey& key, base::Time now) {
  auto link = matrix_.link(key, now);
  for (const auto& way : {key, key.reversed()}) {
    if (link) link->key = way;
    const bool published = link ? links_.update(*link) : links_.erase(way);
    if (published && has_parent_) unreported_.insert(way);
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
  push(now);
}

// Candidates are what computing everything would give, bit for bit; a pair chooses anew only when its links, what it
// holds and the rules are those of its last computation.
void Domain::recompute(Now now) {
  const bool warming_up = now.mono - started_ < kWarmUp;
  if (warming_up != warming_up_) everything_ = true;
  warming_up_ = warming_up;
  steer(now);
  if (!everything_ && !links_.changed() && unsettled_.empty()) return;
  const auto changes = links_.take_changes();
  if (everything_ || !engine_.update(changes)) {
    settle_pairs();
    std::vector<topology::Node> nodes;
    for (const auto& [id, member] : membership_.current()) {
      topology::Node node{.id = ids::NodeId{id}, .domain = {}};
      node.domain = ids::DomainId{static_cast<std::uint16_t>(config_.domain)};
      node.relay = member.record.relay() && !steering_.drained(id);
      nodes.push_back(node);
    }
    engine_.rank_by(steering_.objective());
    engine_.rebuild(std::move(nodes), links_.links(), pairs_);
    everything_ = false;
  }
  const auto unknowns = warming_up ? paths::Unknowns::AreTrusted : paths::Unknowns::AreLost;
  const auto unsettled = std::exchange(unsettled_, {});
  paths::RelayLoad load(paths::RelayLoad::room_for(pairs_.size(), engine_.relays()));
  for (const auto& [pair, choices] : selections_) load.add(choices.front().route);
  for (const Pair& pair : pairs_)
    if (engine_.affects(pair) || unsettled.contains(pair) || steering_.concerns(pair))
      compute(pair, unknowns, load, now);
}

// Who gets lists to whom: everybody in a small domain, tenants' members in a large one.
void Domain::settle_pairs() {
  pairs_.clear();
  const auto& members = membership_.current();
  if (members.size() <= kEveryPairUpTo) {
    for (const auto& [from, a] : members)
      for (const auto& [to, b] : members)
        if (from != to) pairs_.insert({from, to});
  } else {
    const auto names = own_names();
    for (const auto& tenant : tenants_in_force()) {
      const auto ids = member_ids(tenant, names);
      for (const std::uint32_t from : ids)
        for (const std::uint32_t to : ids)
          if (from != to && members.contains(from) && members.contains(to)) pairs_.insert({from, to});
    }
  }
  std::erase_if(selections_, [this](const auto& s) {
    if (pairs_.contains(s.first)) return false;
    if (const auto at = rollouts_.find(s.first.first); at != rollouts_.end()) at->second.dirty = true;
    return true;
  });
}

void Domain::compute(const Pair& pair, paths::Unknowns unknowns, paths::RelayLoad& load, Now now) {
  const auto old = selections_.find(pair);
  const paths::Choices held = old == selections_.end() ? paths::Choices{} : old->second;
  const auto wanted = steering_.choose(engine_, pair, held, unknowns, load);
  auto chosen = steering_.concerns(pair)
                    ? wanted
                    : move_budget_.take(rules_, engine_, pair, held, wanted, pairs_.size(), now);
  if (chosen != wanted) unsettled_.insert(pair);  // asks again in the next tick
  if (chosen == held || chosen.empty()) return;
  if (!held.empty()) load.remove(held.front().route);
  load.add(chosen.front().route);
  unsettled_.insert(pair);
  const bool moved = held.empty() || chosen.front().route != held.front().route;
  selections_[pair] = std::move(chosen);
  rollouts_[pair.first].dirty = true;
  if (!moved) return;
  std::string way;
  const auto& best = selections_[pair].front();
  for (const ids::NodeId relay : best.route.relay_list()) way += name_of(relay.value) + " ";
  emit({"path_changed",
        {{"from", name_of(pair.first)},
         {"to", name_of(pair.second)},
         {"via", way},
         {"cost_us", std::to_string(best.cost_us)}}});
}

void Domain::rotate_keys(Now now) {
  const base::UnixSeconds day = now.unix_s / policy::kDay;
  if (day != day_) {
    day_ = day;
    all_dirty();  // every list's expiry moves on
  }
  if (keys_checked_ != 0 && now.unix_s - keys_checked_ < 60) return;
  keys_checked_ = now.unix_s;
  const auto weeks = policy::held_weeks(now.unix_s);
  for (const auto& [id, member] : membership_.current()) {
    if (!member.record.relay()) continue;
    for (const std::uint64_t week : weeks) {
      if (week < policy::week_of(now.unix_s) || relay_keys_.contains({id, week})) continue;
      store::RelayKeyRow row{id, week, {}};
      config_.random(row.key);
      store_.add_relay_key(row);
      relay_keys_[{id, week}] = row.key;
      rollouts_[id].dirty = true;
    }
  }
  const std::uint64_t oldest = weeks[0];
  if (std::erase_if(relay_keys_, [oldest](const auto& k) { return k.first.second < oldest; }) == 0) return;
  store_.remove_relay_keys_before(oldest);
  all_dirty();
}

void Domain::all_dirty() {
  for (auto& [id, rollout] : rollouts_) rollout.dirty = true;
}

std::map<std::string, std::uint32_t> Domain::own_names() const {
  std::map<std::string, std::uint32_t> names;
  for (const auto& [id, member] : membership_.current()) names[member.record.name()] = id;
  return names;
}

// The global level's word on a VNI counts.
std::vector<proto::v1::Tenant> Domain::tenants_in_force() const {
  std::vector<proto::v1::Tenant> out(directive_.tenants().begin(), directive_.tenants().end());
  for (const auto& tenant : tenants_) {
    const bool taken =
        std::any_of(out.begin(), out.end(), [&](const auto& t) { return t.vni() == tenant.vni(); });
    if (!taken) out.push_back(tenant);
  }
  return out;
}

World Domain::world() const {
  World w;
  for (const auto& [id, member] : membership_.current()) w.nodes[id] = &member.record;
  w.own_names = own_names();
  w.nodes.insert(remote_.begin(), remote_.end());
  w.selections = &selections_;
  w.relay_keys = &relay_keys_;
  w.tenants = tenants_in_force();
  w.denied = membership_.denied();
  w.denied.insert(w.denied.end(), directive_.denied_headends().begin(), directive_.denied_headends().end());
  for (const auto& headend : directive_.headends()) w.directives[headend.headend()] = &headend;
  w.probe_plan = config_.probe_plan;
  w.mesh_probes_per_s = config_.mesh_probes_per_s;
  w.network_psk = network_key();
  w.network_psk_next = next_network_key();
  w.held = [this](std::uint32_t node) -> const proto::v1::NodeConfig& {
    static const proto::v1::NodeConfig kNothing;
    const auto at = rollouts_.find(node);
    return at == rollouts_.end() ? kNothing : at->second.held;
  };
  return w;
}

void Domain::push(Now now, Pace pace) {
  const auto due = [&](const Rollout& r) {
    if (!r.connected || !r.dirty) return false;
    return pace == Pace::AtOnce || (r.inflight.version() == 0 && now.mono >= r.not_before);
  };
  if (gathering(now)) return;
  if (std::none_of(rollouts_.begin(), rollouts_.end(), [&](const auto& r) { return due(r.second); })) return;
  const World everything = world();
  const ConfigCompiler compiler(everything, now.unix_s);
  std::vector<store::Pushed> rows;
  std::vector<std::pair<MemberId, proto::v1::Envelope>> out;
  for (auto& [id, rollout] : rollouts_) {
    if (!due(rollout)) continue;
    Compiled compiled = compiler.compile(id);
    rollout.dirty = false;
    rollout.waiting = compiled.waiting;
    proto::v1::NodeConfig& next = compiled.config;
    next.set_epoch(epoch_);
    next.set_version(rollout.version + 1);
    proto::v1::Envelope envelope;
    proto::v1::ConfigDelta& delta = *envelope.mutable_delta();
    // What is on its way arrives first.
    const proto::v1::NodeConfig& before = rollout.inflight.version() != 0 ? rollout.inflight : rollout.held;
    delta = proto::unsigned_delta(before, next);
    if (!proto::changes_something(delta)) continue;
    ++rollout.version;
    rows.push_back({id, rollout.version, proto::sign_delta(delta, next, authority_.config_key()), false});
    rollout.inflight = std::move(next);
    rollout.sent = now.mono;
    if (membership_.current().size() > kEveryPairUpTo) rollout.not_before = now.mono + kLargeGap;
    out.emplace_back(id, std::move(envelope));
  }
  store_.set_pushed(rows);  // on disk before anybody is told
  for (const auto& [id, envelope] : out) members_.send(id, envelope);
}

// After what comes from many members one after the other: in a large domain the timer's next turn does for all of them.
void Domain::push_soon(Now now) {
  if (membership_.current().size() <= kEveryPairUpTo) push(now);
}

// A member that was revoked or replaced: nothing of it stays.
void Domain::leave(MemberId member, Now) {
  matrix_.forget(ids::NodeId{member});
  links_.forget(ids::NodeId{member});
  std::erase_if(selections_,
                [member](const auto& s) { return s.first.first == member || s.first.second == member; });
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
