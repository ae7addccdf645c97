// From a tenant's TUN to sealed trains: numbered as in DESIGN §3.
#include <algorithm>
#include <cstring>

#include "dataplane/forwarder/forwarder.hh"
#include "dataplane/packet/checksum.hh"
#include "dataplane/packet/ipv4_fragment.hh"
#include "dataplane/packet/mss.hh"
#include "dataplane/packet/segmenter.hh"

namespace qanat::forwarder {

using packet::DropReason;

void Forwarder::on_tun_packet(ids::Vni vni, packet::MutableBytes frame, base::Time now,
                              std::optional<ids::Tier> asked) {
  counters_.add(Counter::SuperPacketsRead);
  if (snapshot_ == nullptr) return drops_.count(DropReason::VniUnknown);
  if (frame.size() < packet::VirtioHeader::kBytes) return drops_.count(DropReason::InnerMalformed);

  // 1. Cut it, on paper.
  const auto virtio = packet::VirtioHeader::parse(frame);
  const auto body = frame.subspan(packet::VirtioHeader::kBytes);
  auto segmenter = packet::Segmenter::make(virtio, body, packet::kMaxPacketBytes);
  if (!segmenter) return drops_.count(segmenter.error());
  const packet::IpView& view = segmenter->view();
  const std::uint8_t bucket = packet::bucket_of(view);
  if (!options_.share.owns(bucket)) return hand_over(frame, vni, asked, options_.share.owner(bucket));

  // 2. May this box send it, and to whom does it go?
  const Passage* way_in = passage(vni, view);
  if (way_in == nullptr) return;
  const ids::NodeId endpoint = way_in->endpoint;
  if (way_in->acl != nullptr) {
    flows_->advance(now);
    if (!flows_->admits(vni, *way_in->acl, snapshot_->self(), endpoint, view, body))
      return drops_.count(DropReason::AclDenied);
  }
  PeerState* to = way_in->to;

  // 3. Which way?
  ids::Tier tier = asked ? *asked : classifier_.tier(vni, view, body, now);
  if (tier == ids::Tier::Critical) tier = policy_->admit(tier, vni, 2 * body.size(), now);  // copies count
  const std::uint32_t policy = routes_.policy(endpoint, tier);
  Route* route = choose(policy, bucket);
  Route* second = nullptr;
  if (tier == ids::Tier::Critical && route != nullptr) {
    const CopyPair& pair = copies(policy);
    route = pair.first;
    second = pair.second;
  }
  if (route == nullptr) return drops_.count(DropReason::NoPath);
  on_traffic(*to, now);
  if (to->session.current(now) == nullptr) {
    want(*to, now);
    return hold(*to, vni, frame);
  }
  const std::uint16_t inner_mtu = routes_.policies()[policy].inner_mtu;
  segmenter->cut_to(inner_mtu);
  const bool wide = segmenter->segment_bytes(0) > inner_mtu;
  if (wide && too_big_here(vni, *segmenter, body, inner_mtu, now)) return;
  if (view.protocol == packet::kProtocolTcp)
    packet::clamp_mss(body.first(view.total_bytes), view, inner_mtu, segmenter->checksum_partial());
  if (must_queue(*to, vni)) [[unlikely]] {
    const qos::ClassKey key{endpoint, vni};
    // What goes in two pieces waits whole.
    if (!wide || cut_of(*segmenter, inner_mtu).fragments == 1) {
      scheduler_.enqueue(tier, key, bucket, *segmenter, body.first(view.total_bytes), now);
      return pump(now);
    }
    // Fragments are packets, and wait as such.
    if (view.family == packet::IpFamily::V4 && (body[6] & 0x40) == 0) {
      counters_.add(Counter::PacketsInPieces, segmenter->count());
      std::vector<std::uint8_t> fragment;
      for (std::size_t i = 0; i < segmenter->count(); ++i) {
        scratch_.resize(segmenter->segment_bytes(i));
        segmenter->write_header(i, scratch_.data());
        const packet::Bytes payload = segmenter->payload(i);
        std::copy(payload.begin(), payload.end(),
                  scratch_.end() - static_cast<std::ptrdiff_t>(payload.size()));
        const auto one = packet::IpView::parse(scratch_);
        if (!one) return drops_.count(one.error());
        if (segmenter->checksum_partial()) packet::complete_checksum(*one, scratch_);
        std::size_t next = 0;
        do {
          next = packet::make_ipv4_fragment(scratch_, *one, inner_mtu, next, fragment);
          if (const auto part = packet::Segmenter::make({}, fragment, packet::kMaxPacketBytes))
            scheduler_.enqueue(tier, key, bucket, *part, fragment, now);
        } while (next != 0);
      }
      return pump(now);
    }
  }
  Sender sender;
  if (!prepare(sender, *to, *route, bucket, tier, view.ecn(), now)) {
    // The list's first relay has no session with us yet: it is asked for; this packet takes what else there is.
    Route* other = nullptr;
    for (const std::uint32_t r : routes_.policies()[policy].routes) {
      Route& candidate = routes_.routes()[r];
      if (&candidate != route && usable(candidate.probe) &&
          prepare(sender, *to, candidate, bucket, tier, view.ecn(), now)) {
        other = &candidate;
        break;
      }
    }
    if (other == nullptr) return drops_.count(DropReason::NoAdjacency);
  }
  Sender copy;
  const bool copied = second != nullptr && sender.route != second && second->mtu >= inner_mtu &&
                      prepare(copy, *to, *second, bucket, tier, view.ecn(), now);

  // 4. Segment and seal, each straight into its place in a train; `critical` twice, for two routes.
  packet::InnerHeader inner;
  inner.checksum_partial = segmenter->checksum_partial();
  inner.tier = tier;
  inner.vni = vni;
  const std::size_t count = segmenter->count();
  const Cut cut = wide ? cut_of(*segmenter, inner_mtu) : Cut{};
  inner.sequence = next_sequence(*to, tier, bucket, count * cut.fragments);
  inner.copied = copied;
  const std::uint64_t bytes = seal_segments(sender, inner, *segmenter, cut, !copied);
  if (copied) {
    seal_segments(copy, inner, *segmenter, cut, true);
    counters_.add(Counter::CopiesSent, count);
  }
  counters_.add(Counter::InnerPacketsSent, count);
  counters_.add(Counter::InnerBytesSent, bytes);
  to->sent_bytes += bytes;
}

const Forwarder::Passage* Forwarder::passage(ids::Vni vni, const packet::IpView& view) {
  Passage& p = passage_;
  if (p.known && p.vni == vni && p.source == view.source && p.destination == view.destination) return &p;
  const auto refuse = [this](DropReason reason) {
    drops_.count(reason);
    return nullptr;
  };
  const fib::Tenant* tenant = snapshot_->tenant(vni);
  if (tenant == nullptr) return refuse(DropReason::VniUnknown);
  if (tenant->member(snapshot_->self()) == nullptr) return refuse(DropReason::NotMember);
  if (tenant->owner(view.source) != snapshot_->self()) return refuse(DropReason::InnerSource);
  const auto endpoint = tenant->owner(view.destination);
  if (!endpoint || *endpoint == snapshot_->self()) return refuse(DropReason::InnerDestination);
  PeerState* to = peer(*endpoint);
  if (to == nullptr) return refuse(DropReason::NoPath);
  p = {true, vni, view.source, view.destination, tenant->acl(), *endpoint, to};
  return &p;
}

std::uint64_t Forwarder::seal_segments(const Sender& sender, packet::InnerHeader inner,
                                       const packet::Segmenter& segmenter, const Cut& cut, bool last) {
  const std::size_t header_bytes = segmenter.header_bytes();
  const std::size_t before = packet::InnerHeader::kBytes + header_bytes;
  const std::size_t count = segmenter.count();
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const packet::Bytes payload = segmenter.payload(i);
    const std::size_t size = header_bytes + payload.size();
    bytes += size;
    if (cut.inner_mtu != 0) [[unlikely]] {
      scratch_.resize(size);
      segmenter.write_header(i, scratch_.data());
      std::copy(payload.begin(), payload.end(), scratch_.begin() + static_cast<std::ptrdiff_t>(header_bytes));
      if (cut.fragments == 1)
        seal_in_pieces(sender, inner, scratch_, cut.first_id + static_cast<std::uint32_t>(i));
      else
        seal_fragments(sender, inner, scratch_, cut.inner_mtu);
    } else {
      // Each header goes right before its payload, over the one before, which is sealed: so the cipher reads one piece
      // and nothing is copied. Only the first has no room there.
      const auto there = begin_seal(sender, packet::InnerHeader::kBytes + size);
      const auto room = last ? segmenter.room_before(i, before) : packet::MutableBytes{};
      const auto text = room.empty() ? there : packet::MutableBytes{room.data(), there.size()};
      inner.serialize(text);
      segmenter.write_header(i, text.data() + packet::InnerHeader::kBytes);
      if (room.empty()) std::memcpy(text.data() + before, payload.data(), payload.size());
      end_seal(sender, text);
    }
    inner.sequence = (inner.sequence + cut.fragments) & packet::InnerHeader::kMaxSequence;
  }
  sender.route->packets += count;
  sender.route->bytes += bytes;
  return bytes;
}

