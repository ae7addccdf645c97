// Domain, upwards: what the global level is told and what it may change here.
#include <algorithm>
#include <set>

#include "base/log.hh"
#include "controller/domain/domain.hh"
#include "controller/policy/tenant_check.hh"
#include "controller/policy/token_schedule.hh"
#include "controller/session/join_token.hh"

namespace qanat::domain {

proto::v1::Hello Domain::parent_hello() const {
  proto::v1::Hello hello;
  hello.set_epoch(directive_.epoch());
  hello.set_version(directive_.version());
  return hello;
}

void Domain::on_parent(bool connected) {
  has_parent_ = true;
  if (connected == parent_up_) return;
  parent_up_ = connected;
  full_report_ = {};
  base::log_info("global controller {}", connected ? "connected" : "lost; the domain keeps what it has");
  emit({connected ? "parent_connected" : "parent_lost", {}});
}

std::optional<proto::v1::Envelope> Domain::on_parent_envelope(const proto::v1::Envelope& envelope, Now now) {
  if (envelope.has_mint()) return mint(envelope.mint(), now);
  if (envelope.has_foreign_traffic()) on_foreign(envelope.foreign_traffic(), now);
  if (!envelope.has_domain_directive()) return std::nullopt;
  const auto& directive = envelope.domain_directive();
  proto::v1::Envelope reply;
  auto& ack = *reply.mutable_ack();
  ack.set_epoch(directive.epoch());
  ack.set_version(directive.version());
  std::string why;
  const int denied = directive_.denied_headends_size();
  ack.set_applied(adopt_directive(directive, why));
  ack.set_error(why);
  if (!ack.applied()) {
    base::log_warn("directive {} of the global controller refused: {}", directive.version(), why);
  } else {
    push(now, directive_.denied_headends_size() > denied ? Pace::AtOnce : Pace::OneAtATime);
  }
  return reply;
}

bool Domain::adopt_directive(const proto::v1::DomainDirective& directive, std::string& why) {
  if (std::pair(directive.epoch(), directive.version()) <
      std::pair(directive_.epoch(), directive_.version())) {
    why = "older than the one held";
    return false;
  }
  if (!directive.network_psk().empty() && directive.network_psk().size() != 32) {
    why = "the network PSK is not 32 bytes";
    return false;
  }
  if (!directive.network_psk_next().empty() && directive.network_psk_next().size() != 32) {
    why = "the next network PSK is not 32 bytes";
    return false;
  }
  // A node refuses a whole configuration for one bad row, so bad rows end here.
  std::set<std::uint32_t> ids;
  std::set<std::string> names;
  for (const auto& [id, member] : membership_.current()) names.insert(member.record.name());
  for (const auto& record : directive.remote_nodes()) {
    const auto problems = policy::problems_of(record);
    const bool foreign = record.domain_id() != config_.domain && record.domain_id() != 0 &&
                         session::Membership::domain_of(record.node_id()) == record.domain_id();
    if (!problems.empty() || !foreign || record.x25519_public().size() != 32 ||
        !ids.insert(record.node_id()).second || !names.insert(record.name()).second) {
      why = "node " + std::to_string(record.node_id()) + " (" + record.name() + ") is not sound";
      return false;
    }
  }
  for (const auto& tenant : directive.tenants()) {
    if (const auto problems = policy::problems_of(tenant); !problems.empty()) {
      why = "tenant " + tenant.name() + ": " + problems.front();
      return false;
    }
  }
  // Revocations are never taken back.
  proto::v1::DomainDirective next = directive;
  next.mutable_denied_headends()->MergeFrom(directive_.denied_headends());
  std::sort(next.mutable_denied_headends()->begin(), next.mutable_denied_headends()->end());
  auto& denied = *next.mutable_denied_headends();
  denied.erase(std::unique(denied.begin(), denied.end()), denied.end());
  store_.set_value("directive", next.SerializeAsString());
  remote_.clear();
  const proto::v1::DomainDirective before = std::exchange(directive_, std::move(next));
  index_directive();
  dirty_what_differs(before);
  return true;
}

// Only headends whose lists changed are compiled anew, unless what changed is everybody's.
void Domain::dirty_what_differs(const proto::v1::DomainDirective& before) {
  if (!std::ranges::equal(before.measured_relays(), directive_.measured_relays())) all_dirty();
  const auto without_lists = [](proto::v1::DomainDirective directive) {
    directive.clear_headends();
    directive.clear_measured_relays();
    directive.clear_epoch();
    directive.clear_version();
    return directive.SerializeAsString();
  };
  if (without_lists(before) != without_lists(directive_)) {
    everything_ = true;
    return all_dirty();
  }
  std::map<std::uint32_t, std::string> lists;
  for (const auto& headend : before.headends()) lists[headend.headend()] = headend.SerializeAsString();
  const auto dirty = [this](std::uint32_t headend) {
    if (const auto at = rollouts_.find(headend); at != rollouts_.end()) at->second.dirty = true;
  };
  for (const auto& headend : directive_.headends()) {
    const auto old = lists.find(headend.headend());
    if (old == lists.end() || old->second != headend.SerializeAsString()) dirty(headend.headend());
    if (old != lists.end()) lists.erase(old);
  }
  for (const auto& [headend, gone] : lists) dirty(headend);
}

void Domain::index_directive() {
  remote_.clear();
  for (const auto& record : directive_.remote_nodes()) remote_[record.node_id()] = &record;
  measured_relays_ = {directive_.measured_relays().begin(), directive_.measured_relays().end()};
}

proto::v1::Envelope Domain::mint(const proto::v1::MintRequest& request, Now now) const {
  proto::v1::Envelope envelope;
  auto& reply = *envelope.mutable_minted();
  reply.set_request(request.request());
  const auto refuse = [&](const char* code, std::string message, bool retryable) {
    reply.mutable_refusal()->set_code(code);
    reply.mutable_refusal()->set_message(std::move(message));
    reply.mutable_refusal()->set_retryable(retryable);
    return envelope;
  };
  const auto relay = membership_.current().find(request.relay());
  if (relay == membership_.current().end() || !relay->second.record.relay()) {
    return refuse("not_our_relay", "node " + std::to_string(request.relay()) + " is no relay of this domain",
                  false);
  }
  const std::vector<std::uint32_t> segments(request.segments().begin(), request.segments().end());
  const auto at = std::find_if(segments.begin(), segments.end(), [&](std::uint32_t sid) {
    return ids::Sid{sid}.node().value == request.relay();
  });
  if (segments.size() < 2 || segments.size() > 8 || at >= segments.end() - 1 ||
      request.tier() >= ids::kTierCount) {
    return refuse("bad_list", "the relay does not carry this list", false);
  }
  const auto is_denied = [&](const auto& denied) {
    return std::find(denied.begin(), denied.end(), request.headend()) != denied.end();
  };
  if (is_denied(membership_.denied()) || is_denied(directive_.denied_headends())) {
    return refuse("denied", "this headend is revoked", false);
  }
  const std::uint64_t week = policy::week_of(now.unix_s);
  const auto key = relay_keys_.find({request.relay(), week});
  if (request.token_epoch() != policy::token_epoch_of(week) || key == relay_keys_.end() ||
      request.expires_unix_s() > now.unix_s + policy::kTokenLife) {
    return refuse("bad_epoch", "not this week's token epoch, or too long a life", true);
  }
  const std::uint32_t previous =
      at == segments.begin() ? request.headend() : ids::Sid{*(at - 1)}.node().value;
  const std::uint32_t next = ids::Sid{*(at + 1)}.node().value;
  const auto holds = rollouts_.find(request.relay());
  if (holds == rollouts_.end() ||
      !relay_ready(holds->second.held, previous, next, policy::token_epoch_of(week))) {
    return refuse("relay_not_ready", "the relay has not acknowledged what it needs to carry this list", true);
  }
  const policy::TokenRequest token{.relay = ids::NodeId{request.relay()},
                                   .headend = ids::NodeId{request.headend()},
                                   .tier = static_cast<ids::Tier>(request.tier()),
                                   .expires_unix_s = static_cast<std::uint32_t>(request.expires_unix_s()),
                                   .epoch = policy::token_epoch_of(week),
                                   .segments = segments};
  reply.set_token(policy::mint(key->second, token));
  reply.set_token_epoch(token.epoch);
  return envelope;
}

// Where the global level says which relays all boxes are to measure, it has no use for others inside a domain.
bool Domain::for_parent(const telemetry::LinkKey& key) const {
  return measured_relays_.empty() || measured_relays_.contains(key.from.value) ||
         measured_relays_.contains(key.to.value) || !membership_.current().contains(key.to.value);
}

proto::v1::DomainReport Domain::report(Now now) {
  proto::v1::DomainReport report;
  report.set_sequence(++report_sequence_);
  for (const auto& [id, member] : membership_.current()) *report.add_nodes() = member.record;
  const auto add = [&](const telemetry::Link& link) {
    if (link.state == telemetry::LinkState::Unknown || !membership_.current().contains(link.key.from.value) ||
        !for_parent(link.key))
      return;
    auto& edge = *report.add_edges();
    edge.set_from(link.key.from.value);
    edge.set_to(link.key.to.value);
    edge.set_from_plane(link.key.from_plane.value);
    edge.set_to_plane(link.key.to_plane.value);
    edge.set_rtt_us(link.rtt_us);
    edge.set_loss_ppm(link.loss_ppm);
    edge.set_alive(link.state == telemetry::LinkState::Usable);
    edge.set_jitter_us(link.jitter_us);
    edge.set_reordered_ppm(link.reordered_ppm);
    if (const auto back = matrix_.link(link.key.reversed(), now.mono)) {
      edge.mutable_back()->set_loss_ppm(back->loss_ppm);
      edge.mutable_back()->set_jitter_us(back->jitter_us);
      edge.mutable_back()->set_reordered_ppm(back->reordered_ppm);
    }
  };
  if (now.mono >= full_report_) {
    full_report_ = now.mono + kFullReport;
    for (const auto& link : matrix_.links(now.mono)) add(link);
  } else {
    for (const auto& key : unreported_)
      if (const auto link = matrix_.link(key, now.mono)) add(*link);
  }
  unreported_.clear();
  if (authority_.serial() != 0) *report.mutable_trust() = authority_.trust();
  const auto& key = next_network_key().empty() ? network_key() : next_network_key();
  if (std::all_of(rollouts_.begin(), rollouts_.end(), [&](const auto& r) {
        return r.second.held.network_psk() == key || holds_next_key(r.second);
      }))
    report.set_psk_held(session::hash_of(key));
  const auto& drained = steering_.all_drained();
  report.mutable_drained_relays()->Add(drained.begin(), drained.end());
  for (const std::uint32_t relay : drained)
    if (steering_.drained_softly(relay)) report.add_resting_relays(relay);
  report.mutable_denied_headends()->Add(membership_.denied().begin(), membership_.denied().end());
  tell_traffic(report, now);
  return report;
}

}  // namespace qanat::domain
