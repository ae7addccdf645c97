// Delay: propagation, its jitter, and the packets that skip it and so overtake.
// Packets inside keep the instant that they were given, whatever is configured later.
#pragma once

#include "tools/linkem/chance.hh"
#include "tools/linkem/impairment.hh"
#include "tools/linkem/spec.hh"

namespace qanat::linkem {

class Delay : public Impairment {
 public:
  explicit Delay(std::uint64_t seed) : chance_(seed, Chance::Purpose::Delay) {}
  // Takes delay, jitter, `unordered` and reorder of the Spec.
  void configure(const Spec& spec);
  std::uint64_t reordered() const { return reordered_; }  // packets that skipped the delay past another

  void push(Packet packet, base::Time now, Outlet& out) override;
  base::Time next_timeout() const override;
  void on_timer(base::Time now, Outlet& out) override;
  std::size_t pending() const override { return pending_; }

 private:
  struct Early {
    base::Time due{};
    std::uint64_t order = 0;  // equal times leave in the order they came
    Packet packet;
    bool operator>(const Early& other) const {
      return due != other.due ? due > other.due : order > other.order;
    }
  };
  base::Duration draw(std::uint64_t number) const;
  void keep_in_order(Packet packet, base::Time due);
  void keep_anyhow(Packet packet, base::Time due);

  Chance chance_;
  base::Duration delay_{};
  Jitter jitter_;
  std::shared_ptr<const std::vector<base::Duration>> jitter_data_;
  double reorder_ = 0;
  bool unordered_ = false;
  base::Time last_due_{};
  Ring<Packet> in_order_;      // `at` is when they are due
  std::vector<Early> anyhow_;  // a heap, the earliest on top
  std::uint64_t order_ = 0;
  std::size_t pending_ = 0;
  std::uint64_t reordered_ = 0;
};

}  // namespace qanat::linkem
