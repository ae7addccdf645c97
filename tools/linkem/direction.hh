// One direction of a link: a Spec put to work on packets, changeable while it runs, every packet accounted
// for. in = out + dropped + inside − duplicated, always (a test checks), so a lab can prove what crossed a
// link.
#pragma once

#include <array>
#include <string_view>

#include "tools/linkem/stages.hh"

namespace qanat::linkem {

enum class DropReason : std::uint8_t { QueueFull, Loss, Down };
inline constexpr std::size_t kDropReasons = 3;
std::string_view to_string(DropReason reason);

struct Counters {
  std::uint64_t in_packets = 0, in_bytes = 0;    // offered to the link
  std::uint64_t out_packets = 0, out_bytes = 0;  // came out at the far end
  std::array<std::uint64_t, kDropReasons> dropped_packets{}, dropped_bytes{};
  std::uint64_t duplicated = 0;
  std::uint64_t reordered = 0;  // packets that overtook at least one other
};

class Direction {
 public:
  Direction(const Spec& spec, std::uint64_t seed, base::Time now);

  void push(std::vector<std::uint8_t> packet, base::Time now);
  base::Time next_timeout() const { return out_.empty() ? chain_.next_timeout() : out_.front().at; }
  std::optional<Packet> pop(base::Time now);
  std::size_t pending() const { return chain_.pending(); }

  // Takes effect at `now`: what was due before leaves under the old settings. While `down`, packets that
  // would enter or leave are dropped; those that are inside longer than the outage survive it.
  void configure(const Spec& spec, base::Time now);
  const Spec& spec() const { return spec_; }
  Counters counters() const;

 private:
  struct Stages;
  Direction(const Spec& spec, Stages stages, base::Time now);
  void collect(base::Time now);

  Spec spec_;
  Loss* loss_;
  Duplicate* duplicate_;
  RateQueue* queue_;
  Delay* delay_;
  Chain chain_;
  std::deque<Packet> out_;  // left before a change of settings, not yet popped
  Counters counters_;
};

}  // namespace qanat::linkem
