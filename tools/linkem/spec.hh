// A link direction's SPEC, as text and as values: "100mbit,delay=20ms~normal(3ms),loss=1%,limit=500p".
// One grammar for command lines, topology files and the control socket; errors point at the character.
#pragma once

#include <boost/system/result.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "base/time.hh"

namespace qanat::linkem {

// How the one-way delay varies from packet to packet; packets keep their order.
struct Jitter {
  enum class Shape { None, Uniform, Normal };
  Shape shape = Shape::None;
  base::Duration spread{};  // Uniform: ± spread; Normal: one standard deviation
  friend bool operator==(const Jitter&, const Jitter&) = default;
};

// What one direction of a link does to packets. The default is a perfect wire with a queue of 1,000 packets.
struct Spec {
  std::uint64_t rate_bps = 0;  // bits of IP packet a second; 0: no limit
  base::Duration delay{};      // propagation, after the queue
  Jitter jitter;
  double loss = 0;                     // independent, per packet, 0 … 1
  double duplicate = 0;                // share of packets that arrive twice
  double reorder = 0;                  // share of packets that skip the delay and so overtake
  std::uint64_t limit_packets = 1000;  // drop-tail; the packet being sent counts
  std::uint64_t limit_bytes = 0;       // 0: no limit in bytes
  bool down = false;                   // a blackhole: nothing enters, nothing comes out
  friend bool operator==(const Spec&, const Spec&) = default;
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
// ITEM      = RATE / "delay=" DURATION [ "~" ( "normal" / "uniform" ) "(" DURATION ")" ]
//           / ( "loss=" / "duplicate=" / "reorder=" ) SHARE / "limit=" COUNT ( "p" / "b" / "kb" / "mb" )
//           / "down" / "up"
// RATE      = NUMBER ( "bit" / "kbit" / "mbit" / "gbit" ) ; powers of ten
// DURATION  = NUMBER ( "ns" / "us" / "ms" / "s" )
// SHARE     = NUMBER "%" / NUMBER  ; 1% or 0.01
// A key given twice is an error. Items change `start`, so a running link takes "loss=5%" and keeps the rest.
SpecResult parse_spec(std::string_view text, const Spec& start = {});

// The canonical text: parse_spec(to_string(s)) == s.
std::string to_string(const Spec& spec);

}  // namespace qanat::linkem
