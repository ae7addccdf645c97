// Domain, rollout: who is told what and when, and what members say to it.
#include <algorithm>

#include "base/log.hh"
#include "controller/domain/domain.hh"
#include "identifiers/proto/config_state.hh"

namespace qanat::domain {

void Domain::on_ack(MemberId member, const proto::v1::ConfigAck& ack, Now now) {
  Rollout& rollout = rollouts_[member];
  if (rollout.inflight.version() == 0 || ack.epoch() != epoch_ || ack.version() != rollout.inflight.version())
    return;
  if (!ack.applied()) {
    const std::string why = ack.error().substr(0, 500);
    base::log_warn("node {} ({}) refused version {}: {}", member, name_of(member), ack.version(), why);
    emit({"config_refused", {{"name", name_of(member)}, {"error", why}}});
    if (canary_ && canary_->chosen().contains(member)) canary_->on_refused(name_of(member), why);
    rollout.held.Clear();  // a full snapshot next, but not at once: it may be refused again
    rollout.inflight.Clear();
    rollout.not_before = now.mono + kRefusedPause;
    rollout.dirty = true;
    return;
  }
  rollout.held = std::move(rollout.inflight);
  rollout.inflight.Clear();
  note_acknowledged(member, ack.version());
  note_bindings(member);
  emit({"config_acked", {{"name", name_of(member)}, {"version", std::to_string(ack.version())}}});
  // Lists wait for relays alone.
  const auto self = membership_.current().find(member);
  if (self != membership_.current().end() && self->second.record.relay())
    for (auto& [id, other] : rollouts_) other.dirty |= other.waiting;
  push_soon(now);
}

// On disk with the timer's next turn, all of them at once: an acknowledgement that is lost in between is asked for by the
// box's next Hello.
void Domain::note_acknowledged(MemberId member, std::uint64_t version) {
  acknowledged_.emplace_back(member, version);
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
    learn_from(rollout, *config);
    if (warming_up_) {  // a new leader changes nothing by itself
      Selections theirs;
      adopt(*config, theirs);
      adopt(*config, spreads_);
      keep_own_spreads();
      adopt(*config, tier_ways_);
      limited_.adopt(*config);
      probe_budget_.adopt(member, config->probe_plan().active_interval_ms());
      load_.reset();
      for (auto& [pair, choices] : theirs)
        if (membership_.current().contains(pair.second)) selections_.try_emplace(pair, std::move(choices));
    }
    rollout.held = std::move(*config);
    revoke_again(member, now);
  }
  push_soon(now);
}

// What is written down before anybody is told is ahead of every node, unless it was restored from a backup: then nothing
// that was said since may be said again, of another configuration or of another node.
void Domain::learn_from(Rollout& rollout, const proto::v1::NodeConfig& held) {
  bool news = false;
  for (const auto& record : held.nodes()) news |= membership_.given_out(record.node_id());
  for (const auto id : held.denied_headends()) news |= membership_.given_out(id);
  if (std::pair(held.epoch(), held.version()) > std::pair(epoch_, rollout.sent_before)) {
    const std::uint64_t next = std::max(epoch_, held.epoch()) + 1;
    base::log_warn("node {} holds {}.{}: this state is older than it; epoch {} begins", held.node_id(),
                   held.epoch(), held.version(), next);
    store_.set_value("epoch", std::to_string(next));
    epoch_ = next;
    for (auto& [id, other] : rollouts_) other.inflight.Clear();
    news = true;
  }
  if (news) all_dirty();
}

// Who was revoked after the backup was made stays so: what we signed denies it.
void Domain::revoke_again(MemberId told_by, Now now) {
  std::vector<std::string> names;
  for (const std::uint32_t id : rollouts_.at(told_by).held.denied_headends())
    if (const auto at = membership_.current().find(id); at != membership_.current().end() && id != told_by)
      names.push_back(at->second.record.name());
  for (const std::string& name : names) revoke(name, now);
}

