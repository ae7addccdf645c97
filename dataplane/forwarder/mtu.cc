// What is larger than its path: cut (TCP super-packets: ingress.cc), sent in two pieces, fragmented, or refused with a word
// to its sender (DESIGN §3). And what relays tell headends of their lists.
#include <algorithm>

#include "dataplane/forwarder/forwarder.hh"
#include "dataplane/packet/byte_order.hh"
#include "dataplane/packet/checksum.hh"
#include "dataplane/packet/icmp_too_big.hh"
#include "dataplane/packet/ipv4_fragment.hh"

namespace qanat::forwarder {

using packet::DropReason;

namespace {

constexpr std::size_t kLeastIpv6Mtu = 1280;  // RFC 8200 §5: no answer may ask for less, so it has to arrive
constexpr unsigned kMostAnswersPerSecond = 500;  // RFC 4443 §2.4 (f)
constexpr base::Duration kTellEvery = std::chrono::milliseconds{100};
constexpr std::size_t kTooBigHeader = 4;

bool may_not_be_cut(packet::Bytes packet, const packet::IpView& view) {
  return view.family == packet::IpFamily::V6 || (packet[6] & 0x40) != 0;
}

}  // namespace

bool Forwarder::too_big_here(ids::Vni vni, packet::Segmenter& segmenter, packet::Bytes packet,
                             std::uint16_t inner_mtu, base::Time now) {
  const packet::IpView& view = segmenter.view();
  const std::size_t size = segmenter.segment_bytes(0);
  if (!may_not_be_cut(packet, view)) return false;
  if (size <= kLeastIpv6Mtu && size <= most_in_pieces(inner_mtu)) return false;
  drops_.count(DropReason::Mtu);
  if (now - answers_window_ >= std::chrono::seconds{1}) {
    answers_window_ = now;
    answers_count_ = 0;
  }
  if (++answers_count_ > kMostAnswersPerSecond) return true;
  const auto mtu = static_cast<std::uint16_t>(
      view.family == packet::IpFamily::V6 ? std::max<std::size_t>(inner_mtu, kLeastIpv6Mtu) : inner_mtu);
  auto answer = packet::make_too_big(packet.first(view.total_bytes), view, mtu);
  if (answer.empty()) return true;
  counters_.add(Counter::TooBigAnswered);
  answers_.push_back(std::move(answer));
  delivery_.accept_own(vni, answers_.back());
  return true;
}

// Of a super-packet whose segments are larger than `inner_mtu`, and may be cut.
Forwarder::Cut Forwarder::cut_of(const packet::Segmenter& segmenter, std::uint16_t inner_mtu) {
  Cut cut{inner_mtu, 1, next_fragment_};
  const std::size_t size = segmenter.segment_bytes(0);
  if (size <= most_in_pieces(inner_mtu)) {
    next_fragment_ += static_cast<std::uint32_t>(segmenter.count());
    return cut;
  }
  packet::IpView one = segmenter.view();
  one.total_bytes = static_cast<std::uint16_t>(size);
  cut.fragments = packet::count_ipv4_fragments(one, inner_mtu);
  return cut;
}

// The pieces are as near in size as can be: neither is small enough to be treated better than the other on its way.
void Forwarder::seal_in_pieces(const Sender& sender, const packet::InnerHeader& inner, packet::Bytes packet,
                               std::uint32_t fragment) {
  counters_.add(Counter::PacketsInPieces);
  packet::InnerHeader piece = inner;
  piece.kind = packet::InnerKind::Fragment;
  FragmentHeader header{fragment, static_cast<std::uint16_t>(packet.size()), 0};
  const std::size_t half = (packet.size() + 1) / 2;
  for (const packet::Bytes part : {packet.first(half), packet.subspan(half)}) {
    const auto text = begin_seal(sender, packet::InnerHeader::kBytes + FragmentHeader::kBytes + part.size());
    piece.serialize(text);
    header.serialize(text.subspan(packet::InnerHeader::kBytes));
    std::copy(part.begin(), part.end(), text.begin() + packet::InnerHeader::kBytes + FragmentHeader::kBytes);
    end_seal(sender, text);
    header.offset = static_cast<std::uint16_t>(half);
  }
}

// `whole`: an IPv4 packet without DF. Fragments are packets of their own; the checksum that was to span them is completed.
void Forwarder::seal_fragments(const Sender& sender, packet::InnerHeader inner, packet::MutableBytes whole,
                               std::uint16_t inner_mtu) {
  const auto view = packet::IpView::parse(whole);
  if (!view) return drops_.count(view.error());
  counters_.add(Counter::PacketsInPieces);
  if (inner.checksum_partial) packet::complete_checksum(*view, whole);
  inner.checksum_partial = false;
  std::vector<std::uint8_t> fragment;
  std::size_t next = 0;
  do {
    next = packet::make_ipv4_fragment(whole, *view, inner_mtu, next, fragment);
    const auto text = begin_seal(sender, packet::InnerHeader::kBytes + fragment.size());
    inner.serialize(text);
    std::copy(fragment.begin(), fragment.end(), text.begin() + packet::InnerHeader::kBytes);
    end_seal(sender, text);
    inner.sequence = (inner.sequence + 1) & packet::InnerHeader::kMaxSequence;
  } while (next != 0);
}

void Forwarder::on_fragment(PeerState& from, const packet::InnerHeader& inner,
                            const packet::SealedHeader& header, packet::Bytes body, std::uint8_t ecn,
                            base::Time session, base::Time now) {
  unsigned given_up = 0;
  const auto whole = reassembler_.add(from.id, header.bucket, body, now, given_up);
  drops_.count(DropReason::FragmentTimeout, given_up);
  if (!whole) return drops_.count(whole.error());
  if (!*whole) return;
  if (inner.copied && !first_copy(from, inner, header.bucket, session, now)) return;
  delivery_.accept(from.id, inner, **whole, header.space, header.counter, ecn);
}

//    | segments n (8) | zero (8)      | largest datagram (16)         |
//    | segment[0] (32) … segment[n−1] (32)                           |
// Told by a relay of the list to its headend, sealed end to end; asked for by padded probes alone, at most every 100 ms.
void Forwarder::tell_headend(const packet::RouteHeader& route, std::size_t datagram_bytes, base::Time now) {
  PeerState* to = peer(route.headend);
  if (to == nullptr || now - to->told_too_big < kTellEvery) return;
  Route* way = choose(routes_.policy(to->id, ids::Tier::Critical));
  Sender sender;
  if (way == nullptr || !prepare(sender, *to, *way, packet::kControlBucket, ids::Tier::Critical, 0, now))
    return;
  to->told_too_big = now;
  packet::InnerHeader inner;
  inner.kind = packet::InnerKind::TooBig;
  inner.tier = ids::Tier::Critical;
  const auto text = begin_seal(sender, packet::InnerHeader::kBytes + kTooBigHeader + 4u * route.count);
  inner.serialize(text);
  const auto body = text.subspan(packet::InnerHeader::kBytes);
  body[0] = route.count;
  body[1] = 0;
  packet::store_be16(&body[2], static_cast<std::uint16_t>(datagram_bytes));
  for (std::size_t i = 0; i < route.count; ++i)
    packet::store_be32(&body[kTooBigHeader + 4 * i], route.segments[i].value);
  end_seal(sender, text);
}

void Forwarder::on_too_big(PeerState& from, packet::Bytes body, base::Time now) {
  if (body.size() < kTooBigHeader || body[0] < packet::kMinSegments || body[0] > packet::kMaxSegments ||
      body.size() < kTooBigHeader + 4u * body[0])
    return drops_.count(DropReason::InnerMalformed);
  std::array<ids::Sid, packet::kMaxSegments> segments{};
  for (std::size_t i = 0; i < body[0]; ++i)
    segments[i] = ids::Sid{packet::load_be32(&body[kTooBigHeader + 4 * i])};
  const std::span<const ids::Sid> list(segments.data(), body[0]);
  // Only a relay of a list of ours has a say in it.
  Route* route = routes_.list(list);
  const bool relays =
      std::any_of(list.begin(), list.end() - 1, [&](ids::Sid sid) { return sid.node() == from.id; });
  if (route == nullptr || !relays) return drops_.count(DropReason::NotARelay);
  prober_.on_too_big(route->probe, packet::load_be16(&body[2]), now);
  drain_prober_events();
}

}  // namespace qanat::forwarder
