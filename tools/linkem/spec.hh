// A link direction's SPEC, as text and as values: "100mbit,delay=20ms~normal(3ms),loss=1%,limit=500p".
// One grammar for command lines, topology files, scenarios and the control socket; errors point at the
// character.
#pragma once

#include <boost/system/result.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/time.hh"

namespace qanat::linkem {

class CapacityTrace;

// How the one-way delay varies from packet to packet.
struct Jitter {
  enum class Shape { None, Uniform, Normal, Pareto, File };
  Shape shape = Shape::None;
  // Uniform: ± spread; Normal: one standard deviation; Pareto: the scale s of s · (U^(−1/tail) − 1), a Lomax
  // distribution: mean s / (tail − 1), never negative.
  base::Duration spread{};
  double tail = 3;   // Pareto's shape, above 1
  std::string file;  // File: one delay in milliseconds a line, each as likely
  friend bool operator==(const Jitter&, const Jitter&) = default;
};

// Which packets are lost on the wire.
struct LossModel {
  enum class Kind { Bernoulli, GilbertElliott, List, Every };
  Kind kind = Kind::Bernoulli;
  double share = 0;  // Bernoulli: each packet, independently
  // Gilbert–Elliott (1963), as Hasslinger and Hohlfeld (2008) write it: from good to bad with probability p a
  // packet, back with r; a packet arrives with probability k in the good state and h in the bad one. The
  // state moves after each packet, and starts good.
  double p = 0, r = 0, h = 0, k = 1;
  // List: packets counted from 1 since the setting took effect, as closed ranges in rising order.
  std::vector<std::pair<std::uint64_t, std::uint64_t>> list;
  std::uint64_t every = 0;  // Every: each n-th packet, counted likewise
  bool active() const { return kind != Kind::Bernoulli || share > 0; }
  // The long-run share of packets lost; 0 for a list.
  double mean() const;
  friend bool operator==(const LossModel&, const LossModel&) = default;
};

struct QueueDiscipline {
  enum class Kind { DropTail, DropHead, CoDel, Pie };
  Kind kind = Kind::DropTail;
  base::Duration target = std::chrono::milliseconds{5};      // CoDel (RFC 8289) 5 ms; PIE (RFC 8033) 15 ms
  base::Duration interval = std::chrono::milliseconds{100};  // CoDel
  bool ecn = false;                                          // marks ECN-capable packets instead of dropping
  friend bool operator==(const QueueDiscipline&, const QueueDiscipline&) = default;
};

// A line that comes and goes.
struct Flap {
  base::Duration up{}, down{};  // both zero: none
  bool random = false;          // exponential with these means, by the seed
  bool active() const { return down.count() > 0; }
  friend bool operator==(const Flap&, const Flap&) = default;
};

// What one direction of a link does to packets. The default is a perfect wire with a queue of 1,000 packets.
struct Spec {
  std::uint64_t rate_bps = 0;  // bits of IP packet a second; 0: no limit
  std::string trace;           // a capacity trace's file, instead of a rate
  base::Duration delay{};      // propagation, after the queue
  Jitter jitter;
  bool unordered = false;  // jitter may reorder; otherwise packets keep their order
  LossModel loss;
  double duplicate = 0;                // share of packets that arrive twice
  double reorder = 0;                  // share of packets that skip the delay and so overtake
  double corrupt = 0;                  // share of packets with one bit flipped
  bool corrupt_fixed = false;          // in the payload and the checksum repaired, so that it goes unnoticed
  std::uint32_t mtu = 0;               // larger packets are dropped; 0: none
  bool mtu_silent = false;             // without telling the sender
  std::uint64_t limit_packets = 1000;  // of the queue; the packet being sent counts
  std::uint64_t limit_bytes = 0;       // 0: no limit in bytes
  base::Duration limit_time{};         // of the backlog at the link's rate; 0: none
  QueueDiscipline queue;
  Flap flap;
  bool down = false;  // a blackhole: nothing enters, nothing comes out

  // What load_files() read; a Spec that names files works only after it.
  std::shared_ptr<const CapacityTrace> trace_data;
  std::shared_ptr<const std::vector<base::Duration>> jitter_data;

  // Of the values; files are the same when their names are.
  friend bool operator==(const Spec& a, const Spec& b);
};

// What was wrong, and where: offset counts characters of the text given.
struct SpecError {
  SpecError(std::size_t at, std::string what) : offset(at), message(std::move(what)) {}
  SpecError() = default;
  std::size_t offset = 0;
  std::string message;
  // Two lines and a message: the text, a caret under the character, what was expected.
  std::string describe(std::string_view text) const;
};
[[noreturn]] void throw_exception_from_error(const SpecError& error, const boost::source_location&);

using SpecResult = boost::system::result<Spec, SpecError>;

// SPEC      = ITEM *( "," ITEM )   ; "" is the perfect wire
// ITEM      = RATE / "trace(" FILE ")" / "rate=none"
//           / "delay=" DURATION [ "~" JITTER ] / "unordered" / "ordered"
//           / "loss=" ( SHARE / "ge(" P "," R [ "," H [ "," K ] ] ")" / "list(" N[-N] *( "," N[-N] ) ")"
//                     / "every(" N ")" )
//           / ( "duplicate=" / "reorder=" ) SHARE / "corrupt=" ( SHARE / "fixed(" SHARE ")" )
//           / "mtu=" ( N / "silent(" N ")" / "none" )
//           / "limit=" NUMBER ( "p" / "b" / "kb" / "mb" / "us" / "ms" / "s" )
//           / "queue=" ( "taildrop" / "headdrop" / "codel" [ "(" TARGET "," INTERVAL [ ",ecn" ] ")" ]
//                      / "pie" [ "(" TARGET [ ",ecn" ] ")" ] )
//           / "flap=" ( "(" UP "," DOWN ")" / "exp(" UP "," DOWN ")" / "none" )
//           / "down" / "up"
// JITTER    = ( "normal" / "uniform" ) "(" DURATION ")" / "pareto(" DURATION [ "," TAIL ] ")" / "file(" FILE ")"
// RATE      = NUMBER ( "bit" / "kbit" / "mbit" / "gbit" ) ; powers of ten
// DURATION  = NUMBER ( "ns" / "us" / "ms" / "s" )
// SHARE     = NUMBER "%" / NUMBER  ; 1% or 0.01; so are P, R, H and K
// A key given twice is an error. Items change `start`, so a running link takes "loss=5%" and keeps the rest.
SpecResult parse_spec(std::string_view text, const Spec& start = {});

// The canonical text: parse_spec(to_string(s)) == s.
std::string to_string(const Spec& spec);

// Takes back the change from `before` to `after`: values of `now` that are still as `after` has them become
// `before`'s again, and what somebody else has changed since stays.
void undo(Spec& now, const Spec& before, const Spec& after);

// Reads the files that the Spec names through `read` (path → text, or an exception that says what failed).
// Throws std::invalid_argument naming file, line and what was expected.
void load_files(Spec& spec, const std::function<std::string(const std::string& path)>& read);

}  // namespace qanat::linkem
