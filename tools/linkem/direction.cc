#include "tools/linkem/direction.hh"

#include <algorithm>

namespace qanat::linkem {

Direction::Direction(const Spec& spec, std::uint64_t seed, base::Time now, std::shared_ptr<FramePool> pool)
    : pool_(pool ? std::move(pool) : std::make_shared<FramePool>()),
      entrance_(seed),
      exit_(seed),
      mtu_(*pool_),
      queue_(seed),
      loss_(seed),
      corrupt_(seed, *pool_),
      duplicate_(seed),
      delay_(seed),
      chain_(
          [this](const Packet& packet, DropReason reason, base::Time at) { count_drop(packet, reason, at); },
          [this](FrameRef frame, base::Time at) {
            Packet reply;
            reply.frame = std::move(frame);
            reply.at = reply.entered = at;
            replies_.push_back(std::move(reply));
          }) {
  configure(spec, now);
}

void Direction::attach(Nat& nat, bool outward) {
  nat_ = std::make_unique<NatSide>(nat, outward);
  choose_stages();
}

// Only what does something stands in a packet's way, and what still holds packets.
void Direction::choose_stages() {
  std::vector<Impairment*> stages;
  const auto add = [&stages](bool wanted, Impairment* stage) {
    if (wanted || stage->pending() != 0) stages.push_back(stage);
  };
  if (nat_) stages.push_back(nat_.get());
  add(spec_.mtu != 0, &mtu_);
  add(spec_.rate_bps != 0 || spec_.trace_data != nullptr, &queue_);
  add(spec_.loss.active(), &loss_);
  add(spec_.corrupt > 0, &corrupt_);
  add(spec_.duplicate > 0, &duplicate_);
  add(spec_.delay.count() != 0 || spec_.jitter.shape != Jitter::Shape::None || spec_.reorder > 0, &delay_);
  chain_.set_stages(std::move(stages));
}

void Direction::push(std::span<const std::uint8_t> packet, base::Time now) { push(pool_->copy(packet), now); }

void Direction::push(FrameRef frame, base::Time now) {
  if (observer_) collect(now);  // so that it hears of everything in the order of time
  Packet packet;
  packet.count = frame->segments;
  packet.frame = std::move(frame);
  packet.number = next_number_;
  packet.entered = packet.at = now;
  next_number_ += packet.count;
  counters_.in_packets += packet.count;
  counters_.in_bytes += packet.bytes_total();
  if (observer_) observer_->on_enter(packet, now);
  if (entrance_.down(now)) {
    count_drop(packet, DropReason::Down, now);
    return;
  }
  chain_.push(std::move(packet), now);
}

base::Time Direction::next_timeout() const {
  return out_.empty() ? chain_.next_timeout() : std::min(out_.front().at, chain_.next_timeout());
}

void Direction::count_drop(const Packet& packet, DropReason reason, base::Time at) {
  counters_.dropped_packets[static_cast<std::size_t>(reason)] += packet.count;
  counters_.dropped_bytes[static_cast<std::size_t>(reason)] += packet.bytes_total();
  if (observer_) observer_->on_drop(packet, reason, at);
}

// Takes what left the chain by `now` under the settings that held then.
void Direction::collect(base::Time now) {
  while (auto packet = chain_.pop(now)) {
    if (exit_.down(packet->at)) {
      count_drop(*packet, DropReason::Down, packet->at);
      continue;
    }
    counters_.out_packets += packet->count;
    counters_.out_bytes += packet->bytes_total();
    if (observer_) observer_->on_leave(*packet, packet->at);
    out_packets_ += packet->count;
    out_.push_back(std::move(*packet));
  }
}

std::optional<Packet> Direction::pop(base::Time now) {
  if (out_.empty()) collect(now);
  if (out_.empty()) return {};
  out_packets_ -= out_.front().count;
  return out_.pop_front();
}

std::optional<Packet> Direction::pop_batch(base::Time now) {
  auto batch = pop(now);
  if (!batch) return {};
  const base::Time begun = batch->at;
  while (!out_.empty() && batch->joins(out_.front()) && out_.front().at - begun <= kBatch) {
    const Packet next = out_.pop_front();
    out_packets_ -= next.count;
    batch->count = static_cast<std::uint16_t>(batch->count + next.count);
    batch->at = next.at;
  }
  return batch;
}

std::optional<Packet> Direction::pop_reply() {
  if (replies_.empty()) return {};
  return replies_.pop_front();
}

void Direction::configure(const Spec& spec, base::Time now) {
  collect(now);
  spec_ = spec;
  entrance_.configure(spec.down, spec.flap, now);
  exit_.configure(spec.down, spec.flap, now);
  mtu_.configure(spec.mtu, spec.mtu_silent);
  queue_.configure(spec, now);
  loss_.configure(spec.loss, next_number_);
  corrupt_.configure(spec.corrupt, spec.corrupt_fixed);
  duplicate_.configure(spec.duplicate);
  delay_.configure(spec);
  choose_stages();
}

Counters Direction::counters() const {
  Counters all = counters_;
  all.duplicated = duplicate_.duplicated();
  all.reordered = delay_.reordered();
  all.corrupted = corrupt_.corrupted();
  all.marked = queue_.marked();
  all.answered = mtu_.answered();
  return all;
}

}  // namespace qanat::linkem
