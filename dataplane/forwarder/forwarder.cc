#include "dataplane/forwarder/forwarder.hh"

#include <algorithm>
#include <array>

#include "dataplane/packet/byte_order.hh"

namespace qanat::forwarder {

namespace {

constexpr base::Duration kSessionTick = std::chrono::milliseconds{50};
// The node with the greater id lets the other begin, so that two boxes that learn of each other at once make one
// session, not two.
constexpr base::Duration kPoliteness = std::chrono::milliseconds{500};
constexpr base::Duration kLimitedFor = std::chrono::seconds{1};  // after something waited for a path

}  // namespace

Forwarder::Forwarder(ForwarderOptions options)
    : options_(std::move(options)),
      handshaker_(options_.identity, options_.random),
      delivery_(options_.coalesce, drops_, counters_),
      policy_(options_.policy),
      scheduler_(policy_, drops_) {
  classifier_.set_rules(&policy_->rules());
}

Forwarder::~Forwarder() = default;

void Forwarder::set_snapshot(fib::SnapshotPtr snapshot, base::Time now) {
  if (snapshot_ != nullptr && !(snapshot_->network_psk() == snapshot->network_psk()))
    previous_psk_ = snapshot_->network_psk();
  snapshot_ = std::move(snapshot);
  if (options_.share.lead()) send_message(Message::kFollowers, SnapshotSet{snapshot_});
  tokens_.clear();
  passage_ = {};
  std::erase_if(peers_, [&](const auto& entry) {
    const bool gone = snapshot_->peer(entry.first) == nullptr || entry.first == snapshot_->self();
    if (gone) {
      indices_.release_all(entry.second.get());
      eliminator_.forget(entry.first);
      release(resequencer_.forget(entry.first));
      decoder_.forget(entry.first);
      forget_managed(*entry.second);
    }
    return gone;
  });
  by_address_.clear();
  for (const fib::Peer& known : snapshot_->peers()) {
    if (known.id == snapshot_->self()) continue;
    auto& state = peers_[known.id];
    if (state == nullptr) state = std::make_unique<PeerState>(known.id, known.x25519, options_.session);
    if (state->public_key != known.x25519) adopt_key(*state, known.x25519);
    state->addresses.clear();
    for (const fib::Line& line : known.lines) {
      state->addresses.push_back(line.address);
      by_address_[line.address] = state.get();
    }
    keep_learned(*state, known);
  }
  // Counts of paths that stay, stay.
  const RouteTable before = std::move(routes_);
  routes_ = RouteTable(*snapshot_, options_.lines);
  ++paths_generation_;
  for (Route& route : routes_.routes())
    for (const Route& old : before.routes())
      if (old.peer == route.peer && old.id == route.id) {
        route.packets = old.packets;
        route.bytes = old.bytes;
        break;
      }
  for (const auto& [id, state] : peers_) follow(*state);
  prober_.configure(routes_.prober_config(), now);
  const auto tenants = snapshot_->tenants();
  if (flows_ == nullptr &&
      std::any_of(tenants.begin(), tenants.end(), [](const auto& t) { return t.acl(); })) {
    std::array<std::uint8_t, 8> seed{};
    options_.random(seed);
    flows_ = std::make_unique<FlowTable>(packet::load_be64(seed.data()));
    flows_->advance(now);
  }
  if (flows_ != nullptr) flows_->renew();
  delivery_.set_snapshot(snapshot_, flows_.get());
  sessions_.clear();
  for (const auto& [id, state] : peers_) {
    state->slot = static_cast<std::uint32_t>(sessions_.size());
    sessions_.push_back({{}, state.get()});
  }
  next_sessions_ = now;
  if (!options_.share.lead()) {
    // What was chosen stays so, where it still exists, until the lead says what it chooses now: which it does next.
    choice_ = routes_.carried_over(before, choice_);
    routes_.refresh_mtu(choice_);
    return;
  }
  // The probe mesh needs a session with everybody.
  for (auto& [id, state] : peers_)
    if (!state->wanted) want(*state, now, snapshot_->self() < id ? base::Duration{1} : kPoliteness);
  mtu_stale_ = true;
  drain_prober_events();
  choice_ = {};  // followers have forgotten it, whether or not it is another one now
  share_paths();
}

void Forwarder::set_policy(std::shared_ptr<const qos::Policy> policy) {
  policy_ = std::move(policy);
  classifier_.set_rules(&policy_->rules());
  scheduler_.set_policy(policy_);
  for (PeerState* to : managed_) hold_to_lines(*to->managed);
  if (options_.share.lead()) send_message(Message::kFollowers, PolicySet{policy_});
}

void Forwarder::on_timer(base::Time now) {
  if (now >= next_sessions_) {
    next_sessions_ = now + kSessionTick;
    for (std::size_t i = 0; i < sessions_.size(); ++i)
      if (sessions_[i].due <= now) run_session(*sessions_[i].peer, now);
    eliminator_.on_timer(now);
    forget_trackers(now);
  }
  for (PeerState* to : managed_) to->managed->bundle.on_timer(now);
  if (resequencer_.next_timeout() <= now) release(resequencer_.on_timer(now));
  if (decoder_.next_timeout() <= now) {
    send_reports(now);
    decoder_.on_timer(now);
  }
  send_acks(now);
  pump(now);
  if (!options_.share.lead()) return;
  prober_.on_timer(now);
  drain_prober_events();
  send_probes(now);
  watch_modes(now);
  share_paths();
  watch_copies(now);
}

base::Time Forwarder::next_timeout() const {
  if (snapshot_ == nullptr) return base::Time::max();
  base::Time next =
      std::min({next_sessions_, acks_due_, resequencer_.next_timeout(), decoder_.next_timeout()});
  if (!managed_.empty() || !scheduler_.empty()) next = std::min(next, next_egress());
  return options_.share.lead() ? std::min(next, prober_.next_timeout()) : next;
}

Status Forwarder::status(base::Time now, bool take) {
  Status out;
  if (snapshot_ == nullptr) return out;
  for (const fib::Peer& known : snapshot_->peers()) {
    PeerState* state = peer(known.id);
    if (state == nullptr) continue;
    PeerStatus p;
    p.node = known.id;
    p.session = state->session.established(now);
    out.sessions += p.session ? 1 : 0;
    for (const std::uint32_t r : routes_.adjacencies(known.id)) {
      const Route& route = routes_.routes()[r];
      const path::PathView view = prober_.view(route.probe);
      AdjacencyStatus a;
      a.local_plane = ids::PlaneId{static_cast<std::uint8_t>(route.id.value >> 4 & 0x0f)};
      a.remote_plane = ids::PlaneId{static_cast<std::uint8_t>(route.id.value & 0x0f)};
      a.address = route.to;
      a.state = view.state;
      a.rtt = view.rtt;
      a.jitter = view.jitter;
      a.loss_ppm = view.loss_ppm;
      a.mtu = view.mtu;
      a.one_way_raw_us = view.one_way_raw_us;
      if (take) {
        const auto interval = prober_.take_interval(route.probe);
        a.rtt_min = interval.rtt_min;
        a.rtt_mean = interval.rtt_mean;
        a.samples = interval.samples;
        a.probes = interval.probes;
        a.lost = interval.lost;
        a.heard = prober_.take_heard(known.id, packet::direct_path_id(a.remote_plane, a.local_plane));
      }
      p.adjacencies.push_back(a);
    }
    out.peers.push_back(std::move(p));
  }
  for (std::uint32_t i = 0; i < routes_.policies().size(); ++i) {
    const PolicyRoutes& policy = routes_.policies()[i];
    const std::size_t first = out.paths.size();
    for (const std::uint32_t r : policy.routes) {
      const Route& route = routes_.routes()[r];
      const path::PathView view = prober_.view(route.probe);
      PathStatus s;
      s.endpoint = policy.endpoint;
      s.tier = policy.tier;
      s.id = route.id;
      s.first_plane = options_.lines[route.line].plane;
      if (route.direct)
        s.segments = {ids::Sid::end(route.peer)};
      else
        s.segments.assign(route.header.list().begin(), route.header.list().end());
      s.active = prober_.chosen(i) == route.probe;
      s.state = view.state;
      s.rtt = view.rtt;
      s.jitter = view.jitter;
      s.loss_ppm = view.loss_ppm;
      s.mtu = view.mtu;
      s.preference = route.preference;
      s.packets = route.packets;
      s.bytes = route.bytes;
      if (policy.weighted) s.weight = route.weight;
      if (const PeerState* to = peer(policy.endpoint); to != nullptr && to->managed != nullptr) {
        s.pipe = pipe_status(*to->managed, route.probe);
        s.limited = now - to->managed->limited < kLimitedFor;
        if (s.limited && s.pipe && s.pipe->measured) s.capacity_bps = s.pipe->rate_bps;
      }
      out.paths.push_back(std::move(s));
    }
    std::stable_sort(out.paths.begin() + static_cast<std::ptrdiff_t>(first), out.paths.end(),
                     [](const PathStatus& a, const PathStatus& b) { return a.active > b.active; });
  }
  return out;
}

const char* to_string(Event::Kind kind) {
  switch (kind) {
    case Event::Kind::PeerUp: return "peer_up";
    case Event::Kind::PeerDown: return "peer_down";
    case Event::Kind::PathUp: return "path_up";
    case Event::Kind::PathDown: return "path_down";
    case Event::Kind::PathSwitched: return "path_switched";
    case Event::Kind::CopiesStopped: return "copies_stopped";
    case Event::Kind::CopiesResumed: return "copies_resumed";
  }
  return "unknown";
}

}  // namespace qanat::forwarder
