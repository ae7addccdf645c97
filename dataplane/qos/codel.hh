// CoDel: keeps a standing queue short without knowing the link's rate (RFC 8289); one per class of traffic.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/time.hh"

namespace qanat::qos {

struct CoDelOptions {
  base::Duration target = std::chrono::milliseconds{5};      // a queue that stands this long is too long …
  base::Duration interval = std::chrono::milliseconds{100};  // … if it never got shorter within a round trip

  // RFC 8289 §4.4: the interval is a worst-case round trip, the target 5 to 10 % of it; a fifth where queues must be long.
  static CoDelOptions for_target(base::Duration target) {
    return {target, std::max<base::Duration>(std::chrono::milliseconds{100}, 5 * target)};
  }
};

// Asked once for every segment that is about to leave; a class's segments in order.
//
//   state     | sojourn < target   | ≥ target, not yet an interval | ≥ target for an interval   | drop due
//   Good      | Good: pass         | Good: pass (the clock runs)   | Dropping: act on this one  | –
//   Dropping  | Good: pass         | –                             | Dropping: pass             | Dropping: act, sooner next
class CoDel {
 public:
  enum class State : std::uint8_t { Good, Dropping };
  enum class Verdict : std::uint8_t { Pass, Mark, Drop };

  explicit CoDel(CoDelOptions options = {}) : options_(options) {}

  // `backlog_bytes` counts what waits behind this segment: a queue of less than a packet is no queue. `ect`: its sender
  // understands ECN (RFC 3168), so that to act is to mark.
  Verdict on_dequeue(base::Duration sojourn, std::size_t backlog_bytes, bool ect, base::Time now);
  State state() const { return state_; }

 private:
  bool standing(base::Duration sojourn, std::size_t backlog_bytes, base::Time now);
  base::Time control_law(base::Time from) const;

  CoDelOptions options_;
  State state_ = State::Good;
  base::Time
      first_above_{};  // when a queue that has been too long since becomes a standing one; 0: it is short
  base::Time drop_next_{};
  std::uint32_t count_ = 0;  // acted on since Dropping began
  std::uint32_t last_count_ = 0;
};

}  // namespace qanat::qos
