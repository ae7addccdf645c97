// Congestion: how much may be under way on one pipe, and how fast it leaves. A model of the path (bandwidth and least
// round trip, after BBR, Cardwell et al. 2017) while we are alone on it, so that its queue stays short and random loss is
// no reason to slow down; a Cubic-like window (RFC 9438) for as long as somebody else keeps the queue full, as in
// Copa (NSDI 2018) and Nimbus (SIGCOMM 2022): then being polite would mean to starve.
#pragma once

#include <array>
#include <cstdint>

#include "base/time.hh"
#include "dataplane/path/cubic_window.hh"

namespace qanat::path {

struct CongestionOptions {
  bool scavenger = false;      // yields within a round trip to whoever else queues (after LEDBAT, RFC 6817)
  std::uint64_t max_rate = 0;  // bytes/s that the line was promised to carry; 0: unknown
  base::Duration initial_rtt = std::chrono::milliseconds{50};
  double initial_rate = 0;  // bytes/s that it carried so far, unmanaged; 0: unknown
  double initial_loss = 0;  // share that probes found lost: for repairs, until the pipe has measured its own
  base::Duration queue_target = std::chrono::milliseconds{5};
};

// What one ack brought.
struct AckEvent {
  base::Time now;
  base::Duration rtt{};                 // of the newest datagram it is the first to confirm; 0: none
  std::uint64_t acked_bytes = 0;        // newly
  std::uint64_t ce_bytes = 0;           // of those, marked on the way (estimated)
  std::uint64_t in_flight = 0;          // after it
  double delivered_rate = 0;            // bytes/s over the newest one's flight; 0: no sample
  double lost_share = 0;                // of what was sent in that flight
  bool app_limited = false;             // the sample says what was offered, not what the path can carry
  std::uint64_t delivered = 0;          // bytes, in all
  std::uint64_t delivered_at_send = 0;  // the same, when the newest was sent: tells rounds apart
};
struct LossEvent {
  base::Time now;
  std::uint64_t lost_bytes = 0;
  std::uint64_t in_flight = 0;  // after it
  base::Time newest_lost_sent;  // a congestion event lasts a round: what was sent before is part of it
};

// state \ event | queue short      | queue above target, or  | queue stays, held  | congestive loss    | silence (PTO × 3)
//               |                  | above half for 4 rounds | back for 2 rounds †| (≥ threshold)      |
// --------------+------------------+-------------------------+--------------------+--------------------+------------------
// Startup       | 2.9 × a round    | Drain                   | –                  | Drain              | Startup, least window
// Drain         | Cruise           | Drain                   | Compete            | Drain              | Startup, least window
// Cruise        | 1.25 every 6th * | down to what it carries | Compete            | down to it too     | Startup, least window
// Compete       | Cruise, if empty | Cubic growth ‡          | Cubic growth ‡     | Cubic decrease     | Startup, least window
// scavenger     | grows            | halves within a round   | least window       | halves             | Startup, least window
//
// *: and Startup again, when two probes in a row brought more and left no queue; or a backlog comes after ten seconds in
//    which too little was offered to know.
// †: rounds, after two with a queue, that confirm what left slower than the path delivered. A queue of our own shrinks
//    then by at least most of what was spared.
// ‡: slow start until the first congestion, as a new flow's, unless other pipes of ours share the bottleneck.
class Congestion {
 public:
  enum class State : std::uint8_t { Startup, Drain, Cruise, Compete };
  static constexpr std::uint64_t kLeastWindow = 4 * 1500;
  static constexpr std::uint64_t kLeastScavenging = 2 * 1500;
  static constexpr double kRandomLoss = 0.10;  // up to here, loss without a queue is not ours to answer

  explicit Congestion(const CongestionOptions& options = {});

  void on_ack(const AckEvent& event);
  void on_loss(const LossEvent& event);
  // Nothing came back for so long that the path may be another one.
  void on_silence(base::Time now);
  // What the line that it leaves by may carry, bytes/s; 0: unknown. A line that lets a burst pass makes it look faster.
  void set_max_rate(std::uint64_t rate);
  // Shares its bottleneck with `others` (≥ 1) more pipes of ours, `share` of their common rate being its own.
  void couple(unsigned others, double share);

