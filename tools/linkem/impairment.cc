#include "tools/linkem/impairment.hh"

#include <algorithm>

namespace qanat::linkem {

std::string_view to_string(DropReason reason) {
  switch (reason) {
    case DropReason::QueueFull: return "queue_full";
    case DropReason::Loss: return "loss";
    case DropReason::Down: return "down";
    case DropReason::Aqm: return "aqm";
    case DropReason::Mtu: return "mtu";
    case DropReason::Nat: return "nat";
  }
  return "unknown";
}

Chain::Chain(OnDrop on_drop, OnReply on_reply)
    : on_drop_(std::move(on_drop)), on_reply_(std::move(on_reply)) {}

void Chain::enter(std::size_t stage, Packet packet, base::Time at) {
  packet.at = at;
  if (stage == stages_.size()) {
    ready_packets_ += packet.count;
    ready_.push_back(std::move(packet));
    return;
  }
  Step out(*this, stage + 1);
  stages_[stage]->push(std::move(packet), at, out);
}

void Chain::push(Packet packet, base::Time now) {
  advance(now);
  enter(0, std::move(packet), now);
}

base::Time Chain::next_timeout() const {
  base::Time next = ready_.empty() ? kNever : ready_.front().at;
  for (const auto* stage : stages_) next = std::min(next, stage->next_timeout());
  return next;
}

std::optional<Packet> Chain::pop(base::Time now) {
  advance(now);
  if (ready_.empty()) return {};
  ready_packets_ -= ready_.front().count;
  return ready_.pop_front();
}

std::size_t Chain::pending() const {
  std::size_t count = ready_packets_;
  for (const auto* stage : stages_) count += stage->pending();
  return count;
}

void Chain::advance(base::Time now) {
  for (;;) {
    std::size_t earliest = stages_.size();
    base::Time when = kNever;
    for (std::size_t i = 0; i < stages_.size(); ++i) {
      const base::Time due = stages_[i]->next_timeout();
      if (due != kNever && due <= when) when = due, earliest = i;
    }
    if (earliest == stages_.size() || when > now) return;
    Step out(*this, earliest + 1);
    stages_[earliest]->on_timer(when, out);
  }
}

}  // namespace qanat::linkem
