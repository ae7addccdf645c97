// Bundle: the managed pipes from one worker to one peer, and what was lost on them and is worth sending again. It is what
// a forwarder talks to:
//
//   1. now and then   set_pipe(i, …) for every path; preferred(i)
//   2. pump           while (r = next_lost(now)) { seal r->plain on r->pipe; resent(…) }
//                     while (r = next_repair(now)) { seal r->body on r->pipe; repair_sent(…) }
//                     while (p = choose(tier, …)) { take a segment, seal it on pipe *p; sent(…) }
//   3. an Ack came    on_ack(ack)         4. next_timeout() → on_timer(now), then pump again
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/time.hh"
#include "dataplane/path/pipe.hh"
#include "dataplane/path/protection.hh"
#include "dataplane/path/scheduler.hh"

namespace qanat::path {

struct BundleOptions {
  SchedulerOptions scheduler;
  std::size_t most_copies_bytes = 32u
                                  << 20;  // of plaintext kept for sending again; past it nothing new is kept
  // How much later than without a loss a packet may still arrive to be of use (the tier's latency budget); 0: never again.
  base::Duration budget[ids::kTierCount] = {std::chrono::milliseconds{0}, std::chrono::milliseconds{60},
                                            std::chrono::milliseconds{800}, std::chrono::milliseconds{800}};
  // How late it may be before it is protected by repairs rather than asked for again; 0: never protected. Bulk: what TCP
  // inside does not yet take for a queue (HyStart, RFC 9406: 4 to 16 ms); it would leave slow start at the first loss.
  base::Duration protect[ids::kTierCount] = {std::chrono::milliseconds{0}, std::chrono::milliseconds{60},
                                             std::chrono::milliseconds{8}, std::chrono::milliseconds{0}};
};

// One thread. Pipes keep their index for as long as they live.
class Bundle {
 public:
  struct Counts {
    std::uint64_t resent = 0;    // datagrams
    std::uint64_t given_up = 0;  // lost, and no longer worth it
    std::uint64_t not_kept = 0;  // lost, and no copy: too long, or no memory
    std::uint64_t kept = 0;      // copies made
    std::uint64_t repairs = 0;   // sent
    std::uint64_t mended = 0;    // lost, and rebuilt at the far end
  };
  // A lost datagram that should go again, by this pipe. `plain` is the inner header and what follows, as it was given;
  // writable, so that `copied` and `hold` can be set anew. Valid until resent() or the next call that is not const.
  struct Again {
    std::size_t pipe = 0;
    ids::Tier tier{};
    std::uint8_t bucket = 0;
    std::span<std::uint8_t> plain;
  };

  // A repair that is due, by this pipe: another than its packets took, if there is one. Valid until repair_sent().
  struct Repair {
    std::size_t pipe = 0;
    ids::Tier tier{};
    std::uint8_t bucket = 0;
    packet::Bytes body;  // what follows the inner header
  };

  Bundle(const BundleOptions& options, base::Time now);
  ~Bundle();

  // The pipe's index: the first that is free.
  std::size_t add_pipe(const Pipe::Options& options, base::Time now);
  // What was under way on it is lost, and goes by the others.
  void remove_pipe(std::size_t pipe, base::Time now);
  // The prober's word: dead pipes get nothing, and what is under way on them goes by the others at once.
  void set_usable(std::size_t pipe, bool usable, base::Time now);
  // The prober's choice for the tier.
  void set_preferred(ids::Tier tier, std::size_t pipe) { preferred_[static_cast<std::size_t>(tier)] = pipe; }
  // The pipe's weight when bulk is striped (Candidate::share).
  void set_share(std::size_t pipe, std::optional<double> share) { pipes_[pipe].share = share; }
  // Whether packets of this tier may go by it, lost ones that go again included; true until told.
  void set_open(std::size_t pipe, ids::Tier tier, bool open) {
    pipes_[pipe].open[static_cast<std::size_t>(tier)] = open;
  }
  std::size_t size() const { return pipes_.size(); }
  bool has(std::size_t pipe) const { return pipe < pipes_.size() && pipes_[pipe].pipe != nullptr; }
  Pipe& pipe(std::size_t pipe) { return *pipes_[pipe].pipe; }
  const Pipe& pipe(std::size_t pipe) const { return *pipes_[pipe].pipe; }

