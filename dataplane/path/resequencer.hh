// Resequencer: puts a stream that travelled by several ways, or was mended, back into the order it was sent in.
// It never waits longer than the sender allows (the inner header's `hold`), never for more than fits its memory, and
// every packet comes out once: too late is out of order, not lost.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <list>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/time.hh"
#include "dataplane/packet/drop_reason.hh"
#include "dataplane/packet/inner_header.hh"
#include "dataplane/path/packet_slab.hh"
#include "dataplane/path/stream_id.hh"

namespace qanat::path {

inline constexpr base::Duration kHoldUnit = std::chrono::milliseconds{packet::InnerHeader::kHoldUnitMs};

// A packet that was opened, with what its delivery needs to know.
struct Opened {
  StreamId stream;
  packet::InnerHeader header;  // `sequence` is its place; `hold`: how long later ones may wait behind a gap
  std::uint8_t ecn = 0;        // of the datagram it came in
  base::Time session;          // when the keys it was sealed under were made (SessionKeys::created())
  packet::MutableBytes bytes;  // what follows the inner header
};

// event \ stream           | none        | expected     | beyond a gap              | behind
// -------------------------+-------------+--------------+---------------------------+----------------
// packet, hold > 0         | out; begins | out, and the | held; a duplicate dropped | out, late
//                          |             | run behind it|                           |
// packet, hold = 0         | out; begins | the same     | out, and passed over      | out, late
// packet, beyond `window`  | –           | –            | oldest gaps given up      | out, late
// packet, beyond 2 windows | –           | –            | all out, begins here      | out, late
// packet, newer keys and   | –           | –            | all out, begins here      | all out,
//   outside the window     |             |              |                           | begins here
// no memory                | –           | –            | the gap that is due first | –
//                          |             |              | is given up               |
// a hold is over           | –           | –            | out, all before it, and   | –
//                          |             |              | the run behind it         |
// `idle` without a packet  | –           | forgotten    | –                         | –
//
// A stream begins with the first packet that is seen: a sender that starts to spread one over several ways keeps to the
// way it used until that packet was acknowledged, and says hold > 0 until all is back on one way. Copies have to be
// eliminated before (Eliminator). One thread.
class Resequencer {
 public:
  struct Options {
    std::size_t packets = 8192;  // held at once, over all streams: 12 MiB
    std::size_t window = 8192;   // packets of one stream between the first gap and the newest; a power of two
    std::size_t streams = 1024;  // at once; past that the longest idle is let go
    base::Duration idle = std::chrono::seconds{60};
  };
  struct Counts {
    std::uint64_t held = 0;      // had to wait
    std::uint64_t late = 0;      // came after its place was given up
    std::uint64_t given_up = 0;  // numbers that were not waited for any longer
    std::uint64_t crowded = 0;   // gaps given up for lack of memory
  };
  Resequencer() : Resequencer(Options{}) {}
  explicit Resequencer(const Options& options);

  // What may go out now, in order: with or without the packet itself, which is copied if it has to wait. The span is
  // valid until the next call; the bytes in it live in `packet` or here, until clear(). Duplicate.
  packet::OrDrop<std::span<const Opened>> on_packet(const Opened& packet, base::Time now);
  // What waited long enough, as above.
  std::span<const Opened> on_timer(base::Time now);
  // When on_timer() has something to do; Time::max(): never.
  base::Time next_timeout() const;
  // A peer is gone: what it sent goes out.
  std::span<const Opened> forget(ids::NodeId peer);
  // Everything that went out has been delivered: its memory is used again.
  void clear();

  bool idle() const { return streams_.empty(); }  // no stream: packets with hold = 0 need not come here
  std::size_t streams() const { return streams_.size(); }
  std::size_t held() const { return held_; }
  std::size_t memory_bytes() const { return slab_.slots() * PacketSlab::kSlotBytes; }
  const Counts& counts() const { return counts_; }

 private:
  using Slot = PacketSlab::Slot;
  static constexpr Slot kNobody = 0xffffffff;  // in a ring: nothing came
  static constexpr Slot kPassed = 0xfffffffe;  // in a ring: went out already
  static constexpr std::size_t kLeastRing = 64;

  struct Stream {
    StreamId id;
    std::uint64_t next = 0;  // unwrapped: its low 48 bits are the number that is waited for
    std::size_t held = 0;
    std::uint64_t end = 0;  // beyond the newest that came
    base::Time session;
    base::Time used;
    std::vector<Slot> ring;  // by number modulo its size, which is a power of two
    Slot& at(std::uint64_t number) { return ring[number & (ring.size() - 1)]; }
  };
  using Streams = std::list<Stream>;  // longest idle first
  struct Held {
    Opened packet;
    Stream* stream = nullptr;
    std::uint64_t number = 0;
    base::Time deadline;
    Slot before = kNobody;
    Slot after = kNobody;
  };
  // Of one `hold`, so deadlines ascend.
  struct Queue {
    Slot head = kNobody;
    Slot tail = kNobody;
  };

  Stream& open(const Opened& packet, base::Time now);
  static void begin(Stream& stream, const Opened& packet);
  void keep(Stream& stream, std::uint64_t number, const Opened& packet, base::Time now);
  void let_out(Stream& stream, Slot slot);
  void run(Stream& stream);
  void give_up_before(Stream& stream, std::uint64_t number);
  void flush(Stream& stream) { give_up_before(stream, stream.end); }
  void grow_ring(Stream& stream, std::size_t reach);
  Slot due_first() const;
  void make_room(Stream& stream, std::uint64_t number);
  void drop(Streams::iterator stream);

  Options options_;
  PacketSlab slab_;
  std::vector<Held> held_packets_;          // by slot
  std::array<Queue, 256> queues_;           // by hold
  std::array<std::uint64_t, 4> waiting_{};  // a bit for each queue that is not empty
  std::size_t held_ = 0;
  std::vector<Slot> released_;  // until clear()
  std::vector<Opened> out_;
  Streams streams_;
  std::unordered_map<std::uint64_t, Streams::iterator> by_id_;
  Counts counts_;
};

}  // namespace qanat::path
