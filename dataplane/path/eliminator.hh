// Eliminator: of a packet's copies, the first that arrives wins (IEEE 802.1CB's vector recovery, in short).
// `critical` is sent by two ways at once, and lost packets are sent again or rebuilt: the application must see one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <unordered_map>
#include <vector>

#include "base/time.hh"
#include "dataplane/path/stream_id.hh"

namespace qanat::path {

// event \ stream            | none          | the number is…                          | idle
// --------------------------+---------------+-----------------------------------------+---------------
// packet, ahead             | First, made   | First; the window moves, wider if fast  | as its window says
// packet, in the window     | –             | First once, then Duplicate              | the same
// packet, behind the window | –             | Duplicate; under newer keys: First, and | the same
//                           |               | the window begins anew there            |
// packet, far ahead, older  | –             | Duplicate: of the sender's former life  | the same
//   keys                    |               |                                         |
// `idle` without a packet   | –             | –                                       | forgotten
// forget(peer)              | –             | forgotten                               | forgotten
//
// A sender that starts again draws a new first number at random: it is told from an old packet by its keys, which are
// newer, and lies outside the window but for one start in 2^32. Numbers run on over rekeying: those are in the window.
// One thread. Copies never come later than the window is wide: it holds at least `skew` of the stream at its speed.
class Eliminator {
 public:
  static constexpr std::size_t kLeastWindow = 2048;  // packets
  static constexpr std::size_t kMostWindow = 65536;

  struct Options {
    base::Duration skew = std::chrono::milliseconds{250};  // between the first copy and the last
    base::Duration idle = std::chrono::seconds{10};        // 802.1CB's reset timer
    std::size_t streams = 16384;                           // at once; past that the longest idle is forgotten
  };
  Eliminator() : Eliminator(Options{}) {}
  explicit Eliminator(const Options& options) : options_(options) {}

  // True for the first copy of packet `sequence`; false: drop it as DropReason::Duplicate. `session` is when the keys
  // that it was sealed under were made here (SessionKeys::created()).
  bool first(const StreamId& stream, std::uint64_t sequence, base::Time session, base::Time now);

  // Forgets idle streams.
  void on_timer(base::Time now);
  base::Time next_timeout() const;  // Time::max() when there is no stream
  // Everything of a peer that is gone.
  void forget(ids::NodeId peer);

  std::size_t streams() const { return streams_.size(); }
  std::size_t window(const StreamId& stream) const;  // packets; 0 for an unknown stream

 private:
  struct Stream {
    StreamId id;
    std::uint64_t newest = 0;  // unwrapped: its low 48 bits are the number
    base::Time session;
    base::Time used;
    base::Time lap_began;  // since when the window moved by its width
    std::uint64_t lap_from = 0;
    std::vector<std::uint64_t> seen;  // a ring of bits; the word that the window moves into is cleared whole
  };
  using Streams = std::list<Stream>;  // longest idle first

  Stream& open(const StreamId& id, std::uint64_t sequence, base::Time session, base::Time now);
  static void begin(Stream& stream, std::uint64_t sequence, base::Time session, base::Time now);
  void advance(Stream& stream, std::uint64_t to, base::Time now);
  static void widen(Stream& stream);
  static std::size_t width(const Stream& stream) { return (stream.seen.size() - 1) * 64; }
  static bool mark(Stream& stream, std::uint64_t number);
  void drop_oldest();

  Options options_;
  Streams streams_;
  std::unordered_map<std::uint64_t, Streams::iterator> by_id_;
};

}  // namespace qanat::path
