// Where peers really live: a NAT gives a box another address than its configuration says, and a box that moves has a new
// one. An address is believed only after a path challenge (RFC 9000 §8.2's idea): eight random bytes, sealed, sent
// there, must come back sealed from there. Until then nothing is sent to it but that one small datagram.
#include <algorithm>

#include "dataplane/forwarder/forwarder.hh"

namespace qanat::forwarder {

namespace {

constexpr base::Duration kChallengeEvery = std::chrono::milliseconds{50};
constexpr base::Duration kChallengeLife = std::chrono::seconds{2};
// Token (8) ‖ plane of the line that it leaves by (8 bits, replies only) ‖ zero (56). Sealed it is 66 bytes: no more
// than the smallest probe, which asks for it.
constexpr std::size_t kTokenBytes = 8;
constexpr std::size_t kBodyBytes = 16;

}  // namespace

void Forwarder::note_source(PeerState& from, const Arrival& arrival, base::Time now) {
  for (const std::uint32_t r : routes_.adjacencies(from.id)) {
    const Route& route = routes_.routes()[r];
    if (route.line == arrival.line && route.to == arrival.remote) return;
  }
  const bool asked = from.challenge && now - from.challenge->sent < kChallengeEvery;
  if (asked || from.session.current(now) == nullptr) return;
  Challenge challenge{arrival.line, arrival.remote, {}, now};
  options_.random(challenge.token);
  std::array<std::uint8_t, kBodyBytes> body{};
  std::copy(challenge.token.begin(), challenge.token.end(), body.begin());
  // One question at a time: a second source within the round trip takes the first one's place only when it is old.
  if (from.challenge && now - from.challenge->sent < kChallengeLife && from.challenge->to == arrival.remote)
    challenge.token = from.challenge->token, std::copy_n(challenge.token.begin(), kTokenBytes, body.begin());
  from.challenge = challenge;
  send_to(from, packet::InnerKind::Challenge, body, arrival, now);
}

void Forwarder::on_challenge(PeerState& from, packet::Bytes body, const Arrival& arrival, base::Time now) {
  if (body.size() < kBodyBytes || arrival.neighbour != nullptr)
    return drops_.count(packet::DropReason::InnerMalformed);
  std::array<std::uint8_t, kBodyBytes> reply{};
  std::copy_n(body.begin(), kTokenBytes, reply.begin());
  reply[kTokenBytes] = options_.lines[arrival.line].plane.value;
  send_to(from, packet::InnerKind::ChallengeReply, reply, arrival, now);
}

void Forwarder::on_challenge_reply(PeerState& from, packet::Bytes body, const Arrival& arrival,
                                   base::Time now) {
  if (body.size() < kBodyBytes) return drops_.count(packet::DropReason::InnerMalformed);
  const bool ours = from.challenge && now - from.challenge->sent < kChallengeLife &&
                    from.challenge->line == arrival.line && from.challenge->to == arrival.remote &&
                    crypto::equal_constant_time(from.challenge->token, body.first(kTokenBytes));
  if (!ours) return drops_.count(packet::DropReason::ChallengeUnexpected);
  from.challenge.reset();
  const ids::PlaneId plane{body[kTokenBytes]};
  const fib::Peer* known = snapshot_->peer(from.id);
  const fib::Line* line = known == nullptr ? nullptr : known->line(plane);
  if (line == nullptr) return drops_.count(packet::DropReason::ChallengeUnexpected);
  auto at = std::find_if(from.learned.begin(), from.learned.end(),
                         [&](const LearnedAddress& l) { return l.line == arrival.line && l.plane == plane; });
  if (at == from.learned.end()) at = from.learned.insert(at, {arrival.line, plane, line->address, {}});
  if (at->address == arrival.remote) return;
  at->configured = line->address;
  at->address = arrival.remote;
  counters_.add(Counter::EndpointsMoved);
  place(from);
  send_message(Message::kFollowers, PeerMoved{from.id, from.learned});
}

// The peer's addresses, and the routes to them, after something was learned.
void Forwarder::place(PeerState& peer) {
  const fib::Peer* known = snapshot_->peer(peer.id);
  if (known == nullptr) return;
  peer.addresses.clear();
  for (const fib::Line& l : known->lines) peer.addresses.push_back(l.address);
  keep_learned(peer, *known);
  follow(peer);
}

// What was learned holds until the configuration names another address for that line.
void Forwarder::keep_learned(PeerState& peer, const fib::Peer& known) {
  std::erase_if(peer.learned, [&](const LearnedAddress& l) {
    const fib::Line* line = known.line(l.plane);
    return line == nullptr || line->address != l.configured || l.line >= options_.lines.size();
  });
  for (const LearnedAddress& l : peer.learned) {
    peer.addresses.push_back(l.address);
    by_address_[l.address] = &peer;
  }
}

// Turns every route whose first hop is this peer to where it lives.
void Forwarder::follow(PeerState& peer) {
  if (peer.learned.empty()) return;
  for (Route& route : routes_.routes())
    for (const LearnedAddress& l : peer.learned)
      if (route.first_hop == peer.id && route.line == l.line && route.to_plane == l.plane)
        route.to = l.address;
}

// A sealed control message to where a datagram came from, whatever the routes say.
void Forwarder::send_to(PeerState& peer, packet::InnerKind kind, packet::Bytes body, const Arrival& there,
                        base::Time now) {
  Route way;
  way.peer = way.first_hop = peer.id;
  way.id = packet::direct_path_id(options_.lines[there.line].plane, {});
  way.line = there.line;
  way.to = there.remote;
  Sender sender;
  if (!prepare(sender, peer, way, packet::kControlBucket, ids::Tier::Critical, 0, now)) return;
  packet::InnerHeader inner;
  inner.kind = kind;
  inner.tier = ids::Tier::Critical;
  const auto text = begin_seal(sender, packet::InnerHeader::kBytes + body.size());
  inner.serialize(text);
  std::copy(body.begin(), body.end(), text.begin() + packet::InnerHeader::kBytes);
  end_seal(sender, text);
}

}  // namespace qanat::forwarder
