// FecDecoder: keeps what came of protected streams for a while, and rebuilds from repairs what did not come.
// What it rebuilds goes through the eliminator and the resequencer like what came; it still counts as lost by its path.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <list>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/time.hh"
#include "dataplane/path/fec_code.hh"
#include "dataplane/path/packet_slab.hh"
#include "dataplane/path/stream_id.hh"

namespace qanat::path {

// A packet that was rebuilt. `bytes` is what follows the inner header; valid until clear().
struct Rebuilt {
  StreamId stream;
  packet::InnerHeader header;
  packet::MutableBytes bytes;
};

// event \ stream   | none                | known
// -----------------+---------------------+--------------------------------------------------------------
// packet           | –                   | kept; completes its block's repairs, if there are any
// repair           | begins (its block   | kept while it can help: as many of the block as are missing
//                  | may be too late)    | rebuild it
// repair, useless  | –                   | dropped: nothing of its block is missing, or too much is gone by
// `idle` without   | –                   | forgotten
//
// Streams begin with a repair: an unprotected stream costs nothing. One thread.
class FecDecoder {
 public:
  static constexpr std::size_t kKept = 128;        // sources of a stream
  static constexpr std::size_t kOpenRepairs = 32;  // of a stream, that wait for more of their block

  struct Options {
    std::size_t packets = 4096;  // sources and repairs kept, over all streams: 6 MiB
    std::size_t streams = 256;   // past that the longest idle is forgotten
    base::Duration idle = std::chrono::seconds{2};
  };
  FecDecoder() : FecDecoder(Options{}) {}
  explicit FecDecoder(const Options& options) : options_(options) {}

  // A packet of the stream came (the first copy of it). What it completes; the span is valid until the next call.
  std::span<const Rebuilt> on_packet(const StreamId& stream, const packet::InnerHeader& header,
                                     packet::Bytes body, base::Time now);
  // A repair: `body` follows the inner header. RepairMalformed; also for one whose symbols turn out to be none.
  packet::OrDrop<std::span<const Rebuilt>> on_repair(const StreamId& stream, packet::Bytes body,
                                                     base::Time now);
  void clear();  // what was rebuilt has been delivered

  void on_timer(base::Time now);
  base::Time next_timeout() const;
  void forget(ids::NodeId peer);

  bool idle() const { return streams_.empty(); }
  std::size_t kept() const { return slab_.used(); }
  std::size_t streams() const { return streams_.size(); }
  std::uint64_t rebuilt() const { return rebuilt_; }

 private:
  using Slot = PacketSlab::Slot;
  static constexpr Slot kNone = 0xffffffff;
  struct Source {
    std::uint64_t sequence = 0;
    Slot slot = kNone;
    std::uint16_t bytes = 0;  // of the symbol
  };
  struct Repair {
    RepairHeader header;
    Slot slot = kNone;
    std::uint16_t bytes = 0;
  };
  struct Stream {
    StreamId id;
    base::Time used;
    std::array<Source, kKept> sources{};  // by sequence
    std::vector<Repair> repairs;          // oldest first
  };
  using Streams = std::list<Stream>;  // longest idle first

  Stream* find(const StreamId& id, base::Time now);
  Stream& open(const StreamId& id, base::Time now);
  Slot take_slot(Stream& stream);
  Source* source(Stream& stream, std::uint64_t sequence);
  void keep(Stream& stream, std::uint64_t sequence, packet::Bytes head, packet::Bytes body);
  bool rebuild(Stream& stream, const RepairHeader& block);
  void drop_block(Stream& stream, std::uint64_t first);
  void drop(Streams::iterator stream);

  Options options_;
  PacketSlab slab_;
  Streams streams_;
  std::unordered_map<std::uint64_t, Streams::iterator> by_id_;
  std::vector<Rebuilt> out_;
  std::vector<Slot> released_;  // until clear()
  std::uint64_t rebuilt_ = 0;
};

}  // namespace qanat::path