// Until every node is back and has told what it holds.
bool Domain::gathering(Now now) {
  const auto told = [](const auto& r) { return r.second.connected && !r.second.asked; };
  gathering_ =
      gathering_ && now.mono - started_ < kGather && !std::all_of(rollouts_.begin(), rollouts_.end(), told);
  return gathering_;
}

void Domain::all_dirty() {
  for (auto& [id, rollout] : rollouts_) rollout.dirty = true;
}

World Domain::world() const {
  World w;
  for (const auto& [id, member] : membership_.current()) w.nodes[id] = &member.record;
  w.own_names = own_names();
  w.nodes.insert(remote_.begin(), remote_.end());
  w.selections = &selections_;
  w.tier_ways = &tier_ways_;
  w.limited = &limited_;
  w.spreads = &spreads_;
  w.probe_budget = &probe_budget_;
  w.relay_keys = &relay_keys_;
  w.measured_relays = &measured_relays_;
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
  const auto due = [&](MemberId id, const Rollout& r) {
    if (!r.connected || !r.dirty) return false;
    if (pace == Pace::AtOnce) return true;
    if (held_back(id, r)) return false;
    return r.inflight.version() == 0 && now.mono >= r.not_before && (r.hurry || now.mono >= r.paced_until);
  };
  if (gathering(now)) return;
  if (everything_) settle_limits();  // nobody hears of a tenant before it hears of its limits
  if (std::none_of(rollouts_.begin(), rollouts_.end(), [&](const auto& r) { return due(r.first, r.second); }))
    return;
  const base::Time began = stopwatch();
  const World everything = world();
  const ConfigCompiler compiler(everything, now.unix_s);
  std::vector<store::Pushed> rows;
  std::vector<std::pair<MemberId, proto::v1::Envelope>> out;
  for (auto& [id, rollout] : rollouts_) {
    if (!due(id, rollout)) continue;
    // What is on its way arrives first.
    const proto::v1::NodeConfig& before = rollout.inflight.version() != 0 ? rollout.inflight : rollout.held;
    Compiled compiled;
    if (held_back(id, rollout)) {  // it is told who is revoked, and nothing else
      compiled.config = before;
      compiled.config.mutable_denied_headends()->Assign(everything.denied.begin(), everything.denied.end());
      proto::canonicalise(compiled.config);
    } else {
      compiled = compiler.compile(id);
      rollout.dirty = rollout.hurry = false;
    }
    rollout.waiting = compiled.waiting;
    proto::v1::NodeConfig& next = compiled.config;
    next.set_epoch(epoch_);
    next.set_version(rollout.version + 1);
    proto::v1::Envelope envelope;
    proto::v1::ConfigDelta& delta = *envelope.mutable_delta();
    delta = proto::unsigned_delta(before, next);
    if (!proto::changes_something(delta)) continue;
    ++rollout.version;
    rows.push_back({id, rollout.version, proto::sign_delta(delta, next, authority_.config_key()), false});
    rollout.inflight = std::move(next);
    rollout.sent = now.mono;
    if (membership_.current().size() > kEveryPairUpTo) rollout.paced_until = now.mono + kLargeGap;
    out.emplace_back(id, std::move(envelope));
  }
  store_.set_pushed(rows);  // on disk before anybody is told
  for (const auto& [id, envelope] : out) members_.send(id, envelope);
  push_seconds_ = seconds_since(began);
}

// Who holds nothing yet, or is not known to, is told what is in force.
bool Domain::held_back(MemberId member, const Rollout& rollout) const {
  return canary_ && canary_->holds_back(member) && rollout.held.version() != 0;
}

// After what comes from many members one after the other: in a large domain the timer's next turn does for all of them.
void Domain::push_soon(Now now) {
  if (membership_.current().size() <= kEveryPairUpTo) push(now);
}

}  // namespace qanat::domain
