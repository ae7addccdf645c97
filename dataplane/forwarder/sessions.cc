// Sessions with other nodes: handshakes directly or inside lists, rekeying, probes, and what changes when one stands.
#include <algorithm>

#include "dataplane/forwarder/forwarder.hh"

namespace qanat::forwarder {

using packet::DropReason;

namespace {

constexpr std::size_t kMaxEvents = 1024;
constexpr base::Duration kLongestLook = std::chrono::seconds{1};      // between two looks at a session
constexpr base::Duration kAskAgain = std::chrono::milliseconds{100};  // a follower its lead, for a session
constexpr base::Duration kDoubtAfter = std::chrono::seconds{5};       // keys with which nothing gets through

}  // namespace

PeerState* Forwarder::peer(ids::NodeId id) const {
  const auto it = peers_.find(id);
  return it == peers_.end() ? nullptr : it->second.get();
}

// The peer rotated its static key. Keys in use live on; the next handshake is with the new one.
void Forwarder::adopt_key(PeerState& peer, const crypto::PublicKey& key) {
  if (peer.initiator) indices_.release(peer.initiator->local_index());
  peer.initiator.reset();
  peer.public_key = key;
  peer.macs = crypto::MacMaker(key);
  peer.greatest.reset();
  peer.session.rekey_now();
}

void Forwarder::want(PeerState& peer, base::Time now, base::Duration delay) {
  if (!options_.share.lead()) {
    if (peer.wanted && now < peer.wanted_from) return;  // asked a moment ago
    peer.wanted = true;
    peer.wanted_from = now + kAskAgain;
    return send_message(0, Wanted{peer.id});
  }
  look_again(peer);
  const base::Time from = now + delay;
  if (!peer.wanted || from < peer.wanted_from) peer.wanted_from = from;
  peer.wanted = true;
  if (delay == base::Duration{}) run_session(peer, now);
}

// Whatever time asks of one session: a handshake that is due, indices that no longer receive.
void Forwarder::run_session(PeerState& peer, base::Time now) {
  // Keys stand, and all ways are dead for long: perhaps the peer has lost them, which looks like a cut. New ones tell.
  if (const crypto::SessionKeys* keys = options_.share.lead() ? peer.session.current(now) : nullptr) {
    const base::Duration patience =
        std::max<base::Duration>(kDoubtAfter, 4 * snapshot_->probe_plan().mesh_interval);
    const auto dead = [this](std::uint32_t r) {
      return prober_.view(routes_.routes()[r].probe).state == path::State::Dead;
    };
    if (now - keys->created() >= patience && std::ranges::all_of(routes_.adjacencies(peer.id), dead) &&
        std::ranges::all_of(routes_.relayed(peer.id), dead))
      peer.session.rekey_now();
  }
  const crypto::Session::Actions actions = peer.session.on_timer(now);
  // What packets alone bring about (a rekey by their number, copies that stop) may wait this long.
  sessions_[peer.slot].due =
      options_.share.lead() ? std::min(peer.session.next_timeout(), now + kLongestLook) : now;
  for (std::size_t i = 0; i < actions.expired_count; ++i) indices_.release(actions.expired[i]);
  if (!options_.share.lead()) {
    // Only the lead shakes hands, and it cannot see how much was sealed here.
    crypto::SessionKeys* keys = peer.session.current(now);
    if (keys != nullptr && keys->packets_sent() >= crypto::SessionKeys::kRekeyPackets &&
        now >= peer.wanted_from) {
      peer.wanted_from = now + kAskAgain;
      send_message(0, RekeyAsked{peer.id});
    }
    return;
  }
  if (peer.was_established && !peer.session.established(now)) {
    peer.was_established = false;
    push({Event::Kind::PeerDown, peer.id, {}, {}, {}, now});
  }
  if (actions.start_handshake && peer.wanted && now >= peer.wanted_from) start_handshake(peer, now);
}

// Attempts take turns over the ways there are: adjacencies of one plane, lists, adjacencies across planes.
void Forwarder::start_handshake(PeerState& peer, base::Time now) {
  std::array<std::uint32_t, 16> ways{};
  std::size_t count = 0;
  const auto add = [&](std::uint32_t r) {
    if (count < ways.size()) ways[count++] = r;
  };
  const auto same_plane = [&](std::uint32_t r) {
    const std::uint32_t pq = routes_.routes()[r].id.value & 0xff;
    return pq >> 4 == (pq & 0x0f);
  };
  for (const std::uint32_t r : routes_.adjacencies(peer.id))
    if (same_plane(r)) add(r);
  for (const std::uint32_t r : routes_.relayed(peer.id))
    if (const PeerState* hop = this->peer(routes_.routes()[r].first_hop);
        hop != nullptr && hop->was_established)
      add(r);
  for (const std::uint32_t r : routes_.adjacencies(peer.id))
    if (!same_plane(r)) add(r);
  if (count == 0) return;

  if (peer.initiator) indices_.release(peer.initiator->local_index());
  const std::uint32_t index = indices_.allocate(&peer, handshaker_.random_u32());
  if (index == 0) return;
  const Route& way = routes_.routes()[ways[peer.attempt % count]];
  const crypto::InitDatagram datagram = handshaker_.start(peer, index, now);
  counters_.add(Counter::HandshakesSent);
  if (!send_by(way, datagram, now)) drops_.count(DropReason::NoAdjacency);
}

bool Forwarder::send_by(const Route& route, packet::Bytes handshake, base::Time now) {
  crypto::SessionKeys* link = nullptr;
  if (!route.direct) {
    PeerState* hop = peer(route.first_hop);
    link = hop == nullptr ? nullptr : hop->session.current(now);
    if (link == nullptr) return false;
  }
  const TrainKey key{route.to, route.line, static_cast<std::uint8_t>(ids::dscp(ids::Tier::Critical) << 2), 0};
  const auto out = trains_.reserve(key, route.overhead + handshake.size());
  std::copy(handshake.begin(), handshake.end(), out.begin() + static_cast<std::ptrdiff_t>(route.overhead));
  if (link != nullptr) link->seal_link(packet::kControlBucket, route.header, out);
  trains_.commit();
  return true;
}

void Forwarder::send_bare(packet::Bytes datagram, const Arrival& towards) {
  const TrainKey key{towards.remote, towards.line,
                     static_cast<std::uint8_t>(ids::dscp(ids::Tier::Critical) << 2), 0};
  const auto out = trains_.reserve(key, datagram.size());
  std::copy(datagram.begin(), datagram.end(), out.begin());
  trains_.commit();
}

void Forwarder::on_initiation(packet::Bytes datagram, const Arrival& arrival, base::Time now) {
  const auto find = [this](const crypto::PublicKey& key) -> PeerState* {
    const fib::Peer* known = snapshot_->peer_by_key(key);
    return known == nullptr ? nullptr : peer(known->id);
  };
  // The index is given to a peer only once we know which.
  const auto allocate = [this] { return indices_.allocate(nullptr, handshaker_.random_u32()); };
  const InitiationSource source{arrival.remote, arrival.neighbour != nullptr,
                                by_address_.contains(arrival.remote)};
  auto outcome = handshaker_.on_initiation(datagram, source, allocate, snapshot_->network_psk(), find, now);
  auto* answer = std::get_if<Handshaker::Answer>(&outcome);
  if (answer != nullptr && answer->refused) {
    indices_.release(answer->local_index);
    return drops_.count(*answer->refused);
  }
  if (const auto* reason = std::get_if<DropReason>(&outcome)) return drops_.count(*reason);
  if (const auto* cookie = std::get_if<crypto::CookieDatagram>(&outcome)) {
    counters_.add(Counter::CookiesSent);
    return send_bare(*cookie, arrival);
  }
  indices_.assign(answer->local_index, answer->peer);
  counters_.add(Counter::HandshakesAnswered);
  install(*answer->peer, answer->secrets, now);
  if (arrival.neighbour == nullptr) return send_bare(answer->datagram, arrival);
  // Back by a list of our own: a route header cannot be turned around.
  for (const std::uint32_t r : routes_.relayed(answer->peer->id))
    if (send_by(routes_.routes()[r], answer->datagram, now)) return;
  drops_.count(DropReason::NoPath);
}

void Forwarder::on_response(packet::Bytes datagram, const Arrival& arrival, base::Time now) {
  PeerState* from = indices_.find(crypto::receiver_index(datagram));
  if (from == nullptr) return drops_.count(DropReason::HandshakeUnexpected);
  const std::array<crypto::SecretKey, 3> psks{snapshot_->network_psk(), previous_psk_,
                                              snapshot_->next_network_psk()};
  const auto secrets = handshaker_.on_response(*from, datagram, arrival.remote, psks, now);
  if (!secrets) return drops_.count(secrets.error());
  install(*from, *secrets, now);
  on_established(*from, now);
  send_keepalive(*from, now);
}

void Forwarder::on_cookie(packet::Bytes datagram, const Arrival&, base::Time now) {
  PeerState* from = indices_.find(crypto::receiver_index(datagram));
  if (from == nullptr) return drops_.count(DropReason::HandshakeUnexpected);
  const auto again = handshaker_.on_cookie(*from, datagram, now);
  if (!again) return drops_.count(again.error());
  if (*again && from->initiator) start_handshake(*from, now);
}

void Forwarder::install(PeerState& peer, const crypto::SessionSecrets& secrets, base::Time created) {
  if (options_.share.lead()) send_message(Message::kFollowers, KeysInstalled{peer.id, secrets, created});
  if (const auto pushed = peer.session.install(std::make_unique<crypto::SessionKeys>(secrets, created)))
    indices_.release(*pushed);
}

// Keys with a peer are in use: whatever waited for them goes.
void Forwarder::on_established(PeerState& peer, base::Time now) {
  if (options_.share.lead()) {
    counters_.add(Counter::SessionsEstablished);
    if (const crypto::SessionKeys* keys = peer.session.current(now))
      send_message(Message::kFollowers, KeysConfirmed{peer.id, keys->local_index()});
  }
  if (options_.share.lead() && !peer.was_established) {
    peer.was_established = true;
    push({Event::Kind::PeerUp, peer.id, {}, {}, {}, now});
  }
  std::deque<WaitingPacket> waiting;
  waiting.swap(peer.waiting);
  for (WaitingPacket& packet : waiting) on_tun_packet(packet.vni, packet.frame, now);
}

// Tells the responder that we hold the keys; over every same-cost way that is not known to be dead, since none has
// been probed yet under these keys.
void Forwarder::send_keepalive(PeerState& peer, base::Time now) {
  packet::InnerHeader inner;
  inner.kind = packet::InnerKind::Keepalive;
  inner.tier = ids::Tier::Critical;
  const auto send = [&](std::uint32_t r) {
    Sender sender;
    if (!prepare(sender, peer, routes_.routes()[r], packet::kControlBucket, ids::Tier::Critical, 0, now))
      return;
    const auto text = begin_seal(sender, packet::InnerHeader::kBytes);
    inner.serialize(text);
    end_seal(sender, text);
  };
  for (const std::uint32_t r : routes_.adjacencies(peer.id)) send(r);
  for (const std::uint32_t r : routes_.relayed(peer.id)) send(r);
}

void Forwarder::send_probes(base::Time now) {
  while (const auto path = prober_.poll_due(now)) send_probe(*path, now);
}

void Forwarder::send_probe(std::uint32_t path, base::Time now) {
  Route& route = routes_.routes()[routes_.probe_routes()[path]];
  PeerState* to = peer(route.peer);
  Sender sender;
  if (to == nullptr || !prepare(sender, *to, route, packet::kControlBucket, ids::Tier::Critical, 0, now))
    return;
  const packet::Probe probe = prober_.make_probe(path, now);
  packet::InnerHeader inner;
  inner.kind = packet::InnerKind::Probe;
  inner.tier = ids::Tier::Critical;
  const std::size_t small = packet::InnerHeader::kBytes + probe.bytes();
  const std::size_t around = route.overhead + packet::kSealedHeaderBytes + packet::kTagBytes;
  const std::size_t padded = probe.padded_bytes > around ? probe.padded_bytes - around : 0;
  const auto text = begin_seal(sender, std::max(small, padded));
  inner.serialize(text);
  probe.serialize(text.subspan(packet::InnerHeader::kBytes));
  std::fill(text.begin() + static_cast<std::ptrdiff_t>(small), text.end(), std::uint8_t{0});
  end_seal(sender, text);
  counters_.add(Counter::ProbesSent);
  counters_.add(Counter::ProbeBytesSent, around + text.size());
}

void Forwarder::drain_prober_events() {
  while (const auto event = prober_.poll_event()) {
    ++paths_generation_;
    switch (event->kind) {
      case path::Event::Kind::PathUp:
        mtu_stale_ = true;
        push({Event::Kind::PathUp, event->peer, {}, event->path, {}, event->at});
        break;
      case path::Event::Kind::PathDown: {
        push({Event::Kind::PathDown, event->peer, {}, event->path, {}, event->at});
        // Nothing reaches it any more: perhaps it lost its keys.
        PeerState* lost = peer(event->peer);
        const auto usable = [this](std::uint32_t r) { return prober_.usable(routes_.routes()[r].probe); };
        const auto direct = routes_.adjacencies(event->peer);
        const auto relayed = routes_.relayed(event->peer);
        if (lost != nullptr && std::none_of(direct.begin(), direct.end(), usable) &&
            std::none_of(relayed.begin(), relayed.end(), usable))
          lost->session.rekey_now(), look_again(*lost);
        break;
      }
      case path::Event::Kind::MtuChanged:
        counters_.add(Counter::MtuChanges);
        mtu_stale_ = true;
        break;
      case path::Event::Kind::Switched:
        mtu_stale_ = true;
        if (event->before == ids::PathId{}) break;
        counters_.add(Counter::PathSwitches);
        push({Event::Kind::PathSwitched, event->peer, event->tier, event->path, event->before, event->at});
        break;
    }
  }
  if (!mtu_stale_) return;
  mtu_stale_ = false;
  routes_.refresh_mtu(choice_now());
}

void Forwarder::push(Event event) {
  if (events_.size() == kMaxEvents) events_.pop_front();
  events_.push_back(event);
}

std::optional<Event> Forwarder::poll_event() {
  if (events_.empty()) return std::nullopt;
  const Event event = events_.front();
  events_.pop_front();
  return event;
}

}  // namespace qanat::forwarder
