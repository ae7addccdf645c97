// Estimate: delay and loss of one path, from the reports on its probes.
// One-way values are raw (they hold the two clocks' offset): compare them within one pair of nodes only, never as RTT/2.
#pragma once

#include <cstdint>

#include "base/time.hh"
#include "dataplane/path/jitter.hh"

namespace qanat::path {

class Estimate {
 public:
  // rtt: now − our transmit time − the far end's waiting time. Negative or absurd samples (> 10 s) are ignored.
  void on_rtt(base::Duration rtt);
  // One-way raw of a newly heard probe, µs.
  void on_one_way(std::int64_t raw_us) { jitter_.add(raw_us); }
  // Newest sequence heard and how many were heard in all, by the far end.
  void on_counts(std::uint32_t sequence, std::uint32_t received, base::Time now);

  base::Duration rtt() const { return smoothed_rtt_; }  // smoothed, RFC 6298's 1/8; 0 before the first sample
  base::Duration jitter() const { return jitter_.value(); }
  std::int64_t one_way_raw_us() const { return jitter_.newest_raw_us(); }
  std::uint32_t loss_ppm() const {
    return loss_ppm_;
  }  // smoothed over windows of half a second and 20 probes
  bool measured() const { return smoothed_rtt_ != base::Duration{}; }

  // Since the last call: what the controller is told.
  struct Interval {
    base::Duration rtt_min{};
    base::Duration rtt_mean{};
    std::uint32_t samples = 0;
    std::uint32_t probes = 0;
    std::uint32_t lost = 0;
  };
  Interval take_interval();

 private:
  base::Duration smoothed_rtt_{};
  Jitter jitter_;
  std::uint32_t loss_ppm_ = 0;
  // Where the present loss window, and the present interval, began.
  std::uint32_t window_sequence_ = 0;
  std::uint32_t window_received_ = 0;
  base::Time window_began_{};
  bool has_counts_ = false;
  bool has_loss_ = false;
  base::Duration rtt_sum_{};
  Interval interval_;
};

}  // namespace qanat::path
