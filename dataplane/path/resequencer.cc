#include "dataplane/path/resequencer.hh"

#include <algorithm>
#include <bit>
#include <cstring>

namespace qanat::path {
namespace {
constexpr std::uint64_t kUnwrapped = std::uint64_t{1} << 48;
}  // namespace

Resequencer::Resequencer(const Options& options) : options_(options) {
  options_.window = std::bit_ceil(std::max(options_.window, kLeastRing));
  options_.packets = std::max<std::size_t>(options_.packets, 1);
  options_.streams = std::max<std::size_t>(options_.streams, 1);
}

packet::OrDrop<std::span<const Opened>> Resequencer::on_packet(const Opened& packet, base::Time now) {
  out_.clear();
  const auto it = by_id_.find(packet.stream.packed());
  if (it == by_id_.end()) {
    open(packet, now);
    out_.push_back(packet);
    return std::span<const Opened>{out_};
  }
  streams_.splice(streams_.end(), streams_, it->second);
  Stream& stream = *it->second;
  stream.used = now;

  // 1. Another life of the sender, or a leap of this one.
  std::int64_t ahead = sequence_distance(packet.header.sequence, stream.next);
  const auto window = static_cast<std::int64_t>(options_.window);
  const bool newer = packet.session > stream.session;
  if ((newer && (ahead < -window || ahead >= window)) ||
      (!(packet.session < stream.session) && ahead >= 2 * window)) {
    flush(stream);
    begin(stream, packet);
    out_.push_back(packet);
    return std::span<const Opened>{out_};
  }
  if (newer) stream.session = packet.session;
  // 2. Behind, or the former life's.
  if (ahead < 0 || ahead >= 2 * window) {
    ++counts_.late;
    out_.push_back(packet);
    return std::span<const Opened>{out_};
  }
  const std::uint64_t number = stream.next + static_cast<std::uint64_t>(ahead);
  // 3. Make its place one that can be waited for.
  if (ahead >= window) give_up_before(stream, number - options_.window + 1);
  if (number > stream.next) {
    grow_ring(stream, number - stream.next + 1);
    if (stream.at(number) != kNobody) return packet::DropReason::Duplicate;
    if (packet.bytes.size() > PacketSlab::kSlotBytes) give_up_before(stream, number);
  }
  if (packet.header.hold != 0) make_room(stream, number);
  // 4. Out, or in.
  stream.end = std::max(stream.end, number + 1);
  if (number <= stream.next) {
    out_.push_back(packet);
    stream.next = number + 1;
    run(stream);
  } else if (packet.header.hold == 0) {
    out_.push_back(packet);
    stream.at(number) = kPassed;
  } else {
    keep(stream, number, packet, now);
  }
  return std::span<const Opened>{out_};
}

Resequencer::Stream& Resequencer::open(const Opened& packet, base::Time now) {
  if (streams_.size() == options_.streams) drop(streams_.begin());
  Stream& stream = streams_.emplace_back();
  stream.id = packet.stream;
  stream.used = now;
  stream.ring.assign(kLeastRing, kNobody);
  by_id_.emplace(packet.stream.packed(), std::prev(streams_.end()));
  begin(stream, packet);
  return stream;
}

void Resequencer::begin(Stream& stream, const Opened& packet) {
  stream.next = kUnwrapped + (packet.header.sequence & kSequenceMask) + 1;
  stream.end = stream.next;
  stream.session = packet.session;
}

void Resequencer::grow_ring(Stream& stream, std::size_t reach) {
  if (reach <= stream.ring.size()) return;
  std::vector<Slot> before(std::bit_ceil(reach), kNobody);
  before.swap(stream.ring);
  for (std::uint64_t n = stream.next; n < stream.end; ++n) stream.at(n) = before[n & (before.size() - 1)];
}

void Resequencer::keep(Stream& stream, std::uint64_t number, const Opened& packet, base::Time now) {
  const Slot slot = slab_.acquire();
  if (held_packets_.size() < slab_.slots()) held_packets_.resize(slab_.slots());
  Held& held = held_packets_[slot];
  held.packet = packet;
  held.packet.bytes = slab_.bytes(slot).first(packet.bytes.size());
  std::memcpy(held.packet.bytes.data(), packet.bytes.data(), packet.bytes.size());
  held.stream = &stream;
  held.number = number;
  held.deadline = now + packet.header.hold * kHoldUnit;
  Queue& queue = queues_[packet.header.hold];
  held.before = queue.tail;
  held.after = kNobody;
  (queue.tail == kNobody ? queue.head : held_packets_[queue.tail].after) = slot;
  queue.tail = slot;
  waiting_[packet.header.hold / 64] |= std::uint64_t{1} << packet.header.hold % 64;
  stream.at(number) = slot;
  ++stream.held;
  ++held_;
  ++counts_.held;
}

void Resequencer::let_out(Stream& stream, Slot slot) {
  Held& held = held_packets_[slot];
  Queue& queue = queues_[held.packet.header.hold];
  (held.before == kNobody ? queue.head : held_packets_[held.before].after) = held.after;
  (held.after == kNobody ? queue.tail : held_packets_[held.after].before) = held.before;
  if (queue.head == kNobody)
    waiting_[held.packet.header.hold / 64] &= ~(std::uint64_t{1} << held.packet.header.hold % 64);
  out_.push_back(held.packet);
  released_.push_back(slot);
  --stream.held;
  --held_;
}

// What follows without a gap.
void Resequencer::run(Stream& stream) {
  while (stream.next < stream.end) {
    Slot& slot = stream.at(stream.next);
    if (slot == kNobody) return;
    if (slot != kPassed) let_out(stream, slot);
    slot = kNobody;
    ++stream.next;
  }
}

// Nothing before `number` is waited for any longer.
void Resequencer::give_up_before(Stream& stream, std::uint64_t number) {
  for (; stream.next < std::min(number, stream.end); ++stream.next) {
    Slot& slot = stream.at(stream.next);
    if (slot == kNobody) {
      ++counts_.given_up;
      continue;
    }
    if (slot != kPassed) let_out(stream, slot);
    slot = kNobody;
  }
  if (number > stream.next) {
    counts_.given_up += number - stream.next;
    stream.next = number;
  }
  stream.end = std::max(stream.end, stream.next);
  run(stream);
}

Resequencer::Slot Resequencer::due_first() const {
  Slot first = kNobody;
  for (std::size_t word = 0; word < waiting_.size(); ++word)
    for (std::uint64_t left = waiting_[word]; left != 0; left &= left - 1) {
      const Slot head = queues_[word * 64 + static_cast<std::size_t>(std::countr_zero(left))].head;
      if (first == kNobody || held_packets_[head].deadline < held_packets_[first].deadline) first = head;
    }
  return first;
}

// For packet `number` of `stream`, unless giving up makes it the next.
void Resequencer::make_room(Stream& stream, std::uint64_t number) {
  while (number > stream.next && held_ >= options_.packets) {
    const Held& held = held_packets_[due_first()];
    ++counts_.crowded;
    const bool ours_and_later = held.stream == &stream && held.number > number;
    give_up_before(*held.stream, ours_and_later ? number : held.number + 1);
  }
}

std::span<const Opened> Resequencer::on_timer(base::Time now) {
  out_.clear();
  for (Slot slot = due_first(); slot != kNobody && held_packets_[slot].deadline <= now; slot = due_first()) {
    const Held& held = held_packets_[slot];
    give_up_before(*held.stream, held.number + 1);
  }
  while (!streams_.empty() && now - streams_.front().used >= options_.idle) drop(streams_.begin());
  if (streams_.empty() && released_.empty()) slab_.trim();
  return out_;
}

base::Time Resequencer::next_timeout() const {
  if (held_ != 0) return held_packets_[due_first()].deadline;
  return streams_.empty() ? base::Time::max() : streams_.front().used + options_.idle;
}

std::span<const Opened> Resequencer::forget(ids::NodeId peer) {
  out_.clear();
  for (auto it = streams_.begin(); it != streams_.end();) {
    const auto stream = it++;
    if (stream->id.peer == peer) drop(stream);
  }
  return out_;
}

void Resequencer::drop(Streams::iterator stream) {
  flush(*stream);
  by_id_.erase(stream->id.packed());
  streams_.erase(stream);
}

void Resequencer::clear() {
  for (const Slot slot : released_) slab_.release(slot);
  released_.clear();
  out_.clear();
}

}  // namespace qanat::path
