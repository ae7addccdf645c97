// Global, southbound: domains come and go, reports in, directives and mint requests out.
#include "controller/global/global.hh"

#include <algorithm>
#include <array>
#include <set>

#include "base/hex.hh"
#include "base/log.hh"
#include "controller/policy/token_schedule.hh"

namespace qanat::global {

using session::Membership;

Global::Global(std::string name, store::Store& store, session::Authority& authority,
               session::Members& members, Now now, session::RandomSource random,
               domain::PlanRun::Options planning, std::size_t most_nodes)
    : name_(std::move(name)),
      most_nodes_(most_nodes),
      store_(store),
      members_(members),
      membership_(store, authority, Membership::Kind::Domains, 0),
      ca_rotation_(authority, membership_, members, [](MemberId) { return true; }),
      history_(now.mono),
      plans_(planning),
      stopwatch_(planning.stopwatch),
      quiet_until_(now.mono) {
  load(now, random);
}

Global::~Global() = default;

void Global::load(Now now, const session::RandomSource& random) {
  if (const auto kept = store_.value("epoch")) {
    epoch_ = std::stoull(*kept);
  } else {
    epoch_ = now.unix_s;
    store_.set_value("epoch", std::to_string(epoch_));
  }
  if (const auto kept = store_.value("network_psk")) {
    psk_ = *kept;
  } else {
    std::array<std::uint8_t, 32> fresh{};
    random(fresh);
    psk_.assign(fresh.begin(), fresh.end());
    store_.set_value("network_psk", psk_);
  }
  next_psk_ = store_.value("network_psk_next").value_or("");
  tenants_ = store_.tenants();
  if (const auto kept = store_.value(domain::kReservesKept)) reserves_.load(*kept);
  for (const auto& [id, member] : membership_.current()) domains_[id];
  for (const auto& [id, bytes] : store_.reported()) {
    proto::v1::DomainReport report;
    const auto at = domains_.find(id);
    if (!report.ParseFromString(bytes)) continue;
    DomainState& state = domains_[id];  // a revoked domain's nodes stay denied
    state.denied.assign(report.denied_headends().begin(), report.denied_headends().end());
    if (at == domains_.end()) continue;
    for (const auto& record : report.nodes())
      if (room_for_more() > 0) state.nodes[record.node_id()] = record;
  }
  const auto pushed = store_.pushed();
  if (!pushed.empty()) quiet_until_ = now.mono + kWarmUp;
  for (const store::Pushed& row : pushed) {
    const auto at = domains_.find(row.id);
    if (at == domains_.end() || !at->second.sent.ParseFromString(row.content)) continue;
    at->second.version = row.version;
    for (const std::uint32_t relay : at->second.sent.measured_relays()) borders_.adopt_measured(relay);
    for (const auto& headend : at->second.sent.headends()) {
      proto::v1::NodeConfig config;
      config.set_node_id(headend.headend());
      *config.mutable_policies() = headend.policies();
      domain::adopt(config, selections_);
      domain::adopt(config, spreads_);
      limited_.adopt(config);
    }
  }
  for (const auto& [pair, choices] : selections_)
    for (const paths::Choice& choice : choices)
      for (const ids::NodeId relay : choice.route.relay_list()) borders_.adopt(relay.value);
  name_nodes();
}

proto::v1::Envelope Global::enrol(const proto::v1::EnrolRequest& request, Now now) {
  MemberId joined = 0, replaced = 0;
  auto reply = membership_.enrol(request, now, joined, replaced);
  if (joined == 0) return reply;
  if (replaced != 0) members_.close(replaced, "revoked", "this domain has enrolled anew", false);
  domains_[joined];
  base::log_info("domain {} enrolled as {}", joined, request.name());
  emit({"domain_enrolled", {{"name", request.name()}, {"domain", std::to_string(joined)}}});
  return reply;
}

std::optional<proto::v1::Refusal> Global::admit(MemberId member, const session::Leaf& leaf,
                                                const proto::v1::Hello& hello) {
  if (membership_.take_over(member, leaf)) {
    base::log_warn("domain {} has a certificate of ours that is newer than this state: it is taken over",
                   member);
    emit({"certificate_taken_over", {{"name", leaf.name}}});
  }
  return membership_.admit(member, leaf, hello);
}

void Global::on_open(MemberId member, const proto::v1::Hello& hello, Now) {
  DomainState& state = domains_[member];
  state.connected = true;
  state.tells_traffic = state.told_foreign = false;
  state.awaiting = false;
  state.not_before = {};
  if (hello.epoch() > epoch_) begin_epoch_after(hello.epoch(), member);
  if (hello.epoch() == epoch_ && hello.version() < session::kEndOfVersions)
    state.version = std::max(state.version, hello.version());
  if (hello.epoch() != epoch_ || hello.version() != state.sent.version()) state.sent.Clear();  // send it anew
  state.dirty = true;
  // So that the domain hears us at once and knows that the session stands.
  proto::v1::Envelope ping;
  ping.set_ping(1);
  members_.send(member, ping);
  ca_rotation_.on_open(member, hello);
  base::log_info("domain {} connected, holds version {}", member, hello.version());
  emit({"domain_connected", {{"domain", std::to_string(member)}}});
}

// A domain takes nothing below what it holds, so this state, which is older, has to go beyond that.
void Global::begin_epoch_after(std::uint64_t held, MemberId domain) {
  if (held - epoch_ >= session::kEndOfVersions) {
    base::log_warn("domain {} says that it holds epoch {}, which nobody gave out: passed over", domain, held);
    return;
  }
  epoch_ = held + 1;
  store_.set_value("epoch", std::to_string(epoch_));
  base::log_warn("domain {} holds epoch {}: this state is older than it; epoch {} begins", domain, held,
                 epoch_);
  for (auto& [id, state] : domains_) state.awaiting = false;  // answers to earlier epochs count no more
  all_dirty();
}

bool Global::on_envelope(MemberId member, const proto::v1::Envelope& envelope, Now now) {
  switch (envelope.body_case()) {
    case proto::v1::Envelope::kDomainReport: on_report(member, envelope.domain_report(), now); return true;
    case proto::v1::Envelope::kTrustAck: ca_rotation_.on_ack(member, envelope.trust_ack()); return true;
    case proto::v1::Envelope::kRenew: on_renew(member, envelope.renew(), now); return true;
    case proto::v1::Envelope::kMinted: on_minted(member, envelope.minted()); return true;
    case proto::v1::Envelope::kAck: {
      DomainState& state = domains_[member];
      const auto& ack = envelope.ack();
      if (!state.awaiting || ack.epoch() != epoch_ || ack.version() != state.version) return true;
      state.awaiting = state.respread = false;
      if (ack.applied()) {
        state.acknowledged = ack.version();
        store_.set_acknowledged({{member, ack.version()}});
      } else {
        base::log_warn("domain {} refused directive {}: {}", member, ack.version(),
                       ack.error().substr(0, 500));
        state.sent.Clear();
        state.dirty = true;
        state.not_before = now.mono + std::chrono::seconds(5);
      }
      return true;
    }
    default: return false;
  }
}

void Global::on_closed(MemberId member, Now) {
  const auto at = domains_.find(member);
  if (at == domains_.end()) return;
  at->second.connected = false;
  at->second.awaiting = false;
  ca_rotation_.on_closed(member);
  std::erase_if(requests_, [&](const auto& r) { return Membership::domain_of(r.second.relay) == member; });
  base::log_info("domain {} disconnected", member);
  emit({"domain_lost", {{"domain", std::to_string(member)}}});
}

void Global::all_dirty() {
  for (auto& [id, state] : domains_) state.dirty = true;
}

// Names are unique in a domain; over all domains, those that are not are followed by "-d" and the domain.
void Global::name_nodes() {
  std::map<std::string, unsigned> count;
  for (const auto& [id, domain] : domains_) {
    for (const auto& [node, record] : domain.nodes) ++count[record.name()];
  }
  names_.clear();
  node_by_name_.clear();
  for (const auto& [id, domain] : domains_) {
    for (const auto& [node, record] : domain.nodes) {
      std::string name = record.name();
      if (count[name] > 1) name = name.substr(0, 50) + "-d" + std::to_string(id);
      while (node_by_name_.contains(name) || (name != record.name() && count.contains(name))) name += "x";
      names_[node] = name;
      node_by_name_[name] = node;
    }
  }
}

void Global::on_timer(Now now) {
  run_rotations(now);
  if (now.mono - computed_ < kTick) return;
  computed_ = now.mono;
  if (now.mono - expired_ >= kExpiry) {
    expired_ = now.mono;
    for (const auto& key : matrix_.expire(now.mono)) measured(key, now.mono);
  }
  for (auto& [id, state] : domains_) {
    if (state.awaiting && now.mono - state.sent_at >= kAckLimit) {
      members_.close(id, "no_acknowledgement", "a directive was not acknowledged within 10 s", true);
    }
  }
  if (now.mono < quiet_until_) return;
  recompute(now);
  run_traffic(now);
  push(now);
}

// As Domain::recompute: what is left out would not change.
void Global::recompute(Now now) {
  steer(now);
  everything_ |= borders_.due(now.mono);
  if (!everything_ && !links_.changed() && unsettled_.empty()) return;
  auto changes = links_.take_changes();
  std::erase_if(changes, [this](const telemetry::Link& link) { return !matters(link.key); });
  if (everything_ || !engine_.update(changes)) {
    settle_pairs();
    settle_limits();
    std::vector<topology::Node> nodes;
    for (const auto& [id, state] : domains_) {
      for (const auto& [node, record] : state.nodes) {
        topology::Node added{.id = ids::NodeId{node},
                             .domain = ids::DomainId{static_cast<std::uint16_t>(id)}};
        added.relay = record.relay() && !steering_.drained(node);
        added.resting = record.relay() && steering_.drained_softly(node);
        added.risk = steering_.risks_of(node);
        added.zone = limited_.limits().zone_of(node);
        nodes.push_back(added);
      }
    }
    std::vector<telemetry::Link> links;
    links.reserve(links_.size());
    links_.each([&](const telemetry::Link& link) { links.push_back(link); });
    if (borders_.settle(nodes, links, pairs_, steering_.objective(), now.mono))
      emit({"borders_changed", {{"borders", std::to_string(borders_.held().size())}}});
    carriers_.clear();
    for (const topology::Node& node : nodes)
      if (node.relay || node.resting) carriers_.insert(node.id.value);
    for (const std::uint32_t relay : steering_.prescribed()) carriers_.insert(relay);
    std::erase_if(links, [this](const telemetry::Link& link) { return !matters(link.key); });
    engine_.rank_by(steering_.objective());
    engine_.rebuild(std::move(nodes), links, pairs_, steering_.line_risks());
    everything_ = false;
  }
  const auto unsettled = std::exchange(unsettled_, {});
  const domain::TierLists lists(selections_, &limited_);
  paths::RelayLoad load = lists.load(pairs_.size(), engine_.relays());
  for (const domain::Pair& pair : pairs_) {
    if (!engine_.affects(pair) && !unsettled.contains(pair) && !steering_.concerns(pair)) continue;
    const auto before = lists.firsts(pair);
    compute(pair, load, now);
    compute_limited(pair, load, now);
    load.replace(before, lists.firsts(pair));
  }
}

bool Global::matters(const telemetry::LinkKey& key) const {
  return carriers_.contains(key.from.value) || carriers_.contains(key.to.value) ||
         pairs_.contains({key.from.value, key.to.value});
}

void Global::compute(const domain::Pair& pair, const paths::RelayLoad& load, Now now) {
  const auto old = selections_.find(pair);
  const paths::Choices held = old == selections_.end() ? paths::Choices{} : old->second;
  const auto wanted = steering_.choose(engine_, pair, held, paths::Unknowns::AreLost, load);
  auto chosen = steering_.concerns(pair)
                    ? wanted
                    : move_budget_.take(rules_, engine_, pair, held, wanted, pairs_.size(), now);
  if (chosen != wanted) unsettled_.insert(pair);
  if (chosen == held || chosen.empty()) return;
  if (held.empty() || chosen.front().route != held.front().route) {
    emit({"path_changed",
          {{"from", name_of(pair.first)},
           {"to", name_of(pair.second)},
           {"cost_us", std::to_string(chosen.front().cost_us)}}});
  }
  unsettled_.insert(pair);
  selections_[pair] = std::move(chosen);
  domains_[Membership::domain_of(pair.first)].dirty = true;
}

// settle_pairs() has all domains told.
void Global::settle_limits() {
  limited_.keep(pairs_);
  std::map<std::string, std::vector<std::uint32_t>> members;
  for (const auto& tenant : tenants_) members[tenant.name()] = domain::member_ids(tenant, node_by_name_);
  std::map<std::uint32_t, std::string> locations;
  for (const auto& [id, state] : domains_)
    for (const auto& [node, record] : state.nodes) locations[node] = record.location();
  limited_.set(domain::TierLimits(rules_, members, locations));
}

// As Domain::compute_limited.
void Global::compute_limited(const domain::Pair& pair, const paths::RelayLoad& load, Now now) {
  static const paths::Choices kNone;
  const auto shared = selections_.find(pair);
  const auto pace = [&](const paths::Choices& held, const paths::Choices& wanted) {
    return move_budget_.take(rules_, engine_, pair, held, wanted, pairs_.size(), now);
  };
  const auto outcome =
      limited_.compute(engine_, steering_, pair, shared == selections_.end() ? kNone : shared->second,
                       paths::Unknowns::AreLost, load, pace);
  if (outcome.changed) domains_[Membership::domain_of(pair.first)].dirty = true;
  if (outcome.changed || outcome.waits) unsettled_.insert(pair);
  for (const auto& [tier, cut_off] : outcome.news)
    emit({cut_off ? "tier_cut_off" : "tier_restored",
          {{"from", name_of(pair.first)},
           {"to", name_of(pair.second)},
           {"tier", std::string(ids::to_string(tier))}}});
}

// As Domain::steer.
void Global::steer(Now now) {
  if (!everything_ && steering_.holds_at(now.unix_s)) return;
  domain::Steering next(rules_, node_by_name_, now.unix_s);
  for (const auto& [id, state] : domains_) next.drain_too(state.drained);
  if (next == steering_) return;
  steering_ = std::move(next);
  everything_ = true;
  for (const std::uint32_t headend : steering_.give_up_forbidden(selections_))
    domains_[Membership::domain_of(headend)].dirty = true;
  for (const std::uint32_t headend : limited_.give_up_forbidden(steering_))
    domains_[Membership::domain_of(headend)].dirty = true;
}

// Across domains: everybody in a small installation, tenants' members in a large one.
void Global::settle_pairs() {
  pairs_.clear();
  const auto add = [this](std::uint32_t from, std::uint32_t to) {
    if (Membership::domain_of(from) != Membership::domain_of(to)) pairs_.insert({from, to});
  };
  if (names_.size() <= domain::kEveryPairUpTo) {
    for (const auto& [from, a] : names_)
      for (const auto& [to, b] : names_) add(from, to);
  } else {
    for (const auto& tenant : tenants_) {
      const auto ids = domain::member_ids(tenant, node_by_name_);
      for (const std::uint32_t from : ids)
        for (const std::uint32_t to : ids) add(from, to);
    }
  }
  std::erase_if(selections_, [this](const auto& s) { return !pairs_.contains(s.first); });
  all_dirty();
}

std::string Global::name_of(std::uint32_t node) const {
  const auto at = names_.find(node);
  return at == names_.end() ? "n" + std::to_string(node) : at->second;
}

}  // namespace qanat::global
