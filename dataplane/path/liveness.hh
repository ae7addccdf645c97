// Liveness: whether one path still delivers, in one direction, judged only by what the far end says it heard.
// Every figure compared comes from our own transmit times and the far end's own waiting time, so neither a late timer
// here nor a slow way back can make a good path look dead.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "base/time.hh"
#include "dataplane/path/step_detector.hh"

namespace qanat::path {

enum class State : std::uint8_t {
  Untested,  // nothing confirmed yet: used only if nothing else is there
  Alive,
  Dead,
  Returning,  // delivers, but is held down until it has done so, and well enough, for a while
};

// Constants of the state machine, with their reasons.
inline constexpr unsigned kMissesToDie = 3;  // in a row; more where loss is usual (misses_to_die)
inline constexpr unsigned kMostMissesToDie = 8;
inline constexpr double kFalseDeathsPerSecond = 1e-5;  // by usual loss alone: one a day
// Silence that is needed beside. Where another path's probes came through that left no earlier, neither end's stalls
// explain it. By the far end's word alone, a stall of everything (a starved host, an uplink) does, and then there is
// nowhere to go either.
inline constexpr base::Duration kOvertakenSilence = std::chrono::milliseconds{15};
inline constexpr base::Duration kSilence = std::chrono::milliseconds{80};
inline constexpr base::Duration kLeastSlack = std::chrono::milliseconds{2};
inline constexpr base::Duration kMostSlack = std::chrono::milliseconds{45};
inline constexpr base::Duration kFirstHold =
    std::chrono::seconds{1};  // after a death, before it is used again
inline constexpr base::Duration kLongestHold =
    std::chrono::seconds{16};  // doubled by each death within kFlapMemory
inline constexpr base::Duration kFlapMemory = std::chrono::seconds{30};
inline constexpr unsigned kSilentProbes = 30;  // without any report at all: nobody is there
inline constexpr base::Duration kLeastSilence = std::chrono::seconds{1};

// So many in a row are no accident on a path with this loss, probed at this interval.
unsigned misses_to_die(std::uint32_t loss_ppm, base::Duration interval);

// What a report says of our path: the newest probe heard (our own transmit time, echoed) and how long ago that was.
struct Heard {
  std::uint32_t sequence = 0;
  base::Time transmitted;
  base::Duration since_heard{};
  std::uint32_t received = 0;  // probes in all
  // What left by then (our clock) would have been heard by now, as another path's probe that left then was, `slack`
  // ago at least. Their raw one-way delays differ by the same clock offset: it cancels, and so does what stops all.
  base::Time overtaken = base::Time::min();
  // How long the next probe should have been there, beside one of another path that left no earlier.
  base::Duration behind{};
};

// How this direction has been of late: spread of its delay, and usual loss.
struct Quality {
  base::Duration jitter{};
  std::uint32_t loss_ppm = 0;
};

class Liveness {
 public:
  State state() const { return state_; }
  bool usable() const { return state_ == State::Alive; }
  // What is granted beside another path before a probe counts as overtaken.
  base::Duration slack(base::Duration jitter) const { return slack(overtaken_, jitter); }
  bool gray() const { return loss_.raised(); }  // loses a good part, though not all

  // A probe of ours left.
  void on_sent(std::uint32_t sequence, base::Time now);
  // A report arrived. Returns true when the state changed. Reports that another overtook, or that name a probe we did
  // not send, change nothing.
  bool on_report(const Heard& heard, const Quality& quality, base::Time now);
  // Called now and then: ends hold-downs, and notices total silence. Returns true when the state changed.
  bool on_timer(base::Time now);
  // The earliest time at which on_timer() could change anything, unless a probe is sent or a report comes before.
  base::Time next_timeout() const;

  std::uint32_t last_confirmed() const { return confirmed_; }
  // When that probe left; Time::max(): it did not yet, or long ago.
  base::Time sent_at(std::uint32_t sequence) const {
    const Sent& sent = ring_[sequence % ring_.size()];
    return sent.sequence == sequence ? sent.at : base::Time::max();
  }
  base::Time since() const { return since_; }  // of the present state

 private:
  struct Sent {
    std::uint32_t sequence = 0;
    base::Time at;
  };
  // Lateness that ended well, lately: a busy far end or a full queue, not a cut.
  struct Patience {
    base::Duration overdue{};  // how late the next probe is, by the newest report
    base::Duration stall{};    // the longest of late, bounded, forgotten over some hundred probes
    void on_late(base::Duration by) { overdue = std::max(overdue, by); }
    void on_advance(bool all_came);
  };
  static base::Duration slack(const Patience& patience, base::Duration jitter);
  void enter(State state, base::Time now);
  void hold_down(base::Time now);
  void count_losses(const Heard& heard, std::uint32_t loss_ppm);
  unsigned missing(const Heard& heard, base::Time horizon) const;
  base::Duration interval() const;

  State state_ = State::Untested;
  base::Time since_{};
  std::uint32_t newest_ = 0;     // sent
  std::uint32_t confirmed_ = 0;  // heard by the far end
  std::uint32_t received_ = 0;   // by the far end, when it wrote the newest report
  base::Time report_horizon_{};  // our transmit time up to which the newest report speaks
  base::Time last_report_{};     // arrival
  std::uint32_t sent_at_last_report_ = 0;
  Patience alone_;                         // by the far end's word
  Patience overtaken_;                     // beside another path
  std::array<std::int64_t, 6> missing_{};  // probes, by the newest reports
  std::size_t missing_count_ = 0;
  std::int64_t missing_settled_ = 0;
  LossStep loss_;
  base::Duration hold_ = kFirstHold;
  base::Time last_death_{};
  bool died_before_ = false;
  std::array<Sent, 64> ring_{};
};

}  // namespace qanat::path
