// Liveness: whether one path still delivers, in one direction, judged only by what the far end says it heard.
// Every figure compared comes from our own transmit times and the far end's own waiting time, so neither a late timer
// here nor a slow way back can make a good path look dead.
#pragma once

#include <array>
#include <cstdint>

#include "base/time.hh"

namespace qanat::path {

enum class State : std::uint8_t {
  Untested,  // nothing confirmed yet: used only if nothing else is there
  Alive,
  Dead,
  Returning,  // delivers again, but is held down until it has done so for a while
};

// Constants of the state machine, with their reasons.
inline constexpr unsigned kMissesToDie = 3;  // wire.md §7
inline constexpr base::Duration kLeastSlack = std::chrono::milliseconds{2};
inline constexpr base::Duration kMostSlack = std::chrono::milliseconds{45};  // keeps 10 ms × 3 under 100 ms
inline constexpr base::Duration kFirstHold =
    std::chrono::seconds{1};  // after a death, before it is used again
inline constexpr base::Duration kLongestHold =
    std::chrono::seconds{16};  // doubled by each death within kFlapMemory
inline constexpr base::Duration kFlapMemory = std::chrono::seconds{30};
inline constexpr unsigned kSilentProbes = 30;  // without any report at all: nobody is there
inline constexpr base::Duration kLeastSilence = std::chrono::seconds{1};

// What a report says of our path: the newest probe heard (our own transmit time, echoed) and how long ago that was.
struct Heard {
  std::uint32_t sequence = 0;
  base::Time transmitted;
  base::Duration since_heard{};
};

class Liveness {
 public:
  State state() const { return state_; }
  bool usable() const { return state_ == State::Alive; }

  // A probe of ours left.
  void on_sent(std::uint32_t sequence, base::Time now);
  // A report arrived. `jitter` is the spread of this direction's delay. Returns true when the state changed. Reports
  // that another overtook, or that name a probe we did not send, change nothing.
  bool on_report(const Heard& heard, base::Duration jitter, base::Time now);
  // Called now and then: ends hold-downs, and notices total silence. Returns true when the state changed.
  bool on_timer(base::Time now);

  std::uint32_t last_confirmed() const { return confirmed_; }
  base::Time since() const { return since_; }  // of the present state

 private:
  struct Sent {
    std::uint32_t sequence = 0;
    base::Time at;
  };
  void enter(State state, base::Time now);
  unsigned missing(const Heard& heard, base::Duration slack) const;

  State state_ = State::Untested;
  base::Time since_{};
  std::uint32_t newest_ = 0;     // sent
  std::uint32_t confirmed_ = 0;  // heard by the far end
  base::Time report_horizon_{};  // our transmit time up to which the newest report speaks
  base::Time last_report_{};     // arrival
  std::uint32_t sent_at_last_report_ = 0;
  base::Duration overdue_{};  // how late the next probe is, by the newest report
  base::Duration stall_{};    // longest lateness of late that was followed by life: a busy far end, not a cut
  base::Duration hold_ = kFirstHold;
  base::Time last_death_{};
  bool died_before_ = false;
  std::array<Sent, 64> ring_{};
};

}  // namespace qanat::path