Route* Forwarder::choose(std::uint32_t policy) {
  if (policy == path::kNoPath) return nullptr;
  const std::uint32_t probe = chosen(policy);
  return probe == path::kNoPath ? nullptr : routes_.route(policy, probe);
}

// A flow keeps its route while weights and what lives stay as they are.
Route* Forwarder::choose(std::uint32_t policy, std::uint8_t bucket) {
  if (policy == path::kNoPath || !routes_.policies()[policy].weighted) return choose(policy);
  const auto weight = [this](std::uint32_t r) -> std::uint64_t {
    const Route& route = routes_.routes()[r];
    return usable(route.probe) ? route.weight : 0;
  };
  std::uint64_t total = 0;
  for (const std::uint32_t r : routes_.policies()[policy].routes) total += weight(r);
  std::uint64_t at = (2 * bucket + 1) * total;  // 512ths of it
  for (const std::uint32_t r : routes_.policies()[policy].routes) {
    if (at < 512 * weight(r)) return &routes_.routes()[r];
    at -= 512 * weight(r);
  }
  return choose(policy);
}

bool Forwarder::prepare(Sender& sender, PeerState& peer, Route& route, std::uint8_t bucket, ids::Tier tier,
                        std::uint8_t ecn, base::Time now) {
  if (!options_.share.owns(bucket)) return false;  // its nonces are another worker's
  sender.keys = peer.session.current(now);
  if (sender.keys == nullptr) return false;
  sender.link = nullptr;
  if (!route.direct) {
    PeerState* hop = this->peer(route.first_hop);
    if (hop == nullptr) return false;
    sender.link = hop->session.current(now);
    if (sender.link == nullptr) {
      want(*hop, now);
      return false;
    }
  }
  sender.route = &route;
  sender.bucket = bucket;
  sender.space = &sender.keys->send_space(route.lane, group_of(bucket));
  sender.train = {route.to, route.line, static_cast<std::uint8_t>(ids::dscp(tier) << 2 | ecn),
                  group_of(bucket)};
  return true;
}

