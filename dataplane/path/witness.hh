// Witness: how a peer's probes came here, by what we saw ourselves. What a peer says of its own probes is an echo of our
// counts, and may be false; the controller believes the worse of both.
#pragma once

#include <cstdint>

#include "base/time.hh"
#include "dataplane/path/jitter.hh"

namespace qanat::path {

class Witness {
 public:
  // An authenticated probe came; `sequence` counts from 1. A repeated one changes nothing.
  void on_probe(std::uint32_t sequence, std::int64_t one_way_raw_us);

  // Since the last call. Only probes that never carry padding (mtu_search.hh) count: whether one that is missing was lost
  // or too large for the path is the sender's to know.
  struct Interval {
    std::uint32_t probes = 0;
    std::uint32_t lost = 0;       // what comes after the call is late: lost in this interval, and in no other
    std::uint32_t reordered = 0;  // came after a newer one
    base::Duration jitter{};      // of late, whatever the interval
  };
  Interval take_interval();

 private:
  void restart(std::uint32_t sequence);

  std::uint32_t newest_ = 0;   // 0: nothing yet
  std::uint64_t came_ = 0;     // bit i: newest_ − i
  std::uint32_t taken_ = 0;    // newest_ at the last take
  std::uint32_t in_time_ = 0;  // since then, newer than taken_
  std::uint32_t reordered_ = 0;
  Jitter jitter_;
};

}  // namespace qanat::path
