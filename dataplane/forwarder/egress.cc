// What has to wait before it is sealed: packets of managed peers, and of tenants with limits. Queued by tier as copies
// of super-packets with a cursor; each segment that may leave takes the way that is best for it at that moment.
//
//   on_tun_packet ─ enqueue ─> TierScheduler ─┐
//   an ack, a timer, room ── pump ────────────┴─> lost ones again │ next segment ─> pipe ─> seal, remember ─> transmit()
#include <algorithm>
#include <cstring>

#include "dataplane/forwarder/forwarder.hh"
#include "dataplane/packet/ecn.hh"

namespace qanat::forwarder {

using ids::Tier;
using packet::DropReason;

namespace {

constexpr std::size_t kPumpBytes = 256 * 1024;  // at once; then what has arrived meanwhile is looked at
constexpr base::Duration kLookAgain =
    std::chrono::microseconds{250};  // when a better pipe is worth waiting for

constexpr base::Duration kTryAgain = std::chrono::milliseconds{5};  // without keys

// Of the datagram's IP and UDP headers.
std::size_t around(const Route& route) { return route.to.address.family == packet::IpFamily::V4 ? 28 : 48; }

}  // namespace

bool Forwarder::must_queue(const PeerState& to, ids::Vni vni) const {
  if (to.managed != nullptr && (!to.managed->draining || backlog(to.id) != 0)) return true;
  return policy_->queues(vni);
}

std::size_t Forwarder::backlog(ids::NodeId peer) const {
  if (scheduler_.empty()) return 0;
  std::size_t bytes = 0;
  for (const Tier tier : ids::kTiers) bytes += scheduler_.backlog_bytes(tier, peer);
  return bytes;
}

// Of a flow whose policy is spread by weights.
std::optional<std::size_t> Forwarder::pinned_pipe(const PeerState& to, const qos::QueuedPacket& packet) {
  const std::uint32_t policy = routes_.policy(to.id, packet.tier);
  if (policy == path::kNoPath || !routes_.policies()[policy].weighted) return std::nullopt;
  const Route* route = choose(policy, packet.bucket);
  return route == nullptr ? std::nullopt : to.managed->pipe_of(route->probe);
}

// The way of a segment that waits; nothing: not yet. A way without a route: it can go nowhere any more.
std::optional<Forwarder::Way> Forwarder::way_of(const qos::QueuedPacket& packet, base::Time now) {
  PeerState* to = peer(packet.key.peer);
  if (to == nullptr) return Way{};
  Way way{to, nullptr, std::nullopt};
  if (ManagedPeer* managed = to->managed.get()) {
    refresh_pipes(*to, now);
    if (managed->usable != 0) {
      const std::size_t mine = scheduler_.backlog_bytes(packet.tier, to->id);
      const std::size_t others = packet.tier == Tier::Scavenger ? backlog(to->id) - mine : 0;
      way.pipe = managed->bundle.choose(packet.tier, mine, others, now, pinned_pipe(*to, packet));
      if (way.pipe) way.route = managed->pipes[*way.pipe].routes[static_cast<std::size_t>(packet.tier)];
      const bool yields =
          packet.tier == Tier::Scavenger && way.pipe && !managed->pipes[*way.pipe].yielder.ready(now);
      if (!way.pipe || yields) {
        managed->limited = now;
        return std::nullopt;
      }
    }
  }
  if (way.route == nullptr) {
    way.pipe.reset();
    way.route = choose(routes_.policy(to->id, packet.tier), packet.bucket);
  }
  if (way.route == nullptr) return way;
  if (const qos::TokenBucket* line = policy_->line(way.route->line); line != nullptr && !line->ready(now)) {
    if (to->managed != nullptr) to->managed->limited = now;
    return std::nullopt;
  }
  return way;
}

void Forwarder::pump(base::Time now) {
  for (PeerState* to : managed_) {
    resend_lost(*to, now);
    send_repairs(*to, now);
  }
  if (scheduler_.empty()) return;
  const qos::TierScheduler::Eligible eligible = [this, now](const qos::QueuedPacket& packet) {
    return way_of(packet, now).has_value();
  };
  while (trains_.bytes() < kPumpBytes) {
    const auto next = scheduler_.next(now, eligible);
    if (!next) {
      next_pump_ = next_room(now);
      return;
    }
    qos::QueuedPacket& packet = *next->packet;
    const auto way = way_of(packet, now);
    if (!way || way->route == nullptr) {
      scheduler_.refuse(*next, DropReason::NoPath);
      continue;
    }
    packet::InnerHeader inner;
    inner.checksum_partial = packet.segmenter.checksum_partial();
    inner.tier = packet.tier;
    inner.vni = packet.key.vni;
    inner.sequence = next_sequence(*way->peer, packet.tier, packet.bucket, 1);
    const std::size_t size = packet.segment_bytes();
    std::size_t wire = 0;
    if (packet.tier == Tier::Critical)
      wire = seal_copies(*way, packet, inner, now);
    else
      wire = seal_queued(*way, packet, inner, next->mark, now);
    if (wire == 0) {
      scheduler_.refuse(*next, way->peer->session.current(now) == nullptr ? DropReason::NoSession
                                                                          : DropReason::NoAdjacency);
      continue;
    }
    counters_.add(Counter::InnerPacketsSent);
    counters_.add(Counter::InnerBytesSent, size);
    way->peer->sent_bytes += size;
    scheduler_.sent(*next, wire, now);
    if (way->peer->managed != nullptr && way->peer->managed->bundle.repair_due())
      send_repairs(*way->peer, now);
  }
  next_pump_ = now;
}

// Both routes of `critical`, each by its pipe if it has one. The packet's own way counts where no pair is known.
std::size_t Forwarder::seal_copies(const Way& way, qos::QueuedPacket& packet, packet::InnerHeader inner,
                                   base::Time now) {
  const std::uint32_t policy = routes_.policy(way.peer->id, Tier::Critical);
  const CopyPair pair = policy == path::kNoPath ? CopyPair{} : copies(policy);
  if (pair.first == nullptr || pair.second == nullptr || pair.second->mtu < packet.segment_bytes())
    return seal_queued(way, packet, inner, false, now);
  inner.copied = true;
  std::size_t wire = 0;
  for (Route* route : {pair.first, pair.second}) {
    Way one{way.peer, route, std::nullopt};
    if (way.peer->managed != nullptr) one.pipe = way.peer->managed->pipe_of(route->probe);
    wire += seal_queued(one, packet, inner, false, now);
  }
  counters_.add(Counter::CopiesSent);
  return wire;
}

// Seals the segment that goes next; its bytes on the wire, 0 when there are no keys for it.
std::size_t Forwarder::seal_queued(const Way& way, qos::QueuedPacket& packet, packet::InnerHeader inner,
                                   bool mark, base::Time now) {
  const packet::Segmenter& segmenter = packet.segmenter;
  Sender sender;
  if (!prepare(sender, *way.peer, *way.route, packet.bucket, packet.tier, segmenter.view().ecn(), now))
    return 0;
  ManagedPeer* managed = way.pipe ? way.peer->managed.get() : nullptr;
  if (packet.segment_bytes() > way.route->mtu) [[unlikely]] {
    // In two pieces, which nobody acknowledges: their path is narrow, and what is this wide is rare there.
    scratch_.resize(packet.segment_bytes());
    segmenter.write_header(packet.next, scratch_.data());
    const packet::Bytes rest = segmenter.payload(packet.next);
    std::copy(rest.begin(), rest.end(), scratch_.end() - static_cast<std::ptrdiff_t>(rest.size()));
    seal_in_pieces(sender, inner, scratch_, next_fragment_++);
    const std::size_t wire =
        scratch_.size() + 2 * (packet::kSealedHeaderBytes + packet::kTagBytes + way.route->overhead +
                               packet::InnerHeader::kBytes + around(*way.route));
    if (qos::TokenBucket* line = policy_->line(way.route->line)) line->charge(wire, now);
    ++way.route->packets;
    way.route->bytes += scratch_.size();
    return wire;
  }
  if (managed != nullptr) {
    inner.ack_wanted = true;
    inner.copied = inner.copied || managed->bundle.copied(packet.tier);
    inner.hold = managed->bundle.hold(packet.tier);
  }
  const packet::Bytes payload = segmenter.payload(packet.next);
  const std::size_t size = segmenter.header_bytes() + payload.size();
  const auto text = begin_seal(sender, packet::InnerHeader::kBytes + size);
  inner.serialize(text);
  const auto body = text.subspan(packet::InnerHeader::kBytes);
  segmenter.write_header(packet.next, body.data());
  std::memcpy(body.data() + segmenter.header_bytes(), payload.data(), payload.size());
  if (mark) packet::carry_congestion(body);
  const std::size_t wire = slot_.size() + around(*way.route);
  if (managed != nullptr) {
    const std::size_t waiting = backlog(way.peer->id);
    managed->bundle.sent(*way.pipe, {sender.keys->remote_index(), sender.space->space}, sender.space->next,
                         wire, packet.tier, packet.bucket, text, waiting > size ? waiting - size : 0, now,
                         slot_.size() + path::kRepairOverhead <= share_of(way.route->probe).mtu);
    if (packet.tier == Tier::Scavenger) managed->pipes[*way.pipe].yielder.on_sent(wire, now);
  }
  end_seal(sender, text);
  if (qos::TokenBucket* line = policy_->line(way.route->line)) line->charge(wire, now);
  ++way.route->packets;
  way.route->bytes += size;
  return wire;
}

void Forwarder::resend_lost(PeerState& to, base::Time now) {
  ManagedPeer& managed = *to.managed;
  refresh_pipes(to, now);
  if (now < managed.blocked) return;
  while (managed.bundle.lost_waiting() != 0 && trains_.bytes() < kPumpBytes) {
    const auto again = managed.bundle.next_lost(now);
    if (!again) return;
    Route* route = managed.pipes[again->pipe].routes[static_cast<std::size_t>(again->tier)];
    Sender sender;
    if (route == nullptr || !prepare(sender, to, *route, again->bucket, again->tier, 0, now)) {
      managed.blocked = now + kTryAgain;
      return;
    }
    const auto text = begin_seal(sender, again->plain.size());
    std::copy(again->plain.begin(), again->plain.end(), text.begin());
    const std::size_t wire = slot_.size() + around(*route);
    managed.bundle.resent(*again, {sender.keys->remote_index(), sender.space->space}, sender.space->next,
                          wire, now);
    end_seal(sender, text);
    if (qos::TokenBucket* line = policy_->line(route->line)) line->charge(wire, now);
    counters_.add(Counter::PacketsResent);
  }
}

void Forwarder::send_repairs(PeerState& to, base::Time now) {
  ManagedPeer& managed = *to.managed;
  if (!managed.bundle.repair_due() || now < managed.blocked) return;
  refresh_pipes(to, now);
  while (const auto repair = managed.bundle.next_repair(now)) {
    Route* route = managed.pipes[repair->pipe].routes[static_cast<std::size_t>(repair->tier)];
    Sender sender;
    if (route == nullptr || !prepare(sender, to, *route, repair->bucket, repair->tier, 0, now)) {
      managed.blocked = now + kTryAgain;
      return;
    }
    packet::InnerHeader inner;
    inner.kind = packet::InnerKind::Repair;
    inner.ack_wanted = true;
    inner.tier = repair->tier;
    const auto text = begin_seal(sender, packet::InnerHeader::kBytes + repair->body.size());
    inner.serialize(text);
    std::copy(repair->body.begin(), repair->body.end(), text.begin() + packet::InnerHeader::kBytes);
    const std::size_t wire = slot_.size() + around(*route);
    managed.bundle.repair_sent(*repair, {sender.keys->remote_index(), sender.space->space},
                               sender.space->next, wire, now);
    end_seal(sender, text);
    if (qos::TokenBucket* line = policy_->line(route->line)) line->charge(wire, now);
    counters_.add(Counter::RepairsSent);
  }
}

// When something that waits may find room, as far as pacers and lines can tell; acks come when they come.
base::Time Forwarder::next_room(base::Time now) {
  base::Time next = scheduler_.next_timeout();
  bool unmanaged = false;
  for (const PeerState* to : managed_) {
    const std::size_t waiting = backlog(to->id);
    if (waiting == 0) continue;
    ManagedPeer& managed = *to->managed;
    const bool patient = waiting == scheduler_.backlog_bytes(Tier::Scavenger, to->id);
    for (std::size_t i = 0; i < managed.pipes.size(); ++i) {
      ManagedPipe& pipe = managed.pipes[i];
      if (pipe.identity == 0 || !pipe.lives) continue;
      base::Time at = managed.bundle.pipe(i).ready_at();
      if (at == base::Time::max()) continue;
      const Route* route = pipe.routes[static_cast<std::size_t>(Tier::Bulk)];
      if (route != nullptr)
        if (const qos::TokenBucket* line = policy_->line(route->line)) at = std::max(at, line->ready_at());
      if (patient) at = std::max(at, pipe.yielder.ready_at(now));
      next = std::min(next, std::max(at, now + kLookAgain));
    }
    unmanaged = unmanaged || managed.usable == 0;
  }
  if (policy_->shapes_lines() && (unmanaged || managed_.empty()))
    for (std::size_t i = 0; i < options_.lines.size(); ++i)
      if (const qos::TokenBucket* line = policy_->line(i))
        next = std::min(next, std::max(line->ready_at(), now + kLookAgain));
  return next;
}

base::Time Forwarder::next_egress() const {
  base::Time next = base::Time::max();
  for (const PeerState* to : managed_)
    next = std::min(next, std::max(to->managed->bundle.next_timeout(false), to->managed->blocked));
  return scheduler_.empty() ? next : std::min(next, next_pump_);
}

}  // namespace qanat::forwarder
