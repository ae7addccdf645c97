// AckTracker: what arrived in one sequence space of a peer, and when to say so (wire.md §10).
// A sender's congestion control is only as good as what it is told: soon enough, and not once too often.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/time.hh"
#include "dataplane/packet/ack.hh"

namespace qanat::path {

inline constexpr unsigned kAckEvery = 16;  // datagrams that want one
inline constexpr unsigned kAckTold =
    4;  // acks that repeat what arrived below a gap: they may get lost as well
inline constexpr base::Duration kAckDelayMost =
    std::chrono::milliseconds{5};  // or a quarter of the round trip

// event \ state            | nothing owed        | owed
// -------------------------+---------------------+--------------------------------------------
// next counter, wanted     | owed, due in ≤ 5 ms | 16th: due now
// counter that opens a gap | owed, due now       | due now
// counter below the newest | as the next counter | as the next counter
// not wanted               | kept in mind        | kept in mind
// known counter            | –                   | –
// poll() when due          | –                   | the Ack; nothing owed
//
// One thread, no allocation. Feed it every datagram of the space that opened (so after the replay window).
class AckTracker {
 public:
  AckTracker(std::uint32_t receiver, std::uint32_t space) : receiver_(receiver), space_(space) {}

  // `ce`: the outer header said Congestion Experienced.
  void on_received(std::uint64_t counter, bool ack_wanted, bool ce, base::Time now);
  // What the peer's path takes there and back, when known.
  void set_rtt(base::Duration rtt);
  // When poll() has something; Time::max(): nothing is owed.
  base::Time next_timeout() const { return due_; }
  std::optional<packet::Ack> poll(base::Time now);

  std::uint32_t receiver() const { return receiver_; }
  std::uint32_t space() const { return space_; }
  base::Time last_heard() const { return heard_; }  // forget it after a minute of silence
  std::size_t runs() const { return count_; }

 private:
  struct Range {
    std::uint64_t low = 0, high = 0;
    unsigned told = 0;  // acks that said so
  };
  bool note(std::uint64_t counter, bool& gap);

  std::uint32_t receiver_;
  std::uint32_t space_;
  std::array<Range, packet::Ack::kMaxRuns>
      ranges_{};  // newest first; the oldest is forgotten when there are more
  std::size_t count_ = 0;
  std::uint32_t received_ = 0;
  std::uint32_t ce_ = 0;
  unsigned owed_ = 0;
  base::Duration delay_ = kAckDelayMost;
  base::Time due_ = base::Time::max();
  base::Time heard_{};
  base::Time largest_at_{};
};

}  // namespace qanat::path
