// FecEncoder: adds repairs to one stream, so that a loss is mended within the tier's latency budget where the round trip
// is too long to ask again. Repairs go by another path when there is one: the caller's part.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/time.hh"
#include "dataplane/path/fec_code.hh"

namespace qanat::path {

// event \ block     | none                  | open
// ------------------+-----------------------+---------------------------------------------
// packet, next      | opens, if the plan is | joins; with the plan's last, repairs are due
//                   | on                    |
// packet, leap      | the same              | closed short: repairs; opens anew
// packet, too large | –                     | closed short: repairs
// `span` since open | –                     | closed short: repairs
//
// A closed block of k sources has ⌈k·r ÷ plan's k⌉ repairs: never more than the plan's share, rounded up. Memory: two
// symbols a repair of the plan, whatever the block's length. One thread, one stream.
class FecEncoder {
 public:
  // Takes effect with the next block. `span`: how long a block may stay open.
  void set_plan(const FecPlan& plan, base::Duration span);
  const FecPlan& plan() const { return plan_; }

  // Each packet of the stream, in the order of its sequence, as it is first sealed. When a block was closed,
  // poll_repair() gives its repairs: take them before the next call.
  void on_packet(const packet::InnerHeader& header, packet::Bytes body, base::Time now);
  void on_timer(base::Time now);
  base::Time next_timeout() const;  // Time::max(): no block is open

  // The plaintext that follows the inner header of the next repair; empty: there is none. Valid until the next call.
  packet::Bytes poll_repair();

  std::uint64_t sources() const { return sources_; }
  std::uint64_t repairs() const { return repairs_; }

 private:
  void open(std::uint64_t first, base::Time now);
  void close();

  FecPlan plan_;
  base::Duration span_{};
  FecPlan block_;  // the plan that the open block began with
  std::uint64_t first_ = 0;
  unsigned count_ = 0;  // sources so far; 0: none is open
  base::Time opened_;
  std::size_t longest_ = 0;
  // By repair: room for its header ‖ symbol. Of the block that is open, and of the one that was closed.
  std::array<std::vector<std::uint8_t>, kMostRepairs> open_;
  std::array<std::vector<std::uint8_t>, kMostRepairs> ready_;
  unsigned ready_count_ = 0;
  unsigned next_ready_ = 0;
  std::uint64_t sources_ = 0;
  std::uint64_t repairs_ = 0;
};

}  // namespace qanat::path