  // The pipe for the tier's next datagram, or nothing while it has to wait. `backlog`, `urgent`: see Scheduler.
  // `pinned`: instead of the tier's preferred one.
  std::optional<std::size_t> choose(ids::Tier tier, std::uint64_t backlog, std::uint64_t urgent,
                                    base::Time now, std::optional<std::size_t> pinned = std::nullopt);
  // It left as `counter` of `space`, `wire_bytes` long. `plain` is copied if it may have to go again. `backlog`: bytes
  // that still wait for this peer, whatever the tier. `protectable`: its repairs fit the path.
  void sent(std::size_t pipe, SpaceKey space, std::uint64_t counter, std::size_t wire_bytes, ids::Tier tier,
            std::uint8_t bucket, std::span<const std::uint8_t> plain, std::uint64_t backlog, base::Time now,
            bool protectable = true);

  std::optional<Again> next_lost(base::Time now);
  void resent(const Again& again, SpaceKey space, std::uint64_t counter, std::size_t wire_bytes,
              base::Time now);

  bool repair_due() const { return repair_.has_value() || protection_.due(); }
  std::optional<Repair> next_repair(base::Time now);
  void repair_sent(const Repair& repair, SpaceKey space, std::uint64_t counter, std::size_t wire_bytes,
                   base::Time now);
  // What the far end has of a protected stream.
  void on_mended(ids::Tier tier, const packet::Mended& mended);

  // False: none of our pipes knows it (counted by the caller).
  bool on_ack(const packet::Ack& ack, base::Time now);
  void on_timer(base::Time now);
  // The earliest of: a loss timer, a pacer with room while something waits (`waiting`, or a retransmission).
  base::Time next_timeout(bool waiting) const;

  // For the inner header: how long the receiver may hold later packets of this tier's streams, in its units.
  std::uint8_t hold(ids::Tier tier) const;
  // Packets of this tier may arrive more than once.
  bool copied(ids::Tier tier) const { return options_.budget[static_cast<std::size_t>(tier)].count() > 0; }
  bool striping() const { return scheduler_.striping(); }
  std::size_t lost_waiting() const { return again_.size() - again_next_ + protection_.waiting(); }
  std::size_t copies() const { return slab_.used(); }
  std::uint64_t in_flight() const;
  Counts counts() const;

 private:
  struct Member {
    std::unique_ptr<Pipe> pipe;
    bool usable = true;
    std::array<bool, ids::kTierCount> open = {true, true, true, true};
    std::optional<double> share;
    double told_loss = 0;              // by probes; fades, since it may have been a queue's
    double queue = 0, queue_mean = 0;  // seconds, for coupling
  };
  bool is_asked(std::size_t pipe) const;  // what has to wait may be waiting for it
  void collect_lost(base::Time now);
  void refresh(ids::Tier tier, base::Time now);
  void couple(base::Time now);
  void measure(base::Time now);
  void take_overdue(base::Time now);

  BundleOptions options_;
  PacketSlab slab_;
  Protection protection_;
  std::optional<Protection::Repair> repair_;  // due, and not sent yet
  std::size_t last_pipe_ = 0;                 // of what was last sent
  base::Time next_measure_{};
  std::vector<Member> pipes_;
  std::vector<Candidate> candidates_;
  Scheduler scheduler_;
  std::size_t preferred_[ids::kTierCount] = {};
  std::vector<Kept> again_;  // a queue: again_next_ is its head
  std::size_t again_next_ = 0;
  std::vector<double> covariance_;  // of the queues of pipes i, j
  base::Time next_couple_{};
  base::Time refreshed_{};  // when candidates_ were made
  Counts counts_;
};

}  // namespace qanat::path
