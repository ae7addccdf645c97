// Global, keys anew: the domains' certificates and CAs, its own CA, and the network key of all domains.
#include <algorithm>

#include "base/certificate.hh"
#include "base/hex.hh"
#include "base/log.hh"
#include "controller/global/global.hh"
#include "controller/session/join_token.hh"
#include "identifiers/proto/config_state.hh"

namespace qanat::global {

bool bound_by(std::string_view keys, std::string_view message, std::string_view signature) {
  for (proto::Ed25519Public key{}; keys.size() >= key.size(); keys.remove_prefix(key.size())) {
    std::copy_n(keys.begin(), key.size(), key.begin());
    if (proto::verify(message, signature, key)) return true;
  }
  return false;
}

// A domain's CAs follow one another: each set is vouched for by a key of the one before.
void Global::adopt_cas(MemberId domain, const proto::v1::Trust& trust) {
  const auto member = membership_.current().find(domain);
  if (member == membership_.current().end()) return;
  const auto cas = base::read_certificates(trust.ca_pem());
  std::string keys;
  if (cas)
    for (const base::Certificate& ca : *cas) keys.append(ca.key.begin(), ca.key.end());
  if (keys == member->second.ca_public) return;
  if (keys.empty() ||
      !bound_by(member->second.ca_public, proto::trust_signing_input(trust), trust.signature())) {
    return base::log_warn("domain {}: its new CAs are not vouched for, left out", domain);
  }
  base::log_info("domain {}: {} CA(s) in force, serial {}", domain, cas->size(), trust.serial());
  membership_.set_ca_public(domain, std::move(keys));
}

void Global::on_renew(MemberId member, const proto::v1::RenewRequest& request, Now now) {
  bool rebound = false;
  proto::v1::Envelope envelope;
  *envelope.mutable_renewed() = membership_.renew(member, request, now, rebound);
  members_.send(member, envelope);
}

void Global::run_rotations(Now now) {
  if (ca_rotation_.on_timer(now)) emit({"ca_rotation", {{"phase", ca_rotation_.status().phase}}});
  if (next_psk_.empty()) return;
  const auto status = network_key_status();
  if (status.done != status.members) return;
  store_.set_values({{"network_psk", next_psk_}, {"network_psk_next", {}}});
  psk_ = std::exchange(next_psk_, {});
  base::log_info("network key: the new one is in use");
  emit({"network_key_rotated", {}});
  all_dirty();
}

session::RotationStatus Global::ca_status() const { return ca_rotation_.status(); }

std::vector<std::string> Global::rotate_ca(Now now) {
  auto problems = ca_rotation_.begin(now);
  if (problems.empty()) emit({"ca_rotation", {{"phase", "announced"}}});
  return problems;
}

std::vector<std::string> Global::advance_ca(Now now) {
  if (!ca_rotation_.advance(now)) return {"no CA rotation is under way"};
  emit({"ca_rotation", {{"phase", ca_rotation_.status().phase}}});
  return {};
}

session::RotationStatus Global::network_key_status() const {
  session::RotationStatus out;
  out.phase = next_psk_.empty() ? "stable" : "announced";
  const std::string wanted = session::hash_of(next_psk_.empty() ? psk_ : next_psk_);
  for (const auto& [id, member] : membership_.current()) {
    ++out.members;
    const auto at = domains_.find(id);
    if (at != domains_.end() && at->second.psk_held == wanted) {
      ++out.done;
    } else {
      out.waiting_for.push_back("domain " + member.record.name());
    }
  }
  return out;
}

std::vector<std::string> Global::rotate_network_key(Now) {
  if (!next_psk_.empty()) return {"a rotation of the network key is under way"};
  const auto fresh = base::random_bytes(32);
  next_psk_.assign(fresh.begin(), fresh.end());
  store_.set_value("network_psk_next", next_psk_);
  base::log_info("network key: a new one is announced");
  all_dirty();
  return {};
}

std::optional<std::vector<std::string>> Global::rotate_member(const std::string& name) {
  if (membership_.find(name) != nullptr)
    return std::vector<std::string>{"'" + name + "' is a domain: it has no static key"};
  if (!node_by_name_.contains(name)) return std::nullopt;
  return std::vector<std::string>{"node '" + name + "' is a domain's: ask its domain controller"};
}

}  // namespace qanat::global
