// Domain, keys anew: certificates and static keys on request, the CA and the network key when an operator says so.
#include <algorithm>

#include "base/log.hh"
#include "controller/domain/domain.hh"
#include "controller/policy/token_schedule.hh"

namespace qanat::domain {

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

void Domain::on_renew(MemberId member, const proto::v1::RenewRequest& request, Now now) {
  bool rebound = false;
  proto::v1::Envelope envelope;
  *envelope.mutable_renewed() = membership_.renew(member, request, now, rebound);
  if (envelope.renewed().has_refusal()) {
    base::log_warn("node {} ({}) gets no certificate: {}", member, name_of(member),
                   envelope.renewed().refusal().message());
  } else {
    base::log_info("node {} ({}) has a new certificate{}", member, name_of(member),
                   rebound ? " and a new static key" : "");
  }
  members_.send(member, envelope);
  if (!rebound) return;
  emit({"node_key_rotated", {{"name", name_of(member)}}});
  all_dirty();
  push(now);
}

// Whether what a node holds is bound by the CA that signs now; once true, it stays so for this serial.
void Domain::note_bindings(MemberId member) {
  if (authority_.phase() != session::Authority::Phase::Switched) return;
  Rollout& rollout = rollouts_[member];
  if (rollout.bound == authority_.serial() || rollout.held.version() == 0) return;
  const auto& current = membership_.current();
  const bool all =
      std::all_of(rollout.held.nodes().begin(), rollout.held.nodes().end(), [&](const auto& record) {
        const auto at = current.find(record.node_id());
        if (at == current.end()) return record.domain_id() != config_.domain;
        // A static key that was rotated since is on its way, bound by the same CA.
        return record.binding_signature() == at->second.record.binding_signature() ||
               record.x25519_public() != at->second.record.x25519_public();
      });
  if (all) rollout.bound = authority_.serial();
}

void Domain::run_rotations(Now now) {
  if (ca_rotation_.on_timer(now)) {
    emit({"ca_rotation", {{"phase", ca_rotation_.status().phase}}});
    everything_ = true;
    all_dirty();
  }
  // Everybody believes the next network key: now it is the one to answer with.
  if (next_psk_.empty() || !directive_.network_psk().empty()) return;
  const auto status = network_key_status();
  if (status.done != status.members) return;
  store_.set_values({{"network_psk", next_psk_}, {"network_psk_next", {}}});
  psk_ = std::exchange(next_psk_, {});
  base::log_info("network key: the new one is in use");
  emit({"network_key_rotated", {}});
  all_dirty();
}

const std::string& Domain::network_key() const {
  return directive_.network_psk().empty() ? psk_ : directive_.network_psk();
}

const std::string& Domain::next_network_key() const {
  return directive_.network_psk().empty() ? next_psk_ : directive_.network_psk_next();
}

bool Domain::holds_next_key(const Rollout& rollout) const {
  return rollout.held.version() != 0 && rollout.held.network_psk_next() == next_network_key();
}

session::RotationStatus Domain::ca_status() const { return ca_rotation_.status(); }

std::vector<std::string> Domain::rotate_ca(Now now) {
  auto problems = ca_rotation_.begin(now);
  if (problems.empty()) emit({"ca_rotation", {{"phase", "announced"}}});
  return problems;
}

std::vector<std::string> Domain::advance_ca(Now now) {
  if (!ca_rotation_.advance(now)) return {"no CA rotation is under way"};
  emit({"ca_rotation", {{"phase", ca_rotation_.status().phase}}});
  everything_ = true;
  all_dirty();
  push(now);
  return {};
}

session::RotationStatus Domain::network_key_status() const {
  session::RotationStatus out;
  out.phase = next_network_key().empty() ? "stable" : "announced";
  for (const auto& [id, rollout] : rollouts_) {
    ++out.members;
    if (next_network_key().empty() ? rollout.held.network_psk() == network_key() : holds_next_key(rollout)) {
      ++out.done;
    } else {
      out.waiting_for.push_back(name_of(id) + (rollout.connected ? "" : " (away)"));
    }
  }
  return out;
}

std::vector<std::string> Domain::rotate_network_key(Now now) {
  if (!directive_.network_psk().empty())
    return {"the network key is the global controller's: rotate it there"};
  if (!next_psk_.empty()) return {"a rotation of the network key is under way"};
  std::array<std::uint8_t, 32> fresh{};
  config_.random(fresh);
  next_psk_.assign(fresh.begin(), fresh.end());
  store_.set_value("network_psk_next", next_psk_);
  base::log_info("network key: a new one is announced");
  all_dirty();
  push(now);
  return {};
}

std::optional<std::vector<std::string>> Domain::rotate_member(const std::string& name) {
  const store::Member* member = membership_.find(name);
  if (member == nullptr) return std::nullopt;
  const auto at = rollouts_.find(member->id);
  if (at == rollouts_.end() || !at->second.connected)
    return std::vector<std::string>{"node '" + name +
                                    "' is not connected: it makes its own keys, so it has to be"};
  proto::v1::Envelope envelope;
  envelope.set_rotate_key(true);
  members_.send(member->id, envelope);
  base::log_info("node {} ({}) was asked for a new static key", member->id, name);
  return std::vector<std::string>{};
}

}  // namespace qanat::domain
