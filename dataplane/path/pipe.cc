#include "dataplane/path/pipe.hh"

#include <algorithm>

namespace qanat::path {
namespace {
constexpr std::size_t kLeastRing = 64;
constexpr base::Duration kGranularity = std::chrono::milliseconds{1};
constexpr base::Duration kFarAckDelay =
    std::chrono::milliseconds{6};  // AckTracker's, and the far end's batch
constexpr base::Duration kSpaceIdle = std::chrono::seconds{5};
constexpr unsigned kSilentPtos = 3;
constexpr double kLossMemory = 1.0 / 1024;  // of a datagram
constexpr double kLatelyMemory = 1.0 / 32;

double seconds(base::Duration d) { return std::chrono::duration<double>(d).count(); }
}  // namespace

Pipe::Pipe(PacketSlab& slab, const Options& options, base::Time now)
    : slab_(slab),
      options_(options),
      congestion_(options.congestion),
      delivered_at_(now),
      first_sent_(now),
      smoothed_rtt_(options.congestion.initial_rtt),
      rtt_variation_(options.congestion.initial_rtt / 2),
      last_sent_(now),
      last_acked_(now) {
  pacer_.set_rate(congestion_.pacing_rate());
}

Pipe::~Pipe() {
  for (Space& space : spaces_)
    for (std::uint64_t i = space.head; i != space.tail; ++i)
      if (Sent& s = space.at(i); s.fate == Fate::UnderWay && s.kept.copy != kNoCopy)
        slab_.release(s.kept.copy);
  for (std::size_t i = lost_next_; i < lost_.size(); ++i)
    if (lost_[i].copy != kNoCopy) slab_.release(lost_[i].copy);
}

Pipe::Space* Pipe::find(SpaceKey key) {
  const auto it = std::find_if(spaces_.begin(), spaces_.end(), [&](const Space& s) { return s.key == key; });
  return it == spaces_.end() ? nullptr : &*it;
}

Pipe::Space& Pipe::space_for(SpaceKey key, base::Time now) {
  if (Space* known = find(key)) return *known;
  // Keys are replaced every two minutes: their spaces' memory is used again.
  auto it = std::find_if(spaces_.begin(), spaces_.end(),
                         [&](const Space& s) { return s.head == s.tail && now - s.used > kSpaceIdle; });
  if (it == spaces_.end()) it = spaces_.emplace(spaces_.end());
  std::vector<Sent> ring = std::move(it->ring);
  if (ring.empty()) ring.resize(kLeastRing);
  *it = Space{};
  it->key = key;
  it->ring = std::move(ring);
  it->used = now;
  return *it;
}

void Pipe::on_sent(SpaceKey key, std::uint64_t counter, std::uint32_t bytes, const Kept& kept,
                   base::Time now) {
  Space& space = space_for(key, now);
  if (space.tail - space.head == space.ring.size()) {
    std::vector<Sent> wider(space.ring.size() * 2);
    for (std::uint64_t i = space.head; i != space.tail; ++i) wider[i & (wider.size() - 1)] = space.at(i);
    space.ring = std::move(wider);
  }
  if (in_flight_ == 0) {
    first_sent_ = now;
    delivered_at_ = now;
    // It had nothing to send: until an ack of this flight comes, rates say what was offered (§4.3 of the same draft).
    if (congestion_.measured()) app_limited_until_ = std::max(app_limited_until_, delivered_ + 1);
  }
  Sent& s = space.at(space.tail++);
  s = Sent{};
  s.counter = counter;
  s.at = now;
  s.delivered_at = delivered_at_;
  s.first_sent = first_sent_;
  s.delivered = delivered_;
  s.lost = lost_total_;
  s.kept = kept;
  s.bytes = bytes;
  s.app_limited = app_limited_until_ > delivered_;
  space.used = now;
  ++tracked_;
  in_flight_ += bytes;
  last_sent_ = now;
  ++counts_.sent;
  counts_.sent_bytes += bytes;
  pacer_.on_sent(bytes, now);
  if (tracked_ > options_.most_tracked)
    for (std::uint64_t i = space.head; i != space.tail; ++i)
      if (space.at(i).fate == Fate::UnderWay) {
        const std::uint64_t lost_bytes = space.at(i).bytes;
        lose(space.at(i));
        after_loss(lost_bytes, space.at(i).at, now);
        trim(space, now);
        break;
      }
}

// What is resolved goes; a lost one stays a while, in case it was only late.
void Pipe::trim(Space& space, base::Time now) {
  while (space.head != space.tail) {
    const Sent& s = space.at(space.head);
    if (s.fate == Fate::UnderWay || (s.fate == Fate::Lost && now - s.at < 2 * smoothed_rtt_)) return;
    ++space.head;
  }
}

void Pipe::lose(Sent& sent) {
  sent.fate = Fate::Lost;
  in_flight_ -= sent.bytes;
  lost_total_ += sent.bytes;
  --tracked_;
  ++counts_.lost;
  counts_.lost_bytes += sent.bytes;
  loss_ += (1 - loss_) * kLossMemory;
  loss_lately_ += (1 - loss_lately_) * kLatelyMemory;
  if (lost_next_ == lost_.size()) {
    lost_.clear();
    lost_next_ = 0;
  }
  lost_.push_back(sent.kept);
  sent.kept.copy = kNoCopy;
}

void Pipe::after_loss(std::uint64_t lost_bytes, base::Time newest_sent, base::Time now) {
  congestion_.on_loss({now, lost_bytes, in_flight_, newest_sent});
  pacer_.set_rate(congestion_.pacing_rate());
}

base::Duration Pipe::reorder_window() const {
  return std::min(kGranularity + reorder_extra_, std::max(smoothed_rtt_, kGranularity));
}

base::Duration Pipe::pto() const {
  const base::Duration one = smoothed_rtt_ + std::max(4 * rtt_variation_, kGranularity) + kFarAckDelay;
  return one * (1u << std::min(ptos_, 6u));
}

// RACK (RFC 8985): what was sent before the newest that arrived, and is later than that one by more than the window.
std::uint64_t Pipe::detect_lost(Space& space, base::Time now) {
  if (!space.any_acked) return 0;
  std::uint64_t lost_bytes = 0;
  base::Time newest{};
  const base::Duration patience = space.rack_rtt + reorder_window();
  for (std::uint64_t i = space.head; i != space.tail; ++i) {
    Sent& s = space.at(i);
    if (s.counter >= space.newest_acked) break;
    if (s.fate != Fate::UnderWay) continue;
    const base::Time due = s.at + patience;
    if (due <= now) {
      newest = std::max(newest, s.at);
      lost_bytes += s.bytes;
      lose(s);
    } else {
      loss_due_ = std::min(loss_due_, due);
      break;  // later ones are due later
    }
  }
  if (lost_bytes > 0) after_loss(lost_bytes, newest, now);
  trim(space, now);
  return lost_bytes;
}

bool Pipe::on_ack(const packet::Ack& ack, base::Time now) {
  Space* space = find({ack.receiver, ack.space});
  if (space == nullptr || space->head == space->tail || ack.largest < space->at(space->head).counter) {
    if (space == nullptr) ++counts_.unknown_acks;
    return space != nullptr;
  }
  // The runs, lowest first.
  struct Run {
    std::uint64_t low, high;
  };
  std::array<Run, packet::Ack::kMaxRuns> runs;
  std::uint64_t high = ack.largest;
  const std::size_t count = ack.run_count;
  for (std::size_t i = 0; i < count; ++i) {
    high -= ack.runs[i].gap;
    const std::uint64_t low = high - (ack.runs[i].run - 1);
    runs[count - 1 - i] = {low, high};
    high = low == 0 ? 0 : low - 1;
  }

  const base::Time arrived = now - std::chrono::microseconds{ack.age_us};
  const Sent* newest = nullptr;
  std::uint64_t acked_bytes = 0, acked = 0;
  std::size_t run = 0;
  for (std::uint64_t i = space->head; i != space->tail; ++i) {
    Sent& s = space->at(i);
    while (run < count && runs[run].high < s.counter) ++run;
    if (run == count) break;
    if (s.counter < runs[run].low || s.fate == Fate::Acked) continue;
    if (s.fate == Fate::Lost) {
      ++counts_.spurious;
      // It was only late: by how much, the window learns.
      const base::Duration late = now - (s.at + space->rack_rtt);
      reorder_extra_ = std::clamp(late, reorder_extra_, smoothed_rtt_);
      lost_total_ -= std::min<std::uint64_t>(lost_total_, s.bytes);
    } else {
      in_flight_ -= s.bytes;
      --tracked_;
      if (s.kept.copy != kNoCopy) {
        slab_.release(s.kept.copy);
        s.kept.copy = kNoCopy;
      }
    }
    s.fate = Fate::Acked;
    ++acked;
    acked_bytes += s.bytes;
    newest = &s;
  }
  if (newest == nullptr) return true;
  counts_.acked += acked;
  counts_.acked_bytes += acked_bytes;
  for (std::uint64_t i = 0; i < acked; ++i) {
    loss_ -= loss_ * kLossMemory;
    loss_lately_ -= loss_lately_ * kLatelyMemory;
  }
  reorder_extra_ -= reorder_extra_ / 1024;
  delivered_ += acked_bytes;
  delivered_at_ = std::max(delivered_at_, arrived);
  last_acked_ = now;
  ptos_ = 0;

  AckEvent event;
  event.now = now;
  event.acked_bytes = acked_bytes;
  const std::uint32_t ce = ack.ce - space->ce;
  space->ce = ack.ce;
  event.ce_bytes = std::min<std::uint64_t>(std::uint64_t{ce} * 1500, acked_bytes);
  if (newest->counter == ack.largest && arrived > newest->at) {
    event.rtt = arrived - newest->at;
    const base::Duration off =
        event.rtt > smoothed_rtt_ ? event.rtt - smoothed_rtt_ : smoothed_rtt_ - event.rtt;
    rtt_variation_ = rtt_measured_ ? rtt_variation_ + (off - rtt_variation_) / 4 : event.rtt / 2;
    smoothed_rtt_ = rtt_measured_ ? smoothed_rtt_ + (event.rtt - smoothed_rtt_) / 8 : event.rtt;
    rtt_measured_ = true;
  }
  if (newest->counter >= space->newest_acked || !space->any_acked) {
    space->newest_acked = newest->counter;
    space->any_acked = true;
    space->rack_rtt = now - newest->at;
  }
  // The delivered rate over the newest one's flight (draft-cheng-iccrg-delivery-rate-estimation).
  const base::Duration send_took = newest->at - newest->first_sent;
  const base::Duration ack_took = delivered_at_ - newest->delivered_at;
  const base::Duration took = std::max(send_took, ack_took);
  first_sent_ = std::max(first_sent_, newest->at);
  const auto bytes = static_cast<double>(delivered_ - newest->delivered);
  if (took > base::Duration{} && (!rtt_measured_ || took * 5 >= congestion_.least_rtt() * 4))
    event.delivered_rate = bytes / seconds(took);
  const double lost = lost_total_ > newest->lost ? static_cast<double>(lost_total_ - newest->lost) : 0;
  event.lost_share = lost + bytes > 0 ? lost / (lost + bytes) : 0;
  event.app_limited = newest->app_limited;
  event.delivered = delivered_;
  event.delivered_at_send = newest->delivered;
  event.in_flight = in_flight_;
  if (app_limited_until_ <= delivered_) app_limited_until_ = 0;

  loss_due_ = base::Time::max();
  for (Space& each : spaces_) detect_lost(each, now);
  event.in_flight = in_flight_;
  congestion_.on_ack(event);
  pacer_.set_rate(congestion_.pacing_rate());
  return true;
}

base::Time Pipe::next_timeout() const {
  base::Time next = loss_due_;
  if (in_flight_ > 0) next = std::min(next, std::max(last_sent_, last_acked_) + pto());
  return next;
}

void Pipe::on_timer(base::Time now) {
  if (loss_due_ <= now) {
    loss_due_ = base::Time::max();
    for (Space& space : spaces_) detect_lost(space, now);
  }
  if (in_flight_ == 0 || std::max(last_sent_, last_acked_) + pto() > now) return;
  if (++ptos_ >= kSilentPtos) {
    abandon();
    congestion_.on_silence(now);
    pacer_.set_rate(congestion_.pacing_rate());
    return;
  }
  Sent* oldest = nullptr;
  for (Space& space : spaces_)
    for (std::uint64_t i = space.head; i != space.tail; ++i)
      if (Sent& s = space.at(i); s.fate == Fate::UnderWay) {
        if (oldest == nullptr || s.at < oldest->at) oldest = &s;
        break;
      }
  last_acked_ = now;  // the next one is as long from here
  if (oldest != nullptr) lose(*oldest);
}

std::optional<Kept> Pipe::poll_lost() {
  if (lost_next_ == lost_.size()) return std::nullopt;
  return lost_[lost_next_++];
}

void Pipe::abandon() {
  for (;;) {
    Space* oldest = nullptr;
    for (Space& space : spaces_)
      if (space.head != space.tail &&
          (oldest == nullptr || space.at(space.head).at < oldest->at(oldest->head).at))
        oldest = &space;
    if (oldest == nullptr) break;
    if (Sent& s = oldest->at(oldest->head++); s.fate == Fate::UnderWay) lose(s);
  }
  loss_due_ = base::Time::max();
}

base::Duration Pipe::least_rtt() const {
  return congestion_.least_rtt() > base::Duration{} ? congestion_.least_rtt() : smoothed_rtt_;
}

base::Duration Pipe::latency() const {
  return least_rtt() / 2 + (in_flight_ > 0 ? congestion_.queue_delay() : base::Duration{});
}

double Pipe::bandwidth() const {
  return congestion_.measured() ? congestion_.bandwidth() : static_cast<double>(congestion_.pacing_rate());
}

}  // namespace qanat::path
