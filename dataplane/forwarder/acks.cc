// The receiving half of managed paths: saying what arrived, and putting in order what took several ways.
#include <algorithm>

#include "dataplane/forwarder/forwarder.hh"

namespace qanat::forwarder {

using packet::DropReason;

namespace {

constexpr std::size_t kMostTrackers = 4096;
constexpr base::Duration kTrackerIdle = std::chrono::minutes{1};
// Delivery orders a batch by (space, counter): what was put in order here has a space of its own, which no peer names.
constexpr std::uint32_t kReleasedSpace = 0xfffffffe;

}  // namespace

void Forwarder::note_arrival(const PeerState& from, const packet::SealedHeader& header, bool ack_wanted,
                             bool ce, base::Time now) {
  const std::uint64_t key = std::uint64_t{header.receiver} << 32 | header.space;
  auto it = trackers_.find(key);
  if (it == trackers_.end()) {
    if (!ack_wanted || trackers_.size() == kMostTrackers) return;
    it = trackers_.try_emplace(key, from.id, path::AckTracker(header.receiver, header.space)).first;
    if (options_.share.lead())
      if (const std::uint32_t policy = routes_.policy(from.id, ids::Tier::Critical); policy != path::kNoPath)
        if (const std::uint32_t probe = chosen(policy); probe != path::kNoPath)
          it->second.tracker.set_rtt(prober_.view(probe).rtt);
  }
  path::AckTracker& tracker = it->second.tracker;
  tracker.on_received(header.counter, ack_wanted, ce, now);
  acks_due_ = std::min(acks_due_, tracker.next_timeout());
}

void Forwarder::send_acks(base::Time now) {
  if (acks_due_ > now) return;
  acks_due_ = base::Time::max();
  for (auto& [key, owed] : trackers_) {
    if (const auto ack = owed.tracker.poll(now)) send_ack(owed.peer, *ack, now);
    acks_due_ = std::min(acks_due_, owed.tracker.next_timeout());
  }
}

template <typename Message>
bool Forwarder::send_control(ids::NodeId to, packet::InnerKind kind, ids::Tier tier, std::uint8_t bucket,
                             std::size_t bytes, const Message& message, base::Time now) {
  PeerState* state = peer(to);
  Route* way = choose(routes_.policy(to, ids::Tier::Critical));
  Sender sender;
  if (state == nullptr || way == nullptr || bucket >= kBucketGroups ||
      !prepare(sender, *state, *way, bucket, ids::Tier::Critical, 0, now))
    return false;
  packet::InnerHeader inner;
  inner.kind = kind;
  inner.tier = tier;
  const auto text = begin_seal(sender, packet::InnerHeader::kBytes + bytes);
  inner.serialize(text);
  message.serialize(text.subspan(packet::InnerHeader::kBytes));
  end_seal(sender, text);
  return true;
}

// At once, in a bucket of the acknowledged group: there it meets the worker that waits for it.
void Forwarder::send_ack(ids::NodeId to, const packet::Ack& ack, base::Time now) {
  if (send_control(to, packet::InnerKind::Ack, ids::Tier::Critical,
                   static_cast<std::uint8_t>(ack.space & 0xff), ack.bytes(), ack, now))
    counters_.add(Counter::AcksSent);
}

void Forwarder::on_ack(PeerState& from, packet::Bytes body, base::Time now) {
  const auto ack = packet::Ack::parse(body);
  if (!ack) return drops_.count(ack.error());
  ManagedPeer* managed = from.managed.get();
  if (managed == nullptr || !managed->bundle.on_ack(*ack, now)) return drops_.count(DropReason::AckUnknown);
  counters_.add(Counter::AcksReceived);
  for (std::size_t i = 0; i < managed->pipes.size(); ++i) {
    ManagedPipe& pipe = managed->pipes[i];
    if (pipe.identity == 0) continue;
    const path::Pipe& measured = managed->bundle.pipe(i);
    if (measured.counts().acked != pipe.acked) pipe.yielder.on_rtt(measured.rtt(), now);
    if (measured.counts().lost != pipe.lost) pipe.yielder.on_loss(now);
    pipe.acked = measured.counts().acked;
    pipe.lost = measured.counts().lost;
  }
}

// What came of streams that lose packets, and what was rebuilt of them: their senders need not send that again.
void Forwarder::send_reports(base::Time now) {
  while (const auto report = decoder_.poll_report(now))
    send_control(report->stream.peer, packet::InnerKind::Mended, report->stream.tier,
                 group_of(report->stream.bucket), packet::Mended::kBytes, report->mended, now);
}

void Forwarder::on_repair(const PeerState& from, const packet::InnerHeader& inner,
                          const packet::SealedHeader& header, packet::Bytes body, base::Time session,
                          base::Time now) {
  const auto out = decoder_.on_repair({from.id, inner.tier, header.bucket}, body, now);
  if (!out) return drops_.count(out.error());
  accept_rebuilt(from, *out, header, session, now);
}

void Forwarder::accept_rebuilt(const PeerState& from, std::span<const path::Rebuilt> packets,
                               const packet::SealedHeader& header, base::Time session, base::Time now) {
  counters_.add(Counter::PacketsRebuilt, packets.size());
  for (const path::Rebuilt& packet : packets)
    accept_protected(from, packet.header, header, packet.bytes, 0, session, now);
  send_reports(now);
}

void Forwarder::on_mended(PeerState& from, const packet::InnerHeader& inner, packet::Bytes body) {
  const auto mended = packet::Mended::parse(body);
  if (!mended) return drops_.count(mended.error());
  if (from.managed != nullptr) from.managed->bundle.on_mended(inner.tier, *mended);
}

void Forwarder::accept_protected(const PeerState& from, const packet::InnerHeader& inner,
                                 const packet::SealedHeader& header, packet::MutableBytes body,
                                 std::uint8_t ecn, base::Time session, base::Time now) {
  if (inner.copied && !first_copy(from, inner, header.bucket, session, now)) return;
  if (inner.hold == 0 && resequencer_.idle())
    return delivery_.accept(from.id, inner, body, header.space, header.counter, ecn);
  const auto out =
      resequencer_.on_packet({{from.id, inner.tier, header.bucket}, inner, ecn, session, body}, now);
  if (!out) return drops_.count(out.error());
  release(*out);
}

void Forwarder::release(std::span<const path::Opened> packets) {
  for (const path::Opened& packet : packets)
    delivery_.accept(packet.stream.peer, packet.header, packet.bytes, kReleasedSpace, released_++,
                     packet.ecn);
}

void Forwarder::forget_trackers(base::Time now) {
  if (trackers_.empty()) return;
  std::erase_if(trackers_,
                [&](const auto& entry) { return now - entry.second.tracker.last_heard() > kTrackerIdle; });
}

}  // namespace qanat::forwarder
