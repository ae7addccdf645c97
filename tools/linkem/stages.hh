// The four impairments of a link: loss, duplication, a rate with its queue, and delay with jitter.
// Each is configured by the values of a Spec and may be reconfigured while packets are inside.
#pragma once

#include <deque>
#include <map>

#include "tools/linkem/impairment.hh"
#include "tools/linkem/spec.hh"

namespace qanat::linkem {

// Drops each packet with the same probability, independently. One draw a packet, so two runs of one seed
// drop the same packets even when the share is changed in between to and fro.
class Loss : public Impairment {
 public:
  explicit Loss(std::uint64_t seed) : chance_(seed) {}
  void configure(double share) { share_ = share; }
  std::uint64_t dropped_packets() const { return dropped_packets_; }
  std::uint64_t dropped_bytes() const { return dropped_bytes_; }

  void push(Packet packet, base::Time now) override;
  base::Time next_timeout() const override { return through_.empty() ? kNever : through_.front().at; }
  std::optional<Packet> pop(base::Time now) override;
  std::size_t pending() const override { return through_.size(); }

 private:
  Chance chance_;
  double share_ = 0;
  std::deque<Packet> through_;
  std::uint64_t dropped_packets_ = 0;
  std::uint64_t dropped_bytes_ = 0;
};

// Sends some packets twice, the copy right behind the original.
class Duplicate : public Impairment {
 public:
  explicit Duplicate(std::uint64_t seed) : chance_(seed) {}
  void configure(double share) { share_ = share; }
  std::uint64_t duplicated() const { return duplicated_; }

  void push(Packet packet, base::Time now) override;
  base::Time next_timeout() const override { return through_.empty() ? kNever : through_.front().at; }
  std::optional<Packet> pop(base::Time now) override;
  std::size_t pending() const override { return through_.size(); }

 private:
  Chance chance_;
  double share_ = 0;
  std::deque<Packet> through_;
  std::uint64_t duplicated_ = 0;
};

// A transmitter of constant rate behind a drop-tail queue. Departures are exact to the nanosecond over any
// length of busy period: what a division leaves over is carried to the next packet.
class RateQueue : public Impairment {
 public:
  // rate_bps 0: no serialisation; limits of 0: none. A packet half sent keeps its remaining bits.
  void configure(std::uint64_t rate_bps, std::uint64_t limit_packets, std::uint64_t limit_bytes,
                 base::Time now);
  std::uint64_t dropped_packets() const { return dropped_packets_; }
  std::uint64_t dropped_bytes() const { return dropped_bytes_; }
  std::uint64_t queued_bytes() const { return queued_bytes_; }

  void push(Packet packet, base::Time now) override;
  base::Time next_timeout() const override { return queue_.empty() ? kNever : head_done_; }
  std::optional<Packet> pop(base::Time now) override;
  std::size_t pending() const override { return queue_.size(); }

 private:
  void start_head(base::Time at);

  std::uint64_t rate_bps_ = 0;
  std::uint64_t limit_packets_ = 0;
  std::uint64_t limit_bytes_ = 0;
  std::deque<Packet> queue_;  // the front is being sent
  base::Time head_done_{};
  std::uint64_t carry_ = 0;  // bit·ns left over by the last division, below rate_bps_
  std::uint64_t queued_bytes_ = 0;
  std::uint64_t dropped_packets_ = 0;
  std::uint64_t dropped_bytes_ = 0;
};

// Propagation: a constant delay, jitter that keeps the order, and a share of packets that skip the delay
// and overtake. Packets inside keep the instant that they were given.
class Delay : public Impairment {
 public:
  explicit Delay(std::uint64_t seed) : chance_(seed) {}
  void configure(base::Duration delay, Jitter jitter, double reorder) {
    delay_ = delay, jitter_ = jitter, reorder_ = reorder;
  }
  std::uint64_t reordered() const { return reordered_; }

  void push(Packet packet, base::Time now) override;
  base::Time next_timeout() const override { return inside_.empty() ? kNever : inside_.begin()->first; }
  std::optional<Packet> pop(base::Time now) override;
  std::size_t pending() const override { return inside_.size(); }

 private:
  Chance chance_;
  base::Duration delay_{};
  Jitter jitter_;
  double reorder_ = 0;
  base::Time last_due_{};
  std::multimap<base::Time, Packet> inside_;  // equal times leave in the order they came
  std::uint64_t reordered_ = 0;
};

}  // namespace qanat::linkem
