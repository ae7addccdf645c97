// Scheduler: which pipe the next datagram of a tier goes by, if any. Decisions only: what is under way and what is lost
// is the Bundle's.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/time.hh"
#include "identifiers/ids/tier.hh"

namespace qanat::path {

// A pipe, as a decision sees it.
struct Candidate {
  bool usable = true;        // alive
  bool ready = false;        // room now
  base::Time ready_at;       // when the pacer lets it go; Time::max(): an ack has to come first
  base::Duration latency{};  // until what leaves now arrives
  base::Duration rtt{};      // without a queue
  double rate = 0;           // bytes/s
  bool settled = true;       // its rate is measured, not a guess
  double loss = 0;           // share, whatever is sent
  double loss_lately = 0;    // of the newest few datagrams
  std::optional<double> share = std::nullopt;  // of striped bulk, against the others'; nothing: what it takes
};

struct SchedulerOptions {
  base::Duration most_skew =
      std::chrono::milliseconds{250};           // a pipe that much later than the best is not striped over
  std::uint64_t most_reorder_bytes = 8u << 20;  // the receiver's resequencer
  double least_gain = 0.07;                     // a pipe that adds less is not worth its latency
  double most_late_rtts = 2;  // of the best pipe: later, and TCP takes seconds to fill the longer round trip
  double over_share = 1.5;    // a pipe takes this much of its share before it waits for the others
  std::uint64_t least_share_bytes = 64u << 10;  // and this much beside, so that a burst does not wait
  double gain_per_rtt = 0.12;  // nor one that adds less than this for each best round trip that it is later
  base::Duration promote_after = std::chrono::milliseconds{40};   // of backlog without a break
  base::Duration demote_after = std::chrono::milliseconds{1000};  // without any
};

//  tier        | pipe
// -------------+------------------------------------------------------------------------------------------------
//  critical    | the preferred one; copies are the caller's. Waits for no pacer.
//  interactive | the preferred one, or the first other usable one with room if that arrives earlier than its turn comes
//  bulk        | pinned to the preferred one; striped once it stays backlogged: the earliest arrival among pipes with
//              | room, except those that would finish later than the better ones drain the backlog, and those that
//              | had more than their share lately; a share of 0 is left out while another carries anything
//  scavenger   | as bulk when pinned, and only while nothing else waits
class Scheduler {
 public:
  explicit Scheduler(const SchedulerOptions& options = {}) : options_(options) {}

  // `preferred` indexes `pipes` (the prober's choice). `backlog`: bytes of the tier that wait for this peer, this datagram
  // included; `urgent`: bytes of other tiers that do. Nothing: wait until a pipe has room.
  std::optional<std::size_t> choose(ids::Tier tier, std::size_t preferred, std::span<const Candidate> pipes,
                                    std::uint64_t backlog, std::uint64_t urgent, base::Time now);
  // The way by which a lost datagram, sent `attempts` times already, arrives earliest, if one has room: that it is lost
  // again costs another recovery.
  std::optional<std::size_t> choose_again(std::span<const Candidate> pipes, unsigned attempts) const;
  // Whether bulk still waited after the last one left.
  void note_backlog(bool waits, base::Time now);
  // Bulk left by this pipe.
  void note_sent(std::size_t pipe, std::size_t bytes);
  // Over more than one pipe, so that the receiver has to put in order.
  bool striping() const { return striping_; }

 private:
  bool worth(std::size_t pipe, std::size_t best, std::span<const Candidate> pipes) const;

  bool above_share(std::size_t pipe, std::size_t best, std::span<const Candidate> pipes) const;

  static constexpr double kShareMemory = 4e6;  // bytes: older ones count half
  SchedulerOptions options_;
  std::vector<double> sent_;  // bulk's bytes by pipe, of late
  bool striping_ = false;
  bool backlogged_ = false;
  base::Time noted_{};       // when note_backlog() was told last
  base::Duration waited_{};  // with a backlog, lately
};

}  // namespace qanat::path
