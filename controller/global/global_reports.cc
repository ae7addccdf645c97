// Global, what domains report: nodes that are theirs and fit in, edges between any.
#include <algorithm>
#include <set>

#include "base/log.hh"
#include "controller/global/global.hh"
#include "controller/policy/tenant_check.hh"
#include "identifiers/proto/config_state.hh"

namespace qanat::global {

using session::Membership;

// A domain speaks for its own nodes alone: their numbers are its, their keys bound by its CA.
bool Global::sound(MemberId domain, const proto::v1::NodeRecord& record) const {
  const auto member = membership_.current().find(domain);
  if (member == membership_.current().end() || record.domain_id() != domain ||
      Membership::domain_of(record.node_id()) != domain || record.x25519_public().size() != 32 ||
      !policy::problems_of(record).empty()) {
    return false;
  }
  return bound_by(member->second.ca_public, proto::binding_signing_input(record), record.binding_signature());
}

void Global::on_report(MemberId domain, const proto::v1::DomainReport& report, Now now) {
  DomainState& state = domains_[domain];
  if (report.has_trust()) adopt_cas(domain, report.trust());
  state.psk_held = report.psk_held();
  domain::Drained drained;
  for (const std::uint32_t relay : report.drained_relays())
    if (Membership::domain_of(relay) == domain) drained[relay] = policy::DrainMode::Hard;
  for (const std::uint32_t relay : report.resting_relays())
    if (const auto at = drained.find(relay); at != drained.end()) at->second = policy::DrainMode::Soft;
  if (std::exchange(state.drained, drained) != drained) everything_ = true;
  std::map<std::uint32_t, proto::v1::NodeRecord> nodes;
  bool changed = false;
  std::size_t room = room_for_more(), over = 0;
  for (const auto& record : report.nodes()) {
    const auto known = state.nodes.find(record.node_id());
    if (known == state.nodes.end() && room == 0) {
      ++over;
      continue;
    }
    const bool same =
        known != state.nodes.end() && known->second.SerializeAsString() == record.SerializeAsString();
    if (!same && !sound(domain, record)) {
      base::log_warn("domain {}: node {} ({}) is not sound, left out", domain, record.node_id(),
                     record.name().substr(0, 64));
      continue;
    }
    changed |= !same;
    if (known == state.nodes.end() && !nodes.contains(record.node_id())) --room;
    nodes[record.node_id()] = record;
  }
  tell_over_bound(domain, over);
  changed |= nodes.size() != state.nodes.size();
  std::vector<std::uint32_t> denied = state.denied;
  for (const std::uint32_t id : report.denied_headends()) {
    if (Membership::domain_of(id) == domain) denied.push_back(id);
  }
  std::sort(denied.begin(), denied.end());
  denied.erase(std::unique(denied.begin(), denied.end()), denied.end());
  changed |= denied != state.denied;
  if (changed) {
    for (const auto& [id, record] : state.nodes) {
      if (nodes.contains(id)) continue;
      matrix_.forget(ids::NodeId{id});
      for (const auto& before : links_.forget(ids::NodeId{id})) history_.note(before, now.mono);
    }
    state.nodes = std::move(nodes);
    state.denied = std::move(denied);
    proto::v1::DomainReport kept;
    for (const auto& [id, record] : state.nodes) *kept.add_nodes() = record;
    kept.mutable_denied_headends()->Add(state.denied.begin(), state.denied.end());
    store_.set_reported(domain, kept.SerializeAsString());
    name_nodes();
    everything_ = true;
  }
  for (const auto& edge : report.edges()) {
    if (!state.nodes.contains(edge.from()) || !names_.contains(edge.to()) || edge.from() == edge.to() ||
        edge.from_plane() == 0 || edge.from_plane() > ids::PlaneId::kMax || edge.to_plane() == 0 ||
        edge.to_plane() > ids::PlaneId::kMax) {
      continue;
    }
    const telemetry::LinkKey key{ids::NodeId{edge.from()}, ids::NodeId{edge.to()},
                                 ids::PlaneId{static_cast<std::uint8_t>(edge.from_plane())},
                                 ids::PlaneId{static_cast<std::uint8_t>(edge.to_plane())}};
    telemetry::Matrix::Merged merged{.rtt_us = edge.rtt_us(),
                                     .alive = edge.alive(),
                                     .there = {edge.loss_ppm(), edge.jitter_us(), edge.reordered_ppm()},
                                     .back = std::nullopt};
    if (edge.has_back())
      merged.back = {edge.back().loss_ppm(), edge.back().jitter_us(), edge.back().reordered_ppm()};
    matrix_.on_merged(key, merged, now.mono);
    measured(key, now.mono);
  }
  if (report.has_traffic()) on_traffic(domain, report.traffic(), now);
}

std::size_t Global::room_for_more() const {
  std::size_t held = 0;
  for (const auto& [id, state] : domains_) held += state.nodes.size();
  return most_nodes_ - std::min(held, most_nodes_);
}

void Global::tell_over_bound(MemberId domain, std::size_t over) {
  if (std::exchange(domains_[domain].over_bound, over) == over || over == 0) return;
  base::log_error(
      "domain {}: nodes left out: {}; a global controller has at most {}, all domains' together: no paths to "
      "other "
      "domains for these until others leave",
      domain, over, most_nodes_);
  emit({"nodes_over_bound",
        {{"domain", std::to_string(domain)},
         {"left_out", std::to_string(over)},
         {"bound", std::to_string(most_nodes_)}}});
}

void Global::measured(const telemetry::LinkKey& key, base::Time now) {
  for (const auto& way : {key, key.reversed()}) {
    const auto link = matrix_.link(way, now);
    // Relays come on trial and go: of a large network only what lists may go by is remembered.
    if (const auto before = link ? links_.update(*link) : links_.erase(way);
        before && (!borders_.selects() || matters(way)))
      history_.note(*before, now);
  }
}

}  // namespace qanat::global