// What has to be put together is copied to its place and sealed there in one piece: 8 % cheaper than sealing two pieces
// from where they are, since the cipher starts once and meets no odd block in the middle.
packet::MutableBytes Forwarder::begin_seal(const Sender& sender, std::size_t plain_bytes) {
  const std::size_t before = sender.route->overhead + packet::kSealedHeaderBytes;
  slot_ = trains_.reserve(sender.train, before + plain_bytes + packet::kTagBytes);
  return slot_.subspan(before, plain_bytes);
}

void Forwarder::end_seal(const Sender& sender, packet::Bytes text) {
  sender.keys->seal(sender.bucket, *sender.space, {&text, 1}, slot_.subspan(sender.route->overhead));
  if (sender.link != nullptr) sender.link->seal_link(sender.bucket, sender.route->header, slot_);
  trains_.commit();
}

// A box that starts again is taken at its word: its streams begin somewhere else (path/eliminator.hh).
std::uint64_t Forwarder::next_sequence(PeerState& peer, ids::Tier tier, std::uint8_t bucket,
                                       std::size_t count) {
  if (peer.stream == nullptr) {
    peer.stream = std::make_unique<std::array<std::array<std::uint64_t, 256>, ids::kTierCount>>();
    const std::uint64_t begin = std::uint64_t{handshaker_.random_u32()} << 16;
    for (auto& buckets : *peer.stream) buckets.fill(begin);
  }
  std::uint64_t& next = (*peer.stream)[static_cast<std::size_t>(tier)][bucket];
  const std::uint64_t first = next & packet::InnerHeader::kMaxSequence;
  next += count;
  return first;
}

void Forwarder::hold(PeerState& peer, ids::Vni vni, packet::Bytes frame) {
  if (peer.waiting.size() == PeerState::kMaxWaiting) return drops_.count(DropReason::NoSession);
  peer.waiting.push_back({vni, {frame.begin(), frame.end()}});
  counters_.add(Counter::PacketsQueued);
}

}  // namespace qanat::forwarder
