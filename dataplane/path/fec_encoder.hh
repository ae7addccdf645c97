// FecEncoder: adds repairs to one stream, so that a loss is mended sooner than it could be asked for again.
// Repairs go by another path when there is one: the caller's part.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/time.hh"
#include "dataplane/path/fec_code.hh"
#include "dataplane/path/packet_slab.hh"

namespace qanat::path {

// event             | no plan | window as planned           | packets since the last repair
// ------------------+---------+-----------------------------+------------------------------------------------------
// packet, next      | –       | joins; the oldest leaves    | one more; with the plan's `every`, or kSpacing after the
//                   |         |                             | first of them as far as credit goes: a repair is due
// packet, leap      | –       | begins anew                 | none; a repair is due
// packet, too large | –       | empty                       | none
// kSpacing over     | –       | stays                       | none; a repair is due as far as credit goes
//
// Repairs are at most one for every `every` packets, one for kEarlyCost besides, and kMostCredit ÷ kEarlyCost at first:
// a flow that begins is slow and bursty, and a loss that delays the first acks of a round ends its slow start (HyStart).
// Memory: the window's symbols, once the plan was on. One thread, one stream.
class FecEncoder {
 public:
  static constexpr base::Duration kSpacing = std::chrono::microseconds{1500};
  static constexpr unsigned kOpening =
      3;  // packets of a new window with a repair each: the far end keeps from then on
  static constexpr unsigned kEarlyCost = 32, kMostCredit = 64 * kEarlyCost;  // packets

  // Takes effect with the next packet; the window is clamped to kMostSources.
  void set_plan(const FecPlan& plan);
  const FecPlan& plan() const { return plan_; }

  // Each packet of the stream, in the order of its sequence, as it is first sealed: its inner header and what follows.
  // Then poll_repair() until it is empty.
  void on_packet(std::uint64_t sequence, packet::Bytes plain, base::Time now);
  void on_timer(base::Time now);
  base::Time next_timeout() const;  // Time::max(): everything is covered

  bool due() const { return due_ != 0; }
  // What follows the inner header of the next repair; empty: none is due. Valid until the next call.
  packet::Bytes poll_repair();

  base::Time last_used() const { return last_; }
  std::uint64_t sources() const { return sources_; }
  std::uint64_t repairs() const { return repairs_; }

 private:
  void repair_early();

  FecPlan plan_;
  std::vector<std::uint8_t> symbols_;  // by sequence modulo kMostSources, kSlotBytes each
  std::array<std::uint16_t, kMostSources> sizes_{};
  std::vector<std::uint8_t> repair_;
  std::uint64_t next_ = 0;  // the sequence after the newest
  unsigned count_ = 0;      // sources in the window
  unsigned fresh_ = 0;      // of them no repair has seen
  unsigned due_ = 0;
  unsigned credit_ = kMostCredit;
  unsigned number_ = 0;
  base::Time last_{}, fresh_since_{};
  std::uint64_t sources_ = 0, repairs_ = 0;
};

}  // namespace qanat::path
