// From trains to opened packets, and from relayed datagrams to the next hop.
#include <algorithm>

#include "dataplane/forwarder/forwarder.hh"
#include "dataplane/packet/probe.hh"

namespace qanat::forwarder {

using packet::DatagramType;
using packet::DropReason;

void Forwarder::on_datagrams(std::span<const Datagrams> trains, base::Time now) {
  if (flows_ != nullptr) flows_->advance(now);
  for (const Datagrams& train : trains) {
    const Arrival arrival{train.remote, train.line, train.traffic_class, nullptr};
    for (std::size_t at = 0; at < train.bytes.size(); at += train.segment_bytes)
      on_datagram(train.bytes.subspan(at, std::min(train.segment_bytes, train.bytes.size() - at)), arrival,
                  train, now);
    close_transit();
  }
  send_acks(now);
  if (!managed_.empty()) pump(now);
}

void Forwarder::on_datagram(packet::MutableBytes datagram, const Arrival& arrival, const Datagrams& train,
                            base::Time now) {
  if (snapshot_ == nullptr) return drops_.count(DropReason::UnknownReceiver);
  const auto type = packet::classify(datagram);
  if (!type) return drops_.count(type.error());
  // Replay windows and link counters of a bucket are its owner's; handshakes are the lead's.
  const bool carries_bucket = *type == DatagramType::Sealed || *type == DatagramType::Routed;
  const unsigned owner = carries_bucket ? options_.share.owner(datagram[1]) : 0;
  if (owner != options_.share.index) return hand_over(datagram, arrival, owner);
  if (*type == DatagramType::Routed) return on_routed(datagram, arrival, train, now);
  on_inner(datagram, arrival, now);
}

// A datagram that is ours to process: arrived directly, or out of a list that ends here.
void Forwarder::on_inner(packet::MutableBytes datagram, const Arrival& arrival, base::Time now) {
  switch (static_cast<DatagramType>(datagram[0])) {
    case DatagramType::Sealed: return on_sealed(datagram, arrival, now);
    case DatagramType::HandshakeInit: return on_initiation(datagram, arrival, now);
    case DatagramType::HandshakeResponse: return on_response(datagram, arrival, now);
    case DatagramType::CookieReply: return on_cookie(datagram, arrival, now);
    case DatagramType::Routed: break;
  }
  drops_.count(DropReason::Malformed);
}

void Forwarder::on_sealed(packet::MutableBytes datagram, const Arrival& arrival, base::Time now) {
  const auto header = packet::SealedHeader::parse(datagram);
  if (!header) return drops_.count(header.error());
  PeerState* from = indices_.find(header->receiver);
  crypto::SessionKeys* keys = from == nullptr ? nullptr : from->session.receiving(header->receiver, now);
  if (keys == nullptr) {
    drops_.count(DropReason::UnknownReceiver);
    // A neighbour with keys of our earlier life: let us meet again.
    if (const auto it = by_address_.find(arrival.remote);
        it != by_address_.end() && !it->second->session.established(now))
      want(*it->second, now);
    return;
  }
  const auto plain = keys->open(*header, datagram);
  if (!plain) return drops_.count(plain.error());
  if (from->session.confirm(header->receiver)) on_established(*from, now);
  if (header->bucket == packet::kControlBucket && arrival.neighbour == nullptr)
    note_source(*from, arrival, now);

  const auto inner = packet::InnerHeader::parse(*plain);
  if (!inner) return drops_.count(inner.error());
  const auto body = plain->subspan(packet::InnerHeader::kBytes);
  if (inner->ack_wanted || !trackers_.empty())
    note_arrival(*from, *header, inner->ack_wanted, (arrival.traffic_class & 3) == 3, now);
  switch (inner->kind) {
    case packet::InnerKind::Packet: {
      on_traffic(*from, now);
      if (!decoder_.idle() && inner->copied) {
        const auto rebuilt = decoder_.on_packet({from->id, inner->tier, header->bucket}, *inner, body, now);
        accept_protected(*from, *inner, *header, body, arrival.traffic_class & 3, keys->created(), now);
        return accept_rebuilt(*from, rebuilt, *header, keys->created(), now);
      }
      if (inner->copied || inner->hold != 0 || !resequencer_.idle())
        return accept_protected(*from, *inner, *header, body, arrival.traffic_class & 3, keys->created(),
                                now);
      return delivery_.accept(from->id, *inner, body, header->space, header->counter,
                              arrival.traffic_class & 3);
    }
    case packet::InnerKind::Probe: {
      const auto probe = packet::Probe::parse(body);
      if (!probe) return drops_.count(probe.error());
      counters_.add(Counter::ProbesReceived);
      prober_.on_probe(from->id, *probe, now);
      return drain_prober_events();
    }
    case packet::InnerKind::Keepalive: return;
    case packet::InnerKind::Fragment:
      on_traffic(*from, now);
      return on_fragment(*from, *inner, *header, body, arrival.traffic_class & 3, keys->created(), now);
    case packet::InnerKind::TooBig: return on_too_big(*from, body, now);
    case packet::InnerKind::Challenge: return on_challenge(*from, body, arrival, now);
    case packet::InnerKind::ChallengeReply: return on_challenge_reply(*from, body, arrival, now);
    case packet::InnerKind::Ack: return on_ack(*from, body, now);
    case packet::InnerKind::Repair: return on_repair(*from, *inner, *header, body, keys->created(), now);
    case packet::InnerKind::Mended: return on_mended(*from, *inner, body);
  }
}

void Forwarder::on_routed(packet::MutableBytes datagram, const Arrival& arrival, const Datagrams& train,
                          base::Time now) {
  // 1. A neighbour's valid seal, fresh, from where that neighbour lives.
  const auto header = packet::LinkHeader::parse(datagram);
  if (!header) return drops_.count(header.error());
  PeerState* neighbour = indices_.find(header->receiver);
  crypto::SessionKeys* keys =
      neighbour == nullptr ? nullptr : neighbour->session.receiving(header->receiver, now);
  if (keys == nullptr) return drops_.count(DropReason::UnknownReceiver);
  auto route = keys->open_link(*header, datagram);
  if (!route) return drops_.count(route.error());
  const bool any_port = options_.neighbours_ports && header->bucket != packet::kControlBucket;
  if (std::none_of(
          neighbour->addresses.begin(), neighbour->addresses.end(), [&](const packet::UdpAddress& a) {
            return a.address == arrival.remote.address && (any_port || a.port == arrival.remote.port);
          }))
    return drops_.count(DropReason::LinkSourceMismatch);
  if (neighbour->session.confirm(header->receiver)) on_established(*neighbour, now);
  // 2. The list's place for it.
  if (route->previous_hop() != neighbour->id) return drops_.count(DropReason::PreviousHop);
  if (route->current().node() != snapshot_->self()) return drops_.count(DropReason::Pointer);
  // 3. Ours, or somebody else's.
  if (route->at_endpoint()) {
    Arrival inner = arrival;
    inner.neighbour = neighbour;
    const auto type = packet::classify(datagram.subspan(header->inner_offset()), true);
    if (!type) return drops_.count(type.error());
    return on_inner(datagram.subspan(header->inner_offset()), inner, now);
  }
  if (const auto dropped = transit(datagram, *route, header->bucket, arrival, train, now)) {
    drops_.count(*dropped);
    close_transit();
  }
}

std::optional<DropReason> Forwarder::transit(packet::MutableBytes datagram, packet::RouteHeader& route,
                                             std::uint8_t bucket, const Arrival& arrival,
                                             const Datagrams& train, base::Time now) {
  // 1. The list's right to pass here.
  if (!snapshot_->relay()) return DropReason::NotARelay;
  if (route.expiry_unix_s + packet::kExpirySlackSeconds < unix_now_) return DropReason::Expired;
  if (snapshot_->denied(route.headend)) return DropReason::DeniedHeadend;
  const fib::RelayKey* key = snapshot_->relay_key(route.token_epoch, unix_now_);
  if (key == nullptr) return DropReason::Expired;
  if (!tokens_.verify(key->key, route, route.pointer)) return DropReason::Token;
  if (route.hop_limit <= 1) return DropReason::HopLimit;
  // 2. The way on: End.X names our plane.
  const ids::NodeId next = route.segments[route.pointer + 1].node();
  const Route* way =
      routes_.transit(next, route.current().plane(), [this](std::uint32_t probe) { return usable(probe); });
  PeerState* hop = peer(next);
  if (way == nullptr || hop == nullptr) return DropReason::NoAdjacency;
  crypto::SessionKeys* keys = hop->session.current(now);
  if (keys == nullptr) {
    want(*hop, now);
    return DropReason::NoAdjacency;
  }
  if (const PathShare path = share_of(way->probe); path.mtu_known && datagram.size() > path.mtu) {
    if (bucket == packet::kControlBucket) tell_headend(route, path.mtu, now);
    return DropReason::Mtu;
  }
  // 3. Resealed where it lies; neighbours in memory that go the same way stay one train.
  route.pointer = static_cast<std::uint8_t>(route.pointer + 1);
  route.hop_limit = static_cast<std::uint8_t>(route.hop_limit - 1);
  keys->seal_link(bucket, route, datagram);
  counters_.add(Counter::TransitPackets);
  counters_.add(Counter::TransitBytes, datagram.size());
  const TrainKey train_key{way->to, way->line, arrival.traffic_class, 0};
  Datagrams& run = run_.train;
  const bool joins = run_.open && run_.key == train_key &&
                     run.bytes.data() + run.bytes.size() == datagram.data() &&
                     run.bytes.size() % run.segment_bytes == 0 && datagram.size() <= run.segment_bytes &&
                     run.count() < kMaxTrainSegments;
  if (joins) {
    run.bytes = {run.bytes.data(), run.bytes.size() + datagram.size()};
    return std::nullopt;
  }
  close_transit();
  run_ = {
      {datagram, std::min(datagram.size(), train.segment_bytes), way->to, way->line, arrival.traffic_class},
      train_key,
      true};
  return std::nullopt;
}

void Forwarder::close_transit() {
  if (run_.open) trains_.add(run_.train);
  run_.open = false;
}

}  // namespace qanat::forwarder
