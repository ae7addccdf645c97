#include "dataplane/path/protection.hh"

#include <algorithm>

#include "dataplane/packet/byte_order.hh"

namespace qanat::path {
namespace {
constexpr std::size_t kSequenceAt = 7;  // in the inner header (wire.md §4)
}

Protection::Protection(const base::Duration (&budgets)[ids::kTierCount]) {
  for (const base::Duration budget : budgets) controls_.emplace_back(budget);
}

Protection::Stream* Protection::find(ids::Tier tier, std::uint8_t bucket) {
  for (const auto& s : streams_)
    if (s->tier == tier && s->bucket == bucket) return s.get();
  return nullptr;
}

void Protection::measure(const LossPattern& pattern, base::Time now) {
  for (std::size_t t = 0; t < controls_.size(); ++t) {
    if (!controls_[t].on_measured(pattern, now)) continue;
    for (const auto& s : streams_)
      if (static_cast<std::size_t>(s->tier) == t) s->encoder.set_plan(controls_[t].plan());
  }
}

void Protection::on_packet(ids::Tier tier, std::uint8_t bucket, packet::Bytes plain, base::Time now) {
  if (!on(tier) || plain.size() < packet::InnerHeader::kBytes) return;
  Stream* stream = find(tier, bucket);
  if (stream == nullptr) {
    if (streams_.size() == kMostStreams)
      streams_.erase(std::min_element(streams_.begin(), streams_.end(), [](const auto& a, const auto& b) {
        return a->encoder.last_used() < b->encoder.last_used();
      }));
    streams_.push_back(std::make_unique<Stream>());
    stream = streams_.back().get();
    stream->tier = tier;
    stream->bucket = bucket;
    stream->encoder.set_plan(controls_[static_cast<std::size_t>(tier)].plan());
  }
  stream->encoder.on_packet(packet::load_be48(&plain[kSequenceAt]), plain, now);
  due_ = due_ || stream->encoder.due();
}

std::optional<Protection::Repair> Protection::poll_repair() {
  for (std::size_t i = 0; due_ && i < streams_.size(); ++i) {
    turn_ = (turn_ + 1) % streams_.size();
    Stream& stream = *streams_[turn_];
    if (const packet::Bytes body = stream.encoder.poll_repair(); !body.empty()) {
      ++repairs_;
      return Repair{stream.tier, stream.bucket, body};
    }
  }
  due_ = false;
  return std::nullopt;
}

bool Protection::on_lost(const Kept& kept, PacketSlab& slab, base::Time now) {
  if (kept.attempts > 1 || !on(kept.tier)) return false;
  Stream* stream = find(kept.tier, kept.bucket);
  if (stream == nullptr) return false;
  const std::uint64_t sequence = packet::load_be48(&slab.bytes(kept.copy)[kSequenceAt]);
  if (stream->mended && stream->mended->has(sequence)) {
    ++mended_count_;
    slab.release(kept.copy);
  } else {
    waiting_.push_back({kept, sequence, now + kGrace});
  }
  return true;
}

void Protection::on_mended(ids::Tier tier, const packet::Mended& mended, PacketSlab& slab) {
  Stream* stream = find(tier, mended.bucket);
  if (stream == nullptr) return;
  stream->mended = mended;
  std::erase_if(waiting_, [&](const Waiting& w) {
    if (w.kept.tier != tier || w.kept.bucket != mended.bucket || !mended.has(w.sequence)) return false;
    ++mended_count_;
    slab.release(w.kept.copy);
    return true;
  });
}

std::optional<Kept> Protection::poll_overdue(base::Time now) {
  if (waiting_.empty() || waiting_.front().until > now) return std::nullopt;
  const Kept kept = waiting_.front().kept;
  waiting_.pop_front();
  return kept;
}

void Protection::release_all(PacketSlab& slab) {
  for (const Waiting& w : waiting_) slab.release(w.kept.copy);
  waiting_.clear();
}

void Protection::on_timer(base::Time now) {
  for (const auto& s : streams_) {
    s->encoder.on_timer(now);
    due_ = due_ || s->encoder.due();
  }
}

base::Time Protection::next_timeout() const {
  base::Time next = waiting_.empty() ? base::Time::max() : waiting_.front().until;
  for (const auto& s : streams_) next = std::min(next, s->encoder.next_timeout());
  return next;
}

}  // namespace qanat::path
