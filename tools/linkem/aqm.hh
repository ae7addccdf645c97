// Active queue management: CoDel (RFC 8289) and PIE (RFC 8033), each as the few numbers that it keeps.
// They say what to do with a packet; the queue does it.
#pragma once

#include <cstdint>

#include "base/time.hh"
#include "tools/linkem/chance.hh"

namespace qanat::linkem {

// Asked once for every packet that reaches the head of the queue, in order.
class CoDel {
 public:
  void configure(base::Duration target, base::Duration interval) { target_ = target, interval_ = interval; }
  // True: drop (or mark) it and ask again for the next. `backlog_bytes`: behind it in the queue.
  bool drops(base::Duration sojourn, std::uint64_t backlog_bytes, base::Time now);

 private:
  base::Time control_law(base::Time from) const;

  base::Duration target_{}, interval_{};
  base::Time first_above_{};  // zero: the queue is below target
  base::Time drop_next_{};
  std::uint32_t count_ = 0, last_count_ = 0;
  bool dropping_ = false;
};

// Asked once for every packet that arrives.
class Pie {
 public:
  explicit Pie(std::uint64_t seed) : chance_(seed, Chance::Purpose::Aqm) {}
  void configure(base::Duration target) { target_ = target; }
  bool drops(std::uint64_t number, base::Duration queue_delay, std::uint64_t backlog_bytes, base::Time now);
  double probability() const { return probability_; }

 private:
  void update(base::Duration queue_delay);

  Chance chance_;
  base::Duration target_{};
  base::Duration old_delay_{}, burst_left_{};
  base::Time next_update_{};
  double probability_ = 0;
  double accumulated_ = 0;  // RFC 8033 §5.1: spreads the drops out
  bool started_ = false;
};

}  // namespace qanat::linkem
