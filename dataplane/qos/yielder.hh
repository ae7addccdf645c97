// Yielder: how fast scavenger may go on one path, so that whoever else uses it does not notice: also where the bottleneck
// is nobody's we know and the traffic in front of it is not ours. Less than best effort after LEDBAT (RFC 6817) and
// LEDBAT++ (draft-irtf-iccrg-ledbat-plus-plus), with one difference: a queue that does not go away while we are silent
// is somebody else's, and then we stay away until it does.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "base/time.hh"

namespace qanat::qos {

struct YielderOptions {
  base::Duration target = std::chrono::milliseconds{5};  // a queue above this is too long
  base::Duration quiet =
      std::chrono::milliseconds{200};  // and below half of it for so long before we come back
  std::uint64_t first_rate = 125'000;  // bytes/s, at first and after having yielded
  base::Duration trickle =
      std::chrono::milliseconds{100};  // one packet each, to keep measuring, while we stay away
};

// One path. Feed it every round trip that is measured there, of whatever tier; ask it before a scavenger packet leaves.
//
//   state \ event | a round, queue short     | queue too long, twice in a row      | looked again           | loss
//   Sending       | faster, if all was used  | slower by ¼ (½ at first); look      | still too long: Paused | half as fast
//                 |                          | again after a round trip and 20 ms  | else: go on            |
//   Paused        | –                        | –                                   | gone: Sending          | –
//                 |                          |                                     | stands: Away           |
//   Away          | for `quiet`: Sending, from the first rate                      | –                      | –
//
// Paused says nothing until the last of what it sent must have arrived, then sends two packets to look.
class Yielder {
 public:
  enum class State : std::uint8_t { Sending, Paused, Away };

  explicit Yielder(const YielderOptions& options = {}) : options_(options), rate_(options.first_rate) {}

  void on_rtt(base::Duration rtt, base::Time now);
  // Something was lost there: at most once a round trip counts.
  void on_loss(base::Time now);

  bool ready(base::Time now) { return ready_at(now) <= now; }
  // When the next scavenger packet may leave, as far as can be known now.
  base::Time ready_at(base::Time now);
  void on_sent(std::size_t bytes, base::Time now);

  State state() const { return state_; }
  std::uint64_t rate() const { return rate_; }  // bytes/s while Sending
  base::Duration queue_delay() const {
    return smallest_ == base::Duration{} ? base::Duration{} : recent() - smallest_;
  }

 private:
  static constexpr std::size_t kRecent = 3;
  base::Duration recent() const { return *std::min_element(recent_.begin(), recent_.end()); }
  void enter(State state, base::Time now);
  void on_round(base::Time now);
  base::Time silent_until() const { return since_ + peak_ + options_.target; }
  void judge(base::Duration rtt, base::Time now);

  YielderOptions options_;
  State state_ = State::Sending;
  base::Time since_{};
  std::uint64_t rate_;
  bool starting_ = true;       // doubles each round, until a queue was seen
  base::Duration smallest_{};  // of ten minutes, by the minute; 0: not measured
  std::array<base::Duration, 10> minutes_{};
  std::size_t minute_ = 0;
  base::Time minute_began_{};
  std::array<base::Duration, kRecent> recent_{};
  std::size_t next_recent_ = 0;
  unsigned above_ = 0;     // samples in a row
  base::Time look_at_{};   // Sending: whether it helped to slow down; 0: not under observation
  base::Duration peak_{};  // Paused: the longest round trip since
  unsigned looks_ = 0;     // Paused: packets sent to look
  unsigned answers_ = 0;   // and samples that crossed after them
  base::Duration least_answer_{};
  base::Time short_since_{};  // Away: the queue has been short since; 0: it is not
  base::Time round_end_{};
  std::uint64_t round_bytes_ = 0;
  base::Time next_send_{};
  base::Time last_loss_{};
};

}  // namespace qanat::qos
