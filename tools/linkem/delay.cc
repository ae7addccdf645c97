#include "tools/linkem/delay.hh"

#include <algorithm>
#include <cmath>

namespace qanat::linkem {
namespace {

constexpr double kLongestNs = 3600e9;  // what a heavy tail may draw at most

}  // namespace

void Delay::configure(const Spec& spec) {
  delay_ = spec.delay;
  jitter_ = spec.jitter;
  jitter_data_ = spec.jitter_data;
  reorder_ = spec.reorder;
  unordered_ = spec.unordered;
}

// Draw 0 is the reordering's.
base::Duration Delay::draw(std::uint64_t number) const {
  const auto spread = static_cast<double>(jitter_.spread.count());
  double ns = 0;
  switch (jitter_.shape) {
    case Jitter::Shape::None: return delay_;
    case Jitter::Shape::Uniform: ns = (2 * chance_.uniform(number, 1) - 1) * spread; break;
    case Jitter::Shape::Normal: ns = chance_.normal(number, 1) * spread; break;
    case Jitter::Shape::Pareto:
      ns = spread * (std::pow(1 - chance_.uniform(number, 1), -1 / jitter_.tail) - 1);
      break;
    case Jitter::Shape::File:
      if (!jitter_data_ || jitter_data_->empty()) return delay_;
      return delay_ + (*jitter_data_)[chance_.bits(number, 1) % jitter_data_->size()];
  }
  return std::max(base::Duration{}, delay_ + base::Duration(std::llround(std::min(ns, kLongestNs))));
}

void Delay::keep_in_order(Packet packet, base::Time due) {
  packet.at = last_due_ = std::max(due, last_due_);
  in_order_.push_back(std::move(packet));
}

void Delay::keep_anyhow(Packet packet, base::Time due) {
  anyhow_.push_back({due, order_++, std::move(packet)});
  std::push_heap(anyhow_.begin(), anyhow_.end(), std::greater<>());
}

void Delay::push(Packet packet, base::Time now, Outlet&) {
  const bool others = pending_ != 0;
  pending_ += packet.count;
  if (jitter_.shape == Jitter::Shape::None && reorder_ == 0) {
    keep_in_order(std::move(packet), now + delay_);
    return;
  }
  for (std::uint16_t i = 0; i < packet.count; ++i) {
    Packet one = packet.part(i, 1);
    if (reorder_ > 0 && chance_.happens(reorder_, one.number)) {
      reordered_ += others || i > 0;
      keep_anyhow(std::move(one), now);
    } else if (const base::Time due = now + draw(one.number); unordered_) {
      keep_anyhow(std::move(one), due);
    } else {
      keep_in_order(std::move(one), due);
    }
  }
}

base::Time Delay::next_timeout() const {
  base::Time next = in_order_.empty() ? kNever : in_order_.front().at;
  if (!anyhow_.empty()) next = std::min(next, anyhow_.front().due);
  return next;
}

void Delay::on_timer(base::Time now, Outlet& out) {
  for (;;) {
    const base::Time ordered = in_order_.empty() ? kNever : in_order_.front().at;
    const base::Time early = anyhow_.empty() ? kNever : anyhow_.front().due;
    if (std::min(ordered, early) > now) return;
    Packet packet;
    if (early <= ordered) {
      std::pop_heap(anyhow_.begin(), anyhow_.end(), std::greater<>());
      packet = std::move(anyhow_.back().packet);
      anyhow_.pop_back();
    } else {
      packet = in_order_.pop_front();
    }
    pending_ -= packet.count;
    const base::Time at = std::min(ordered, early);
    out.forward(std::move(packet), at);
  }
}

}  // namespace qanat::linkem
