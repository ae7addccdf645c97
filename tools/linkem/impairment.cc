#include "tools/linkem/impairment.hh"

#include <cmath>
#include <numbers>

namespace qanat::linkem {

double Chance::normal() {
  // Box–Muller; 1 − u keeps the logarithm's argument above zero.
  const double radius = std::sqrt(-2 * std::log(1 - uniform()));
  return radius * std::cos(2 * std::numbers::pi * uniform());
}

void Chain::push(Packet packet, base::Time now) {
  advance(now);
  packet.at = now;
  if (stages_.empty()) {
    ready_.push_back(std::move(packet));
  } else {
    stages_.front()->push(std::move(packet), now);
    advance(now);
  }
}

base::Time Chain::next_timeout() const {
  base::Time next = ready_.empty() ? kNever : ready_.front().at;
  for (const auto& stage : stages_) next = std::min(next, stage->next_timeout());
  return next;
}

std::optional<Packet> Chain::pop(base::Time now) {
  advance(now);
  if (ready_.empty()) return {};
  Packet packet = std::move(ready_.front());
  ready_.pop_front();
  return packet;
}

std::size_t Chain::pending() const {
  std::size_t count = ready_.size();
  for (const auto& stage : stages_) count += stage->pending();
  return count;
}

void Chain::advance(base::Time now) {
  for (;;) {
    std::size_t earliest = stages_.size();
    base::Time when = kNever;
    for (std::size_t i = 0; i < stages_.size(); ++i) {
      const base::Time due = stages_[i]->next_timeout();
      // Of equals the later stage goes first: a queue's departure frees its place before an arrival.
      if (due != kNever && due <= when) when = due, earliest = i;
    }
    if (earliest == stages_.size() || when > now) return;
    auto packet = stages_[earliest]->pop(when);
    if (!packet) return;
    if (earliest + 1 == stages_.size()) {
      ready_.push_back(std::move(*packet));
    } else {
      const base::Time at = packet->at;
      stages_[earliest + 1]->push(std::move(*packet), at);
    }
  }
}

}  // namespace qanat::linkem
