// Global, the way down: cross-domain policies with tokens from the relays' own domains, one directive per domain.
#include <algorithm>

#include "base/log.hh"
#include "controller/global/global.hh"
#include "controller/policy/token_schedule.hh"
#include "identifiers/ids/sid.hh"
#include "identifiers/ids/tier.hh"

namespace qanat::global {

using session::Membership;

// False while a token is missing; then it has been asked for.
bool Global::make_path(std::uint32_t headend, std::uint32_t endpoint, std::uint32_t tier,
                       const paths::Choice& choice, Now now, proto::v1::CandidatePath& path) {
  const auto segments = paths::segments_of(choice.route, ids::NodeId{endpoint});
  const base::UnixSeconds expires = policy::list_expiry(now.unix_s);
  const std::uint8_t epoch = policy::token_epoch_of(policy::week_of(now.unix_s));
  bool complete = true;
  for (const ids::NodeId relay : choice.route.relay_list()) {
    const MintKey key{relay.value, headend, tier, expires, segments};
    Mint& mint = mints_[key];
    mint.wanted = true;
    if (mint.token) {
      path.add_tokens(*mint.token);
      continue;
    }
    complete = false;
    const MemberId domain = Membership::domain_of(relay.value);
    const auto state = domains_.find(domain);
    if (state == domains_.end() || !state->second.connected || requests_.size() >= kMostMintsInFlight ||
        (mint.request != 0 && now.mono - mint.asked < kMintRetry)) {
      continue;
    }
    requests_.erase(mint.request);
    mint.request = ++next_request_;
    mint.asked = now.mono;
    requests_[mint.request] = key;
    proto::v1::Envelope envelope;
    auto& request = *envelope.mutable_mint();
    request.set_request(mint.request);
    request.set_relay(relay.value);
    request.set_headend(headend);
    request.set_tier(tier);
    request.mutable_segments()->Add(segments.begin(), segments.end());
    request.set_expires_unix_s(expires);
    request.set_token_epoch(epoch);
    members_.send(domain, envelope);
  }
  path.set_first_plane(choice.route.planes[0].value);
  path.mutable_segments()->Add(segments.begin(), segments.end());
  if (choice.route.relay_count > 0) {
    path.set_expires_unix_s(expires);
    path.set_token_epoch(epoch);
  }
  path.set_weight(1);
  path.set_cost_us(choice.cost_us);
  return complete;
}

void Global::on_minted(MemberId domain, const proto::v1::MintReply& reply) {
  const auto request = requests_.find(reply.request());
  if (request == requests_.end() || Membership::domain_of(request->second.relay) != domain) return;
  const auto mint = mints_.find(request->second);
  requests_.erase(request);
  if (mint == mints_.end()) return;
  if (!reply.has_refusal()) {
    mint->second.token = reply.token();
    domains_[Membership::domain_of(mint->first.headend)].dirty = true;
  } else if (!reply.refusal().retryable()) {
    base::log_warn("domain {} refuses a token: {}", domain, reply.refusal().message().substr(0, 200));
  }
}

// As ConfigCompiler does; while a list waits for a token, by preference.
void Global::weigh(const domain::SpreadKey& key, proto::v1::SrPolicy& policy) const {
  const auto spread = spreads_.find(key);
  if (spread == spreads_.end()) return;
  const auto weights = spread->second.weights_for(policy);
  for (std::size_t i = 0; i < weights.size(); ++i)
    policy.mutable_paths(static_cast<int>(i))->set_weight(weights[i]);
}

// That boxes of every domain are to measure; none where that is all relays. Those that lists go over are among them, and
// those that may become somebody's last resort.
std::set<std::uint32_t> Global::measured_relays() const {
  if (!borders_.selects()) return {};
  std::set<std::uint32_t> out = borders_.measured();
  out.merge(steering_.prescribed());
  for (const std::uint32_t relay : steering_.all_drained())
    if (steering_.drained_softly(relay)) out.insert(relay);
  const auto add = [&out](const paths::Choices& choices) {
    for (const paths::Choice& choice : choices)
      for (const ids::NodeId relay : choice.route.relay_list()) out.insert(relay.value);
  };
  for (const auto& [pair, choices] : selections_) add(choices);
  for (const auto& [key, choices] : limited_.all()) add(choices);
  return out;
}

proto::v1::DomainDirective Global::compile(MemberId domain, const std::set<std::uint32_t>& measured,
                                           Now now) {
  proto::v1::DomainDirective directive;
  directive.mutable_measured_relays()->Add(measured.begin(), measured.end());
  for (const auto& [id, state] : domains_) {
    directive.mutable_denied_headends()->Add(state.denied.begin(), state.denied.end());
    if (id == domain) continue;
    for (const auto& [node, record] : state.nodes) {
      auto& added = *directive.add_remote_nodes();
      added = record;
      added.set_name(names_.at(node));
    }
  }
  for (const auto& tenant : tenants_) {
    proto::v1::Tenant out = tenant;
    out.clear_members();
    bool ours = false;
    for (const auto& member : tenant.members()) {
      const auto node = node_by_name_.find(member.node());
      if (node == node_by_name_.end()) continue;  // not reported yet
      ours |= Membership::domain_of(node->second) == domain;
      auto& added = *out.add_members();
      added = member;
      added.set_node_id(node->second);
      added.clear_node();
    }
    if (ours) *directive.add_tenants() = std::move(out);
  }
  auto& own = domains_.at(domain);
  own.incomplete = false;
  for (const auto& [headend, record] : own.nodes) {
    proto::v1::DomainDirective::HeadendPolicies policies;
    policies.set_headend(headend);
    for (auto at = selections_.lower_bound({headend, 0});
         at != selections_.end() && at->first.first == headend; ++at) {
      const std::uint32_t endpoint = at->first.second;
      for (const ids::Tier tier : ids::kTiers) {
        proto::v1::SrPolicy policy;
        policy.set_endpoint(endpoint);
        policy.set_tier(static_cast<std::uint32_t>(tier));
        const paths::Choices* limited = limited_.of(at->first, tier);
        for (const paths::Choice& choice : limited ? *limited : at->second) {
          proto::v1::CandidatePath path;
          if (!make_path(headend, endpoint, policy.tier(), choice, now, path)) {
            own.incomplete = true;
            continue;
          }
          path.set_preference(static_cast<std::uint32_t>(policy.paths_size()));
          *policy.add_paths() = std::move(path);
        }
        if (policy.paths().empty()) {  // rather the old lists than none
          for (const auto& old : own.sent.headends()) {
            if (old.headend() != headend) continue;
            for (const auto& p : old.policies()) {
              if (p.endpoint() == endpoint && p.tier() == policy.tier()) policy = p;
              policy.clear_planes();
            }
          }
        }
        weigh({at->first, tier}, policy);
        limited_.limits().bind(headend, policy);
        if (!policy.paths().empty() || policy.planes() != 0) *policies.add_policies() = std::move(policy);
      }
    }
    // Limits hold where there is no list yet.
    for (const std::uint32_t endpoint : limited_.limits().peers_of(headend)) {
      const domain::Pair pair{headend, endpoint};
      if (selections_.contains(pair) || Membership::domain_of(endpoint) == domain) continue;
      for (const ids::Tier tier : ids::kTiers) {
        if (limited_.limits().of(pair, tier).everything()) continue;
        auto& policy = *policies.add_policies();
        policy.set_endpoint(endpoint);
        policy.set_tier(static_cast<std::uint32_t>(tier));
        limited_.limits().bind(headend, policy);
      }
    }
    if (!policies.policies().empty()) *directive.add_headends() = std::move(policies);
  }
  directive.set_network_psk(psk_);
  directive.set_network_psk_next(next_psk_);
  return directive;
}

// Directives of domains that something changed for, each no more often than kDirectiveGap; now and then all of them, which
// tells what tokens are still wanted.
void Global::push(Now now) {
  const base::UnixSeconds day = now.unix_s / policy::kDay;
  if (day != day_) {
    day_ = day;
    all_dirty();  // every list's expiry moves on
  }
  const bool sweep = now.mono - swept_ >= kSweep;
  if (sweep) {
    swept_ = now.mono;
    for (auto& [key, mint] : mints_) mint.wanted = false;
  }
  const base::Duration gap = names_.size() <= domain::kEveryPairUpTo ? kDirectiveGap : kLargeGap;
  std::vector<store::Pushed> rows;
  std::vector<MemberId> out;
  std::optional<std::set<std::uint32_t>> measured;
  for (const auto& [id, member] : membership_.current()) {
    DomainState& state = domains_[id];
    const bool again = state.incomplete && now.mono - state.compiled_at >= kMintRetry;
    const bool due = state.dirty && now.mono - state.compiled_at >= gap;
    if (!sweep && (state.awaiting || (!again && !due))) continue;
    // Also for those who cannot get it now: their tokens stay.
    if (!measured) measured = measured_relays();
    proto::v1::DomainDirective next = compile(id, *measured, now);
    state.compiled_at = now.mono;
    if (!state.connected) state.dirty = false;  // on_open() asks again
    if (!state.connected || state.awaiting || now.mono < state.not_before) continue;
    state.dirty = false;
    next.set_epoch(epoch_);
    next.set_version(state.sent.version());
    if (state.sent.version() != 0 && next.SerializeAsString() == state.sent.SerializeAsString()) {
      state.respread = false;
      continue;
    }
    next.set_version(++state.version);
    rows.push_back({id, state.version, next.SerializeAsString(), false});
    state.sent = std::move(next);
    state.awaiting = true;
    state.sent_at = now.mono;
    out.push_back(id);
  }
  if (sweep) std::erase_if(mints_, [](const auto& m) { return !m.second.wanted; });
  store_.set_pushed(rows);
  for (const MemberId id : out) {
    proto::v1::Envelope envelope;
    *envelope.mutable_domain_directive() = domains_[id].sent;
    members_.send(id, envelope);
  }
}

}  // namespace qanat::global