  std::uint64_t window() const { return window_; }            // bytes
  std::uint64_t pacing_rate() const { return pacing_rate_; }  // bytes/s
  double bandwidth() const { return bandwidth_; }             // bytes/s; 0: no sample yet
  base::Duration least_rtt() const { return least_rtt_; }
  base::Duration queue_delay() const { return queue_delay_; }  // standing, of the newest rounds
  double random_loss() const { return random_loss_; }          // share
  State state() const { return state_; }
  bool measured() const { return bandwidth_ > 0; }

 private:
  // The greatest of each of the last rounds.
  struct MaxFilter {
    static constexpr std::size_t kRounds = 10;
    std::array<double, kRounds> rounds{};
    std::size_t at = 0;
    void advance() { rounds[at = (at + 1) % kRounds] = 0; }
    void add(double v) { rounds[at] = v > rounds[at] ? v : rounds[at]; }
    double most(std::size_t last) const;
    void reset(double v);
  };
  // The least of the last half to whole interval.
  struct MinFilter {
    base::Duration now = base::Duration::max(), before = base::Duration::max();
    base::Time turned{};
    void add(base::Duration v, base::Duration interval, base::Time at);
    base::Duration least() const { return now < before ? now : before; }
  };
  double within_line(double rate) const;
  void take_rtt(const AckEvent& event);
  void on_round(const AckEvent& event);
  void take_loss(bool draining);
  void startup_round(const AckEvent& event);
  void cruise_round(base::Time now);
  void start_again(base::Time now);
  void compete(const AckEvent& event);
  void scavenge(const AckEvent& event, bool round);
  void slow_to(double rate);
  bool crowded() const;
  void enter(State state, base::Time now);
  void update_output();
  double bdp() const;
  base::Duration target() const;  // of the queue

  CongestionOptions options_;
  State state_ = State::Startup;
  double bandwidth_ = 0;
  MaxFilter rates_;
  double gain_;
  double probe_extra_ = 0.25;  // Cruise: how much more than it is known to carry the path is asked for next
  std::uint64_t window_;
  std::uint64_t pacing_rate_ = 0;
  // Round trips.
  base::Duration least_rtt_{}, next_least_rtt_{};
  base::Time least_rtt_at_{}, next_least_since_{};
  base::Duration smoothed_rtt_;
  base::Duration last_rtt_{}, jitter_{};
  MinFilter standing_;
  base::Duration queue_delay_{};
  base::Duration most_queue_{};  // forgotten by a hundredth a round
  // Rounds.
  std::uint64_t round_end_ = 0;  // delivered bytes at which this one is over
  std::uint64_t round_lost_ = 0, round_acked_ = 0;
  base::Duration round_queue_ = base::Duration::max();  // the least of this round
  bool draining_ = false;                               // Cruise: until the queue is gone
  unsigned cycle_ = 0;                                  // Cruise: rounds since the last probe began
  unsigned full_rounds_ = 0;                            // Startup: without growth
  double full_rate_ = 0;
  unsigned standing_rounds_ = 0;  // since the queue was last nearly empty
  unsigned resisted_rounds_ = 0;  // of them those that confirm that we spared the path something, for nothing
  double sent_share_ = 1;         // of what came through: what acks confirm now
  double sending_share_ = 1;      // and what leaves now
  base::Time round_began_{};
  base::Duration last_round_queue_{};
  double uncrowded_rate_ = 0;  // bandwidth when it was
  bool limited_ = false;       // the newest sample was the application's limit
  base::Time proven_at_{};     // when the path last did not carry more than was known
  // Losses.
  double cruise_loss_ = 0, drain_loss_ = 0, random_loss_ = 0;
  bool drain_loss_known_ = false;
  struct Sample {
    std::uint64_t lost = 0, all = 0;  // bytes
  } quiet_[2];                        // rounds that cruise, and that drain
  base::Time answered_until_{};       // losses of what was sent before are answered
  bool congestive_ = false;           // in this round
  // Compete.
  CubicWindow cubic_;
  bool joining_ = false;                 // until the first congestion: slow start, as a new flow's
  base::Time look_at_{}, look_until_{};  // with less, whether the queue then empties
  base::Duration look_queue_{};          // the least seen meanwhile
  unsigned others_ = 0;
  double share_ = 1;
};

}  // namespace qanat::path
