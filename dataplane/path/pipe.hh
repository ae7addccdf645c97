// Pipe: one managed path to one peer, in one worker: what is under way on it, what arrived, what was lost, and when more
// may go. Packet numbers are the counters that the datagrams were sealed with, space by space (wire.md §10).
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/time.hh"
#include "dataplane/packet/ack.hh"
#include "dataplane/path/congestion.hh"
#include "dataplane/path/pacer.hh"
#include "dataplane/path/packet_slab.hh"
#include "identifiers/ids/tier.hh"

namespace qanat::path {

// Keys, by the receiver index that their datagrams carry, and the space that counts them.
struct SpaceKey {
  std::uint32_t receiver = 0;
  std::uint32_t space = 0;
  bool operator==(const SpaceKey&) const = default;
};

inline constexpr PacketSlab::Slot kNoCopy = 0xffffffff;

// A plaintext (inner header and what follows), and until when it is worth sending again.
struct Kept {
  PacketSlab::Slot copy = kNoCopy;  // whoever holds the Kept releases it
  std::uint16_t bytes = 0;
  std::uint8_t bucket = 0;
  std::uint8_t attempts = 0;  // times it was sent
  ids::Tier tier{};
  base::Time deadline{};
};

// event \ a datagram is | under way                        | lost                       | resolved
// ----------------------+----------------------------------+----------------------------+---------
// acked                 | resolved; copy released          | spurious; resolved         | –
// later ones acked and  | lost: to poll_lost() with a copy | –                          | –
//   reorder window over |                                  |                            |
// PTO, nothing acked    | the oldest: lost; twice as long  | –                          | –
//                       |   until the next                 |                            |
// third PTO in a row    | all: lost; Congestion starts new | –                          | –
// keys or path gone     | lost (abandon())                 | –                          | –
//
// Every datagram is resolved exactly once: acked, or lost. One thread; allocates only while it grows.
class Pipe {
 public:
  struct Options {
    CongestionOptions congestion;
    std::size_t most_tracked = 1 << 16;  // datagrams under way
  };
  struct Counts {
    std::uint64_t sent = 0, acked = 0, lost = 0,
                  spurious = 0;  // datagrams; spurious: lost, then acked after all
    std::uint64_t sent_bytes = 0, acked_bytes = 0, lost_bytes = 0;
    std::uint64_t unknown_acks = 0;  // of no space or counter of ours
  };

  // `slab` outlives it: copies live there.
  Pipe(PacketSlab& slab, const Options& options, base::Time now);
  ~Pipe();
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  // Room in the window, and the pacer's and the line's leave.
  bool ready(base::Time now) const { return has_window() && pacer_.ready(now) && line_ready_ <= now; }
  bool has_window() const { return in_flight_ < congestion_.window(); }
  // When pacer and line would let something go; Time::max() while only an ack can make room.
  base::Time ready_at() const {
    return has_window() ? std::max(pacer_.next(), line_ready_) : base::Time::max();
  }
  // The line that it leaves by, which others may use too: bytes/s at most (0: unknown), and from when on it has room.
  void hold_to_line(std::uint64_t rate, base::Time ready_at) {
    congestion_.set_max_rate(rate);
    line_ready_ = ready_at;
  }

  // A datagram of `bytes` left, sealed as `counter` of `space`. Counters of a space ascend. Takes over `kept`.
  void on_sent(SpaceKey space, std::uint64_t counter, std::uint32_t bytes, const Kept& kept, base::Time now);
  // There was nothing more to send: until all of this is acked, rates say nothing about the path.
  void on_app_limited() { app_limited_until_ = delivered_ + in_flight_; }
  // False: nothing of ours (counted).
  bool on_ack(const packet::Ack& ack, base::Time now);
  void on_timer(base::Time now);
  base::Time next_timeout() const;
  // A lost datagram; the caller takes over what was kept.
  std::optional<Kept> poll_lost();
  // Gives everything under way up as lost, oldest first: the path is dead, or its keys are gone.
  void abandon();

  base::Duration rtt() const { return smoothed_rtt_; }  // initial_rtt until measured
  base::Duration least_rtt() const;
  // One way and through the queue, as far as a sender can know.
  base::Duration latency() const;
  base::Time last_sent() const { return last_sent_; }
  double loss() const { return loss_; }                // share, smoothed over about a thousand datagrams
  double loss_lately() const { return loss_lately_; }  // over about thirty
  double bandwidth() const;                            // bytes/s; a guess until measured
  std::uint64_t in_flight() const { return in_flight_; }
  std::size_t tracked() const { return tracked_; }
  const Congestion& congestion() const { return congestion_; }
  Congestion& congestion() { return congestion_; }
  const Counts& counts() const { return counts_; }

 private:
  enum class Fate : std::uint8_t { UnderWay, Acked, Lost };
  struct Sent {
    std::uint64_t counter = 0;
    base::Time at;
    base::Time delivered_at;  // when `delivered` was reached
    base::Time first_sent;    // of the flight that its rate sample spans
    std::uint64_t delivered = 0, lost = 0;
    Kept kept;
    std::uint32_t bytes = 0;
    Fate fate = Fate::UnderWay;
    bool app_limited = false;
  };
  struct Space {
    SpaceKey key;
    std::vector<Sent> ring;  // a power of two; ascending counters
    std::uint64_t head = 0, tail = 0;
    std::uint64_t newest_acked = 0;  // counter
    bool any_acked = false;
    base::Duration rack_rtt{};  // what the newest took, its ack included
    std::uint32_t ce = 0;
    base::Time used{};
    Sent& at(std::uint64_t i) { return ring[i & (ring.size() - 1)]; }
    const Sent& at(std::uint64_t i) const { return ring[i & (ring.size() - 1)]; }
  };
  Space& space_for(SpaceKey key, base::Time now);
  Space* find(SpaceKey key);
  void lose(Sent& sent);
  std::uint64_t detect_lost(Space& space, base::Time now);
  void after_loss(std::uint64_t lost_bytes, base::Time newest_sent, base::Time now);
  void trim(Space& space, base::Time now);
  base::Duration reorder_window() const;
  base::Duration pto() const;

  PacketSlab& slab_;
  Options options_;
  Congestion congestion_;
  Pacer pacer_;
  base::Time line_ready_{};
  std::vector<Space> spaces_;
  std::vector<Kept> lost_;  // a queue: lost_next_ is its head
  std::size_t lost_next_ = 0;
  std::size_t tracked_ = 0;
  std::uint64_t in_flight_ = 0;
  std::uint64_t delivered_ = 0, lost_total_ = 0;
  base::Time delivered_at_{};
  base::Time first_sent_{};
  std::uint64_t app_limited_until_ = 0;
  base::Duration smoothed_rtt_;
  base::Duration rtt_variation_{};
  bool rtt_measured_ = false;
  base::Duration reorder_extra_{};  // learned from spurious losses
  base::Time loss_due_ = base::Time::max();
  base::Time last_sent_{}, last_acked_{};
  unsigned ptos_ = 0;
  double loss_ = 0, loss_lately_ = 0;
  Counts counts_;
};

}  // namespace qanat::path
