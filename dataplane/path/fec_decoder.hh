// FecDecoder: keeps what came of protected streams for a while, and rebuilds from repairs what did not come.
// What it rebuilds goes through the eliminator and the resequencer like what came; it still counts as lost by its path,
// and the sender hears of it (packet/mended.hh), so that it is not sent again.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/time.hh"
#include "dataplane/packet/mended.hh"
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
// packet           | –                   | kept; taken out of the equations that miss it
// repair           | begins (its window  | an equation for what is missing of its window; solved together with the
//                  | may be too late)    | others as soon as there are as many as unknowns
// repair, useless  | –                   | dropped: nothing is missing, more than kOpenRepairs are, or it is too old
// `idle` without   | –                   | forgotten
//
// Equations are kept in reduced row echelon form: one that has a single unknown left is a packet.
// Streams begin with a repair: an unprotected stream costs nothing. One thread.
class FecDecoder {
 public:
  static constexpr std::size_t kKept = 2 * kMostSources;  // sources of a stream
  static constexpr std::size_t kOpenRepairs = 32;         // equations of a stream, and unknowns of one
  static constexpr base::Duration kReportEvery = std::chrono::milliseconds{4};

  struct Options {
    std::size_t packets = 4096;  // sources and repairs kept, over all streams: 6 MiB
    std::size_t streams = 256;   // past that the longest idle is forgotten
    base::Duration idle = std::chrono::seconds{2};
  };
  struct Report {
    StreamId stream;
    packet::Mended mended;
  };
  FecDecoder() : FecDecoder(Options{}) {}
  explicit FecDecoder(const Options& options) : options_(options) {}

  // A packet of the stream came. What it completes; the span is valid until the next call.
  std::span<const Rebuilt> on_packet(const StreamId& stream, const packet::InnerHeader& header,
                                     packet::Bytes body, base::Time now);
  // A repair: `body` follows the inner header. RepairMalformed; also for one whose symbols turn out to be none.
  packet::OrDrop<std::span<const Rebuilt>> on_repair(const StreamId& stream, packet::Bytes body,
                                                     base::Time now);
  void clear();  // what was rebuilt has been delivered

  // What the sender of a stream should hear: of what was rebuilt since, every kReportEvery.
  std::optional<Report> poll_report(base::Time now);

  void on_timer(base::Time now);
  base::Time next_timeout() const;
  void forget(ids::NodeId peer);

  bool idle() const { return streams_.empty(); }
  std::size_t kept() const { return slab_.used() - released_.size(); }
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
  struct Term {
    std::uint64_t sequence;
    std::uint8_t factor;  // not 0
  };
  // Σ factor · symbol = what the slot holds. The first term is the equation's own: no other has it.
  struct Equation {
    std::vector<Term> terms;  // by sequence
    Slot slot = kNone;
    std::uint16_t bytes = 0;
    std::uint8_t factor_of(std::uint64_t sequence) const;
  };
  struct Stream {
    StreamId id;
    base::Time used;
    std::uint64_t newest = 0;
    std::array<Source, kKept> sources{};  // by sequence
    std::vector<Equation> equations;      // oldest first
    bool owes = false;                    // a report
    base::Time reported{};
  };
  using Streams = std::list<Stream>;  // longest idle first

  Stream* find(const StreamId& id, base::Time now);
  Stream& open(const StreamId& id, std::uint64_t newest, base::Time now);
  void make_room(Stream& stream);
  Source* source(Stream& stream, std::uint64_t sequence);
  void keep(Stream& stream, std::uint64_t sequence, packet::Bytes head, packet::Bytes body);
  void add(Equation& into, std::uint8_t factor, const Equation& equation);
  void insert(Stream& stream, Equation equation);
  void take_out(Stream& stream, std::uint64_t sequence, packet::Bytes head, packet::Bytes body);
  bool solve(Stream& stream);
  void empty(Stream& stream);
  void drop(Streams::iterator stream);

  Options options_;
  PacketSlab slab_;
  Streams streams_;
  std::unordered_map<std::uint64_t, Streams::iterator> by_id_;
  std::vector<Rebuilt> out_;
  std::vector<Slot> released_;  // until clear()
  std::uint64_t rebuilt_ = 0;
  std::size_t owing_ = 0;  // streams
};

}  // namespace qanat::path
