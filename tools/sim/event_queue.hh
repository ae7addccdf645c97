// EventQueue: what will happen and when, in virtual time; of equal times what was put in first comes first.
// A binary heap of small values: order never depends on addresses or hashes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/time.hh"

namespace qanat::sim {

enum class EventKind : std::uint8_t { BoxTimer, WireDue, Arrival, Message, FlowTick, ControllerTick, Wake };

struct Event {
  base::Time at{};
  std::uint64_t order = 0;  // given by the queue
  EventKind kind{};
  std::uint32_t target = 0;   // index of the box, wire, flow or controller
  std::uint32_t payload = 0;  // slot of what it carries
};

class EventQueue {
 public:
  void push(base::Time at, EventKind kind, std::uint32_t target, std::uint32_t payload = 0) {
    heap_.push_back({at, next_order_++, kind, target, payload});
    std::push_heap(heap_.begin(), heap_.end(), later);
  }
  bool empty() const { return heap_.empty(); }
  base::Time next() const { return heap_.empty() ? base::Time::max() : heap_.front().at; }
  Event pop() {
    std::pop_heap(heap_.begin(), heap_.end(), later);
    const Event event = heap_.back();
    heap_.pop_back();
    return event;
  }
  std::size_t size() const { return heap_.size(); }

 private:
  static bool later(const Event& a, const Event& b) { return a.at != b.at ? a.at > b.at : a.order > b.order; }
  std::vector<Event> heap_;
  std::uint64_t next_order_ = 0;
};

// Slots for what events carry: indices stay small and are used again in a fixed order.
template <class T>
class Slots {
 public:
  std::uint32_t put(T value) {
    if (free_.empty()) {
      values_.push_back(std::move(value));
      return static_cast<std::uint32_t>(values_.size() - 1);
    }
    const std::uint32_t slot = free_.back();
    free_.pop_back();
    values_[slot] = std::move(value);
    return slot;
  }
  T take(std::uint32_t slot) {
    free_.push_back(slot);
    return std::move(values_[slot]);
  }
  std::size_t in_use() const { return values_.size() - free_.size(); }

 private:
  std::vector<T> values_;
  std::vector<std::uint32_t> free_;
};

}  // namespace qanat::sim
