// RateQueue: a transmitter of a constant or recorded rate, and the queue in front of it.
// Departures are exact to the nanosecond over any length of busy period: what a division leaves over is
// carried to the next packet.
#pragma once

#include "tools/linkem/aqm.hh"
#include "tools/linkem/impairment.hh"
#include "tools/linkem/spec.hh"

namespace qanat::linkem {

class RateQueue : public Impairment {
 public:
  explicit RateQueue(std::uint64_t seed) : pie_(seed) {}

  // Takes rate or trace, limits and discipline of the Spec. Neither rate nor trace: no serialisation, so no
  // queue. A packet half sent keeps its remaining bits; a trace starts at `now`.
  void configure(const Spec& spec, base::Time now);
  std::uint64_t queued_bytes() const { return queued_bytes_; }
  std::uint64_t marked() const { return marked_; }

  void push(Packet packet, base::Time now, Outlet& out) override;
  base::Time next_timeout() const override { return sending_.frame ? done_ : kNever; }
  void on_timer(base::Time now, Outlet& out) override;
  std::size_t pending() const override { return queued_packets_; }

 private:
  bool fits(std::uint32_t bytes) const;
  base::Duration backlog_time(std::uint64_t bytes) const;
  bool admits(std::uint64_t number, std::uint32_t bytes, bool ecn_capable, bool& mark, DropReason& why,
              base::Time now);
  void drop_head(Outlet& out, base::Time now);
  Packet take_head();
  void start_next(base::Time at, Outlet& out);
  void time_departure(base::Time at);

  std::uint64_t rate_bps_ = 0;
  double mean_bps_ = 0;  // of rate or trace
  std::shared_ptr<const CapacityTrace> trace_;
  std::string trace_name_;
  base::Time trace_start_{};
  std::uint64_t opportunity_ = 0;       // the next that may be used
  std::uint32_t opportunity_left_ = 0;  // bytes left of the one before
  std::uint64_t limit_packets_ = 0, limit_bytes_ = 0;
  base::Duration limit_time_{};
  QueueDiscipline discipline_;
  CoDel codel_;
  Pie pie_;

  Packet sending_;           // one segment; its frame is empty when the transmitter is idle
  Ring<Packet> waiting_;     // runs, by arrival; `at` is when they arrived
  std::uint16_t taken_ = 0;  // segments of the first run that went already
  base::Time done_{};
  std::uint64_t carry_ = 0;         // bit·ns left over by the last division, below rate_bps_
  std::uint64_t queued_bytes_ = 0;  // the one being sent included
  std::size_t queued_packets_ = 0;
  std::uint64_t marked_ = 0;
};

}  // namespace qanat::linkem
